"""The networks of GLiNER checkpoints."""
