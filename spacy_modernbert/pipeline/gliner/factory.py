"""The factory of ``gliner``.

spaCy imports this file whenever a pipeline is made, so it imports torch only where a component is
created.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from spacy.language import Language
from thinc.api import Config, Model

from ..versions import check_versions

if TYPE_CHECKING:
    from .component import GlinerPipe

DEFAULT_GLINER = """
[gliner]
labels = []
threshold = 0.5
label_thresholds = {}
words = "spacy"
decoding = "flat"
multi_label = false
spans_key = "sc"
annotate_ents = true
overwrite = false
candidates = null
features = "own"
window = null
overlap = null
on_overflow = "warn"
device = "auto"

[gliner.ents_filter]
@misc = "spacy_modernbert.highest_score_filter.v1"

[gliner.scorer]
@scorers = "spacy_modernbert.gliner_scorer.v1"

[gliner.model]
@architectures = "spacy_modernbert.Gliner.v1"
name = "urchade/gliner_small-v2.1"
precision = "float32"

[gliner.training]
@misc = "spacy_modernbert.gliner_training.v1"
"""


@Language.factory(
    "gliner",
    assigns=["doc.spans", "doc.ents", "token.ent_iob", "token.ent_type"],
    default_config=Config().from_str(DEFAULT_GLINER)["gliner"],
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "spans_sc_f": None,
        "spans_sc_p": None,
        "spans_sc_r": None,
        "spans_sc_per_type": None,
    },
)
def make_gliner(
    nlp: Language,
    name: str,
    model: Model,
    labels: dict[str, str] | list[str],
    threshold: float,
    label_thresholds: dict[str, float],
    words: Literal["spacy", "gliner"],
    decoding: Literal["flat", "nested"],
    multi_label: bool,
    spans_key: str,
    annotate_ents: bool,
    overwrite: bool,
    ents_filter: Callable,
    candidates: str | Callable | None,
    features: Literal["own", "doc"],
    window: int | None,
    overlap: int | None,
    on_overflow: Literal["warn", "error"],
    device: str,
    scorer: Callable | None,
    training: Any,
) -> "GlinerPipe":
    """Create the component that finds entities of any kind by their names.

    Args:
        nlp: The pipeline.
        name: The component's name.
        model: A GLiNER, such as ``spacy_modernbert.Gliner.v1``.
        labels: Labels that say what they mean, or label -> the words that the model reads.
        threshold: Least probability of a span, exclusive.
        label_thresholds: The same for single labels.
        words: ``spacy`` reads the Doc's tokens, ``gliner`` what upstream's regex makes of its text.
        decoding: ``flat``: no two spans overlap; ``nested``: one may lie within another.
        multi_label: Whether a span may have several labels.
        spans_key: All spans go to this group of ``doc.spans``, with scores.
        annotate_ents: Whether spans also go to ``doc.ents``.
        overwrite: Whether entities that are there already are removed first.
        ents_filter: Takes the Doc's entities and the new spans, the best first, and gives entities
            that do not overlap.
        candidates: ``ents``, a key of ``doc.spans``, or a suggester as ``spancat`` has them: only
            these spans are classified. None: all spans are.
        features: ``own`` reads texts with the checkpoint's own text encoder; ``doc`` takes the
            vectors of a ``transformer`` in front that has the same weights (bi-encoders only).
        window: Most words that are read at once. None: as many as in the checkpoint's training.
        overlap: Words by which windows of one Doc overlap. None: an eighth of the window.
        on_overflow: Whether labels that don't fit beside a text are read in groups, or refused.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:0`` ...
        scorer: Scores the predictions.
        training: How the component learns: ``spacy_modernbert.gliner_training.v1``.
    """
    from .component import GlinerPipe

    check_versions()
    settings = {
        "labels": labels,
        "threshold": threshold,
        "label_thresholds": label_thresholds,
        "words": words,
        "decoding": decoding,
        "multi_label": multi_label,
        "spans_key": spans_key,
        "annotate_ents": annotate_ents,
        "overwrite": overwrite,
        "features": features,
        "window": window,
        "overlap": overlap,
        "on_overflow": on_overflow,
        "device": device,
    }
    return GlinerPipe(
        nlp.vocab,
        model,
        name,
        settings=settings,
        ents_filter=ents_filter,
        candidates=candidates,
        scorer=scorer,
        training=training,
    )
