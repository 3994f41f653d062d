"""Folders of sentence-transformers and setfit: read and written."""
