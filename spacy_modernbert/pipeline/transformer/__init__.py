"""The ``modernbert`` component and its architectures. The only importer of spacy-transformers."""
