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
from ..model_name import read_model
from ..versions import check_versions
from .config import SetfitTextcatConfig

if TYPE_CHECKING:
    from .component import SetfitTextcat

_BLOCKS = """
[scorer]
@scorers = "spacy_modernbert.setfit_scorer.v1"

[model]
@architectures = "spacy_modernbert.SentenceEncoder.v1"
name = "bundled"
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
_UNWEIGHTED = "score_desc micro_p micro_r micro_f macro_p macro_r macro_f macro_auc f_per_type"
_SCORES = {"cats_score": 1.0, **{f"cats_{name}": None for name in _UNWEIGHTED.split()}}


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
    model: Model | str,
    threshold: float,
    multi_label: bool,
    abstain_label: str | None,
    abstain_threshold: float,
    windows: Literal["mean", "max"] | None,
    keep_support: Literal["none", "vectors", "texts"],
    max_support: int,
    device: str,
    training: Dict[str, Any],  # noqa: UP006
    head: Dict[str, Any],  # noqa: UP006
    scorer: Callable | None,
) -> "SetfitTextcat":
    """Create the component that learns categories from a handful of texts each.

    ``model`` turns Docs into one vector each, as ``spacy_modernbert.SentenceEncoder.v1`` does. For
    the settings see `SetfitTextcatConfig`, `SetfitTrainingConfig` and `HeadConfig`.

    Raises:
        ValueError: SM065 where a setting is unknown or out of range, SM215 where ``windows`` is set
            for the encoder of another component.
    """
    from .component import SetfitTextcat

    check_versions()
    model = read_model(model, name)
    settings = {
        "threshold": threshold,
        "multi_label": multi_label,
        "abstain_label": abstain_label,
        "abstain_threshold": abstain_threshold,
        "windows": windows,
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
        nlp=nlp,
    )
