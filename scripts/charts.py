"""The pictures of the report, drawn by matplotlib, as SVG to be put into a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

RIGHT, WRONG = "#3a7d44", "#c44536"
# Text stays text, and the same data gives the same bytes.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9})


def draw_confusions(gold: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> str:
    """Draw the confusion matrix of categories.

    Args:
        gold: True category of each text.
        predicted: The most likely one of each text.
        names: All categories, in order.
    """
    size = 2.5 + 0.4 * len(names)
    figure = Figure(figsize=(size, size))
    matrix = confusion_matrix(gold, predicted, labels=list(names))
    display = ConfusionMatrixDisplay(matrix, display_labels=list(names))
    display.plot(ax=figure.subplots(), cmap="Blues", colorbar=False, xticks_rotation=60)
    display.ax_.set(xlabel="predicted", ylabel="annotated")
    return to_svg(figure)


def draw_scores(
    right: Sequence[float], wrong: Sequence[float], what: str, *, threshold: float | None = None
) -> str:
    """Draw the distributions of the scores of correct and wrong predictions.

    Args:
        right: Scores of the correct predictions, 0 to 1.
        wrong: Scores of the wrong ones, 0 to 1.
        what: Name of the predictions.
        threshold: Score above which a prediction counts.
    """
    figure = Figure(figsize=(5, 2.8))
    axes = figure.subplots()
    bins = np.linspace(0.0, 1.0, 21)
    labels = [f"right ({len(right)})", f"wrong ({len(wrong)})"]
    axes.hist([right, wrong], bins, stacked=True, label=labels, color=[RIGHT, WRONG])
    axes.set(xlabel=f"score of {what}", ylabel="count", xlim=(0.0, 1.0))
    if threshold is not None:
        axes.axvline(threshold, color="#222", linestyle="--", label=f"threshold {threshold:g}")
    axes.legend()
    return to_svg(figure)


def draw_curves(
    steps: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    ylabel: str,
    *,
    logarithmic: bool = False,
) -> str:
    """Draw curves over the steps of the training.

    Args:
        steps: Steps.
        curves: Name -> a number for each step.
        ylabel: What the numbers are.
        logarithmic: For numbers that differ by orders of magnitude.
    """
    figure = Figure(figsize=(5, 2.8))
    axes = figure.subplots()
    for name, values in curves.items():
        # A logarithmic axis cannot show 0.
        shown = [value if value > 0 or not logarithmic else np.nan for value in values]
        axes.plot(steps, shown, marker=".", label=name)
    axes.set(xlabel="step", ylabel=ylabel)
    if logarithmic and any(value > 0 for values in curves.values() for value in values):
        axes.set_yscale("log")
    axes.legend()
    axes.grid(alpha=0.3)
    return to_svg(figure)


def label_colors(labels: Iterable[str]) -> dict[str, str]:
    """Assign each label a pale color, on which black text is legible."""
    palette = mpl.colormaps["Pastel1"].colors
    names = sorted(labels)
    return {name: mpl.colors.to_hex(palette[i % len(palette)]) for i, name in enumerate(names)}


def to_svg(figure: Figure) -> str:
    """Return a figure as an SVG element."""
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = file.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
