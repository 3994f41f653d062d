"""Print the scores of several pipelines in one table.

python scripts/show.py metrics/report.html metrics/zero_shot.json metrics/modernbert.json
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

# Titles of the scores, and the prefixes of spaCy's scorers.
PREFIXES = {"entities": "ents", "spans": "spans_sc", "categories (mean)": "cats_macro"}


def main(report: Path, scores: list[Path]) -> None:
    """Print SCORES, files of `spacy evaluate`, and the path of the REPORT."""
    rows = [(path.stem, *row) for path in scores for row in score_rows(srsly.read_json(path))]
    msg.divider("Scores on texts that were not trained on, in per cent")
    header = ("pipeline", "finds", "precision", "recall", "F", "words a second")
    msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "r", "r", "r"))
    msg.info(f"Open {report} in a browser for pictures and annotated texts")


def score_rows(data: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of prediction that was scored, with scores of its own."""
    speed = f"{data.get('speed') or 0.0:,.0f}"
    seen = []
    for title, prefix in PREFIXES.items():
        if data.get(f"{prefix}_f") is None:
            continue
        cells = [f"{100 * (data[f'{prefix}_{key}'] or 0.0):.1f}" for key in "prf"]
        # The spans of a `gliner` are scored on the entities where no others are annotated.
        if cells not in seen:
            yield (title, *cells, speed)
        seen.append(cells)


if __name__ == "__main__":
    typer.run(main)
