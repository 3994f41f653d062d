"""Annotated texts to weights: collator, loss, trainer."""
