"""SetFit (arXiv 2209.11055): few-shot categories with torch and scikit-learn, without spaCy."""
