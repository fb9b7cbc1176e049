"""What is learned: networks, paths, objectives, training, saved models."""
