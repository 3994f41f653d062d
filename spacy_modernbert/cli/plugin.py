"""The commands inside spaCy's own: ``python -m spacy modernbert info``.

spaCy imports this file at every call of its command line, through the entry point ``spacy_cli``.
"""

from __future__ import annotations

from spacy.cli._util import app as spacy_app

from . import app

spacy_app.add_typer(app, name="modernbert")
