"""What `debug-data` shows of the examples for ``setfit_textcat``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .reporting import some, warn_of_few

if TYPE_CHECKING:
    from spacy.training import Example

    from ..pipeline.setfit_textcat.config import LearningSettings
    from ..pipeline.setfit_textcat.statistics import TextcatStatistics


def report_setfit_textcat(pipe: Any, train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Print what examples hold for a ``setfit_textcat``."""
    from wasabi import msg

    from ..pipeline.setfit_textcat.statistics import count_examples

    settings = pipe.learning_settings
    found, held_out = (count_examples(each, settings, pipe.model) for each in (train, dev))
    rows = [(label, found.per_label[label], held_out.per_label[label]) for label in pipe.labels]
    header = ("label", "training", "evaluation")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
    none = "names stand in for them"
    warn_of_few(found.per_label, settings.labels, what="examples", none=none)
    missing = [label for label in settings.labels if not held_out.per_label[label]]
    if missing and dev:
        msg.warn(f"No examples to evaluate with: {some(missing)}")
    if found.n_several:
        msg.info(f"{found.n_several} training texts have more than one label")
    _warn_of_texts(found, "training", settings)
    _warn_of_texts(held_out, "evaluation", settings)


def _warn_of_texts(counts: TextcatStatistics, where: str, settings: LearningSettings) -> None:
    """Warn of texts that are not learned, contradict each other, or are too long."""
    from wasabi import msg

    for reason, text in (
        ("empty", "have no text"),
        ("bare", "have none of the labels"),
        ("outside", f"have the label '{settings.flat.abstain_label}', which is not learned"),
    ):
        if n := counts.useless[reason]:
            msg.warn(f"{n} of {counts.n_texts} {where} texts {text}")
    if counts.unknown:
        msg.warn(f"Labels that the component does not have ({where}): {some(counts.unknown)}")
    if counts.n_repeated:
        msg.info(f"{counts.n_repeated} {where} texts come again with the same labels")
    if n := len(counts.conflicting):
        texts = some(repr(text[:40]) for text in counts.conflicting)
        msg.warn(f"{n} {where} texts come again with other labels: {texts}")
    if counts.n_long:
        is_cut = settings.flat.windows is None
        what = "lose their end: set `windows`" if is_cut else "are read in windows"
        longer = f"longer than the {counts.limit} pieces of the encoder"
        msg.warn(f"{counts.n_long} {where} texts are {longer}, and {what}")
