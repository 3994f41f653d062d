"""The ``gliner`` component."""
