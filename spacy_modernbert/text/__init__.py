"""Floor 0: words, pieces and windows. numpy and tokenizers only, no torch."""
