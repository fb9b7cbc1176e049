"""Data, couplings, integration, and all that is read off a velocity field."""
