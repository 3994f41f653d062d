"""What `debug-data` shows of the examples for ``gliner``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .reporting import some, warn_of_few

if TYPE_CHECKING:
    from spacy.training import Example

    from ..pipeline.gliner.statistics import SpanStatistics


def report_gliner(pipe: Any, train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Print what examples hold for a ``gliner``."""
    from wasabi import msg

    from ..pipeline.gliner.config import GlinerPipeConfig
    from ..pipeline.gliner.labels import read_labels
    from ..pipeline.gliner.statistics import count_spans

    config = GlinerPipeConfig.read(pipe.cfg, path="")
    found, held_out = (count_spans(each, config, pipe.model) for each in (train, dev))
    rows = [
        (label, text, found.per_label[label], held_out.per_label[label])
        for label, text in read_labels(config.labels).items()
    ]
    header = ("label", "the model reads", "training", "evaluation")
    msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "r"))
    warn_of_few(found.per_label, pipe.labels, what="spans", none="so nothing is learned of them")
    missing = [label for label in pipe.labels if not held_out.per_label[label]]
    if missing and dev:
        msg.warn(f"No spans to evaluate with: {some(missing)}")
    width = pipe.model.checkpoint.config.max_width
    _warn_of_spans(found, "training", width)
    _warn_of_spans(held_out, "evaluation", width)


def _warn_of_spans(counts: SpanStatistics, where: str, width: int) -> None:
    """Warn of Docs without annotation, and of spans that the model can't learn or find."""
    from wasabi import msg

    if n := counts.n_unannotated:
        msg.warn(f"{n} of {counts.n_docs} {where} Docs have no annotation, and do not count")
    if n := counts.n_without_spans:
        msg.info(f"{n} of {counts.n_docs} {where} Docs are annotated, and have no spans")
    if counts.unknown:
        msg.warn(f"Labels that the component does not have ({where}): {some(counts.unknown)}")
    coverage = counts.coverage
    for lost, why in (
        (coverage.too_wide, f"wider than the {width} words of the model's longest span"),
        (coverage.cut, "longer than what the model reads at once"),
        (coverage.crossing, "over a sentence start"),
        (counts.unaligned, "not aligned with tokens"),
    ):
        if n := lost.total():
            msg.warn(f"{n} {where} spans are {why}: {some(lost)}")
