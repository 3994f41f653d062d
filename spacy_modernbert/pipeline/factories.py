"""The component factories.

spaCy imports this file whenever a pipeline is made, so it is light: torch, transformers and
scikit-learn are imported where a component is really created.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from spacy.language import Language
from thinc.api import Config, Model

if TYPE_CHECKING:
    from .gliner import GlinerPipe
    from .transformer import ModernBertTransformer

DEFAULT_MODERNBERT = """
[modernbert]
max_batch_items = 4096

[modernbert.set_extra_annotations]
@annotation_setters = "spacy-transformers.null_annotation_setter.v1"

[modernbert.model]
@architectures = "spacy_modernbert.ModernBertModel.v1"
name = "answerdotai/ModernBERT-base"
max_length = null
stride = null
precision = "float32"
"""


@Language.factory(
    "modernbert",
    assigns=["doc._.trf_data"],
    default_config=Config().from_str(DEFAULT_MODERNBERT)["modernbert"],
)
def make_modernbert(
    nlp: Language,
    name: str,
    model: Model,
    set_extra_annotations: Callable,
    max_batch_items: int,
) -> "ModernBertTransformer":
    """Create the stock ``transformer`` pipe with our defaults, and with spaCy's error handling.

    Args:
        nlp: The pipeline.
        name: The component's name.
        model: Docs to a batch of vectors, such as ``spacy_modernbert.ModernBertModel.v1``.
        set_extra_annotations: Called with the Docs and the batch, after ``doc._.trf_data`` is set.
        max_batch_items: Most tokens of a batch, counted as if all Docs in it had the longest's.
    """
    from .transformer import ModernBertTransformer

    return ModernBertTransformer(
        nlp.vocab, model, set_extra_annotations, name=name, max_batch_items=max_batch_items
    )


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
window = null
stride = null
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
    window: int | None,
    stride: int | None,
    on_overflow: Literal["warn", "error"],
    device: str,
    scorer: Callable | None,
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
        window: Most words that are read at once. None: as many as in the checkpoint's training.
        stride: Words by which windows of one Doc overlap. None: an eighth of the window.
        on_overflow: Whether labels that don't fit beside a text are read in groups, or refused.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:0`` ...
        scorer: Scores the predictions.
    """
    from .gliner import GlinerPipe

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
        "window": window,
        "stride": stride,
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
    )
