"""The factories of ``setfit_textcat``.

spaCy imports this file whenever a pipeline is made, so it imports torch only where a component is
created.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Dict, Literal  # noqa: UP035 - as pydantic 1 knows it

from spacy.language import Language
from thinc.api import Config, Model

from ...setfit.head.config import HeadConfig
from ...setfit.training.config import SetfitTrainingConfig
from ..versions import check_versions
from .config import SetfitTextcatConfig

if TYPE_CHECKING:
    from .component import SetfitTextcat

_BLOCKS = """
[scorer]
@scorers = "spacy_modernbert.setfit_scorer.v1"

[model]
@architectures = "spacy_modernbert.SentenceEncoder.v1"
name = "sentence-transformers/all-MiniLM-L6-v2"
pooling = null
normalize = null
prompt = null
max_length = null
precision = "float32"
"""
_DEFAULTS = {
    **SetfitTextcatConfig.defaults(),
    "training": SetfitTrainingConfig.defaults(),
    "head": HeadConfig.defaults(),
    **Config().from_str(_BLOCKS),
}
_SCORES = {
    "cats_score": 1.0,
    "cats_score_desc": None,
    "cats_micro_p": None,
    "cats_micro_r": None,
    "cats_micro_f": None,
    "cats_macro_p": None,
    "cats_macro_r": None,
    "cats_macro_f": None,
    "cats_macro_auc": None,
    "cats_f_per_type": None,
}


@Language.factory(
    "setfit_textcat_multilabel",
    assigns=["doc.cats"],
    default_config={**_DEFAULTS, "multi_label": True},
    default_score_weights=_SCORES,
)
@Language.factory(
    "setfit_textcat",
    assigns=["doc.cats"],
    default_config=_DEFAULTS,
    default_score_weights=_SCORES,
)
def make_setfit_textcat(
    nlp: Language,
    name: str,
    model: Model,
    threshold: float,
    multi_label: bool,
    abstain_label: str | None,
    abstain_threshold: float,
    keep_support: Literal["none", "vectors", "texts"],
    max_support: int,
    device: str,
    training: Dict[str, Any],  # noqa: UP006
    head: Dict[str, Any],  # noqa: UP006
    scorer: Callable | None,
) -> "SetfitTextcat":
    """Create the component that learns categories from a handful of texts each.

    Args:
        nlp: The pipeline.
        name: Name of the component.
        model: Docs to one vector each, such as ``spacy_modernbert.SentenceEncoder.v1``.
        threshold: See `SetfitTextcatConfig`, as for all settings up to ``device``.
        multi_label: Whether a text can have several labels, or none.
        abstain_label: A label for texts that are unlike all examples.
        abstain_threshold: Abstain score above which a text has that label.
        keep_support: What a saved pipeline keeps of the texts it learned from.
        max_support: Most texts it learns from at a time.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:0`` ...
        training: How the encoder is trained; see `SetfitTrainingConfig`.
        head: How the classifier is fitted; see `HeadConfig`.
        scorer: Scores the predictions.

    Raises:
        ValueError: SM065 where a setting is unknown or out of range.
    """
    from .component import SetfitTextcat

    check_versions()
    settings = {
        "threshold": threshold,
        "multi_label": multi_label,
        "abstain_label": abstain_label,
        "abstain_threshold": abstain_threshold,
        "keep_support": keep_support,
        "max_support": max_support,
        "device": device,
    }
    return SetfitTextcat(
        nlp.vocab,
        model,
        name,
        settings=SetfitTextcatConfig.read(settings, path=""),
        training=SetfitTrainingConfig.read(training, path="training"),
        head=HeadConfig.read(head, path="head"),
        scorer=scorer,
    )
