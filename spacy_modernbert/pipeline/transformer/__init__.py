"""The ``modernbert`` component and its architectures. Nothing else imports spacy-transformers."""
