"""The factory of ``gliner``.

spaCy imports this file whenever a pipeline is created, so torch is imported only when a component
is.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from spacy.language import Language
from thinc.api import Model

from ...encoder.bundled import BUNDLED
from ...gliner.training.config import TrainingConfig
from ..model_name import read_model
from ..versions import check_versions
from .config import GlinerPipeConfig
from .extensions import install_doc_extensions
from .labels import check_form

if TYPE_CHECKING:
    from .component import GlinerPipe

install_doc_extensions()

DEFAULT_CONFIG = {
    **GlinerPipeConfig.defaults(),
    "candidates": None,
    "ents_filter": {"@misc": "spacy_modernbert.highest_score_filter.v1"},
    "scorer": {"@scorers": "spacy_modernbert.gliner_scorer.v1"},
    "model": {
        "@architectures": "spacy_modernbert.Gliner.v1",
        "name": BUNDLED,
        "precision": "float32",
    },
    "training": TrainingConfig.defaults(),
}


@Language.factory(
    "gliner",
    assigns=["doc.spans", "doc.ents", "token.ent_iob", "token.ent_type"],
    default_config=DEFAULT_CONFIG,
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
def make_gliner(  # noqa: D417 - the other settings are described once, where they are defined
    nlp: Language,
    name: str,
    model: Model | str,
    labels: Any,  # spaCy would say of a string that it is no dict[str, str]; see `check_form`
    threshold: float | None,
    label_thresholds: dict[str, float],
    words: Literal["spacy", "char", "gliner"],
    decoding: Literal["flat", "nested"],
    multi_label: bool,
    cross_sentences: bool,
    spans_key: str | None,
    annotate_ents: bool,
    overwrite: bool,
    features: Literal["own", "doc"],
    window: int | None,
    overlap: int | None,
    on_overflow: Literal["warn", "error"],
    device: str,
    candidates: str | Callable | None,
    ents_filter: Callable,
    scorer: Callable | None,
    training: dict[str, Any],
) -> "GlinerPipe":
    """Create the component that finds entities of any type by the names of the types.

    `GlinerPipeConfig` describes the settings that are not listed here.

    Args:
        nlp: The pipeline.
        name: The component's name.
        model: A GLiNER, such as ``spacy_modernbert.Gliner.v1``.
        candidates: ``ents``, a key of ``doc.spans``, or a suggester as ``spancat`` takes: only
            these spans are classified. None: all spans are.
        ents_filter: Takes the Doc's entities and the new spans, best first, and returns entities
            that do not overlap.
        scorer: Scores the predictions.
        training: How the component is trained: see `TrainingConfig`.

    Raises:
        ValueError: SM065 if a setting is unknown or out of range, SM131 if the labels are no
            list and no mapping.
    """
    from .component import GlinerPipe

    check_versions()
    model = read_model(model, name)
    check_form(labels)
    config = GlinerPipeConfig.read(
        {
            "labels": labels,
            "threshold": threshold,
            "label_thresholds": label_thresholds,
            "words": words,
            "decoding": decoding,
            "multi_label": multi_label,
            "cross_sentences": cross_sentences,
            "spans_key": spans_key,
            "annotate_ents": annotate_ents,
            "overwrite": overwrite,
            "features": features,
            "window": window,
            "overlap": overlap,
            "on_overflow": on_overflow,
            "device": device,
        },
        path=f"components.{name}",
    )
    return GlinerPipe(
        nlp.vocab,
        model,
        name,
        config=config,
        candidates=candidates,
        ents_filter=ents_filter,
        scorer=scorer,
        training=TrainingConfig.read(training, path=f"components.{name}.training"),
        nlp=nlp,
    )
