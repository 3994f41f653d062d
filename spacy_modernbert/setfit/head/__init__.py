"""The classifier on top of sentence vectors."""
