"""``python -m spacy_modernbert``."""

from .cli import app

if __name__ == "__main__":
    app()
