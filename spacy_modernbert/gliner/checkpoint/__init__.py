"""GLiNER checkpoints: read, written and converted."""
