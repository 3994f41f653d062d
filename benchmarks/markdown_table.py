"""Markdown tables: how the benchmarks print them, and how `run_all.py` reads them again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


def format_row(cells: Sequence[object]) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def format_header(names: Sequence[object]) -> str:
    """Return the header of a table with the rule below it."""
    return f"{format_row(names)}\n{'|---' * len(names)}|"


def read_tables(printed: str) -> Iterator[tuple[str, str]]:
    """Read all tables in the output of a benchmark.

    Lines outside of tables are skipped, except those that end in a ratio such as ``2.00x``.

    Yields:
        The first cell of a row, and the other cells with the names of their columns. A line that
        ends in a ratio has no first cell.
    """
    header: list[str] = []
    lines = printed.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            if re.search(r"\dx$", line):
                yield "", line.strip()
        elif is_rule(following):
            header = cells
        elif not is_rule(line):
            named = zip(header[1:], cells[1:], strict=False)
            results = "; ".join(f"{name} {cell}" for name, cell in named if cell)
            yield f"{header[0]}: {cells[0]}" if header[0] else cells[0], results


def is_rule(line: str) -> bool:
    """Return whether a line is the rule below the header of a table."""
    return line.startswith("|") and not set(line) - set("|-: ")
