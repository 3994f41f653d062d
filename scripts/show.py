"""Print the result of the project: the scores on the test part, and what the package found."""

from __future__ import annotations

from pathlib import Path

import srsly
import typer
from wasabi import msg


def main(scores: Path, annotated: Path, report: Path) -> None:
    """Print the text ANNOTATED, then SCORES, the file of `spacy evaluate`, and where REPORT is."""
    data = srsly.read_json(scores)
    msg.divider("Found by the installed package")
    print(annotated.read_text(encoding="utf8"))
    msg.divider("Scores on the test sentences")
    percents(
        "entities",
        {
            **dict(sorted(data["ents_per_type"].items())),
            "all": {key: data[f"ents_{key}"] for key in "prf"},
        },
    )
    percents(
        "category",
        {
            **data["cats_f_per_type"],
            "mean": {key: data[f"cats_macro_{key}"] for key in "prf"},
        },
    )
    msg.info(f"Open {report} in a browser for pictures and the annotated test sentences")


def percents(title: str, rows: dict[str, dict[str, float | None]]) -> None:
    """Print precision, recall and F of every row in per cent."""
    body = [
        (label, *(f"{100 * (values[key] or 0.0):.0f}" for key in "prf"))
        for label, values in rows.items()
    ]
    header = (title, "precision", "recall", "F")
    msg.table(body, header=header, divider=True, aligns=("l", "r", "r", "r"))


if __name__ == "__main__":
    typer.run(main)
