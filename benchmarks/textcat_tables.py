"""Tables of the few-shot classification benchmark, made of the records of its runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from markdown_table import format_header, format_row

Record = dict[str, Any]
COST_COLUMNS = (
    "training",
    "ours, CPU s (wall)",
    "setfit as run, CPU s (wall)",
    "its steps",
    "by default",
    "default / ours",
    "MiB, ours / setfit",
)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table and an empty line."""
    print(format_header(header))
    for row in rows:
        print(format_row(row))
    print()


def select(records: list[Record], system: str, name: str) -> list[Record]:
    """Return the records of a system on a set."""
    return [r for r in records if r["system"] == system and r["set"] == name]


def present(records: list[Record], key: str, values: Sequence[str]) -> list[str]:
    """Return the values (sets or systems) that occur in records."""
    return [value for value in values if any(record[key] == value for record in records)]


def mean_std(values: Iterable[float], digits: int = 1, scale: float = 1.0) -> str:
    """Format the mean, and the standard deviation of more than one value."""
    numbers = [value * scale for value in values]
    spread = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{spread}"


def print_scores(
    records: list[Record], sets: Sequence[str], systems: Sequence[str], score: str
) -> None:
    """Print a score in percent by set and system, and its mean over all sets."""
    names, systems = present(records, "set", sets), present(records, "system", systems)
    values = {
        (name, system): [r[score] for r in select(records, system, name)]
        for name in names
        for system in systems
    }
    rows = [
        [
            name,
            *(mean_std(values[name, s], scale=100.0) if values[name, s] else "-" for s in systems),
        ]
        for name in names
    ]
    if all(values.values()):
        means = [statistics.mean(statistics.mean(values[n, s]) for n in names) for s in systems]
        rows.append(["mean", *(f"{100 * mean:.1f}" for mean in means)])
    print_table([score.replace("_", " "), *systems], rows)


def print_cost(records: list[Record], sets: Sequence[str]) -> None:
    """Print the training seconds and memory of ours and of setfit, as run and by default."""
    pairs = {n: (select(records, "ours", n), select(records, "setfit", n)) for n in sets}
    rows = [cost_row(name, *both) for name, both in pairs.items() if all(both)]
    print_table(COST_COLUMNS, rows)


def cost_row(name: str, ours: list[Record], theirs: list[Record]) -> list[str]:
    """Return the row of one set."""
    run = theirs[0]
    our_seconds = mean_seconds(ours, "cpu")
    # All steps cost the same, however many there are.
    default = statistics.mean(r["train"]["cpu"] * r["default_steps"] / r["steps"] for r in theirs)
    memory = [statistics.median(r["mib"] for r in records) for records in (ours, theirs)]
    return [
        name,
        f"{our_seconds:.1f} ({mean_seconds(ours, 'wall'):.1f})",
        f"{mean_seconds(theirs, 'cpu'):.0f} ({mean_seconds(theirs, 'wall'):.0f})",
        f"{run['steps']} of {run['default_steps']:,}",
        f"{default:,.0f} s" + " (extrapolated)" * run["capped"],
        f"{default / our_seconds:.1f}x",
        f"{memory[0]:.0f} / {memory[1]:.0f}",
    ]


def mean_seconds(records: list[Record], clock: str) -> float:
    """Return the mean seconds of the training."""
    return statistics.mean(r["train"][clock] for r in records)
