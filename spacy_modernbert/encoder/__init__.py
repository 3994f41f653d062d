"""The encoder layer: networks and their checkpoints. torch, but no spaCy."""
