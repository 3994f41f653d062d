"""Floor 1: the encoder network. torch only, no spaCy."""
