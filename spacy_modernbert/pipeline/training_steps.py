"""The planned number of steps of a training."""

from __future__ import annotations

from spacy.language import Language


def planned_steps(nlp: Language | None) -> int | None:
    """Return ``max_steps`` of ``[training]``, or None if it does not apply to this training.

    Every pipeline has a ``[training]`` block, with spaCy's 20,000 steps unless the config says
    otherwise. A training loop of your own does not follow it, and a warm-up of a tenth of it would
    last longer than the training. `spacy train` is recognized by the path of its training corpus.

    Args:
        nlp: The pipeline that is initialized.
    """
    if nlp is None:
        return None
    config = nlp.config.interpolate()
    corpus = config.get("corpora", {}).get("train", {})
    steps = config.get("training", {}).get("max_steps")
    has_corpus = corpus.get("path", "none needed") is not None
    return steps if has_corpus and isinstance(steps, int) and steps > 0 else None
