"""Floor 2: GLiNER, zero-shot spans. torch only, no spaCy."""
