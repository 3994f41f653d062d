"""Print the scores of several pipelines on the same texts beside each other.

python scripts/compare.py cats_macro_f metrics/setfit.json metrics/textcat.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

# The scores of single labels that belong to a score of all labels.
PER_TYPE = {"cats_macro_f": "cats_f_per_type", "ents_f": "ents_per_type"}


def main(score: str, paths: list[Path]) -> None:
    """Print SCORE by label, with a column for each of PATHS, files of `spacy evaluate`."""
    results = [srsly.read_json(path) for path in paths]
    labels = dict.fromkeys(label for data in results for label in per_type(data, score))
    rows = [(label, *(percent(per_type(d, score).get(label)) for d in results)) for label in labels]
    rows.append(("all", *(percent(data[score]) for data in results)))
    header = (score, *(path.stem for path in paths))
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * len(paths)))


def per_type(data: dict[str, Any], score: str) -> dict[str, float]:
    """Return the F of each label."""
    return {label: values["f"] for label, values in (data.get(PER_TYPE[score]) or {}).items()}


def percent(value: float | None) -> str:
    """Format a share in percent."""
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    typer.run(main)
