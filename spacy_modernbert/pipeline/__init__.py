"""Floor 3: what spaCy and thinc see."""
