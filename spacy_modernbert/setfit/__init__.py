"""Floor 2: SetFit (arXiv 2209.11055), few-shot categories. torch and scikit-learn, no spaCy."""
