"""ModernBERT, GLiNER and SetFit in spaCy pipelines."""

__version__ = "0.1.0"
