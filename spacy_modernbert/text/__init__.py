"""The text layer: words, pieces, windows and batches. numpy and tokenizers, but no torch."""
