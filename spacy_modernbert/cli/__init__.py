"""The command line: ``python -m spacy_modernbert``, or ``python -m spacy modernbert``."""

from __future__ import annotations

import typer

from .alignment import inspect_alignment
from .checkpoints import convert_gliner, new_modernbert
from .debug_data import debug_data
from .info import info
from .migrate import migrate
from .thresholds import thresholds

app = typer.Typer(name="spacy_modernbert", no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Tools for the checkpoints behind spaCy pipelines."""


app.command("info")(info)
app.command("inspect-alignment")(inspect_alignment)
app.command("new-modernbert")(new_modernbert)
app.command("convert-gliner")(convert_gliner)
app.command("migrate")(migrate)
app.command("thresholds")(thresholds)
app.command(
    "debug-data", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(debug_data)
