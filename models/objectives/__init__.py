"""What a network is asked to learn: one file per objective."""
