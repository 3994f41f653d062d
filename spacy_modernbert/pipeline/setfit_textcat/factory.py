"""The factory of ``setfit_textcat``.

spaCy imports this file whenever a pipeline is made, so it imports torch only where a component is
created.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from spacy.language import Language
from thinc.api import Config, Model

from ...setfit.head.logistic_regression import HeadSettings
from ...setfit.training.schedule import LossName, Schedule
from ...setfit.training.support_set import CAPACITY
from ..versions import check_versions

if TYPE_CHECKING:
    from .component import SetfitTextcat

DEFAULT_SETFIT = """
[setfit]
threshold = 0.5
multi_label = false
batch_texts = 64
train_encoder = true
keep_support = "none"
abstain_label = null
abstain_threshold = 0.5
device = "auto"

[setfit.scorer]
@scorers = "spacy_modernbert.setfit_scorer.v1"

[setfit.model]
@architectures = "spacy_modernbert.SentenceEncoder.v1"
name = "sentence-transformers/all-MiniLM-L6-v2"
pooling = null
normalize = null
prompt = null
max_length = null
precision = "float32"
"""

_SETFIT_SCORES = {
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


def _setfit_defaults(*, multi_label: bool) -> dict[str, Any]:
    """Complete the defaults with those of the training, which are said where it is."""
    return {
        **Config().from_str(DEFAULT_SETFIT)["setfit"],
        "multi_label": multi_label,
        "loss": Schedule.loss,
        "learn_rate": Schedule.learn_rate,
        "weight_decay": Schedule.weight_decay,
        "warmup_steps": Schedule.warmup_steps,
        "total_steps": Schedule.total_steps,
        "dropout": Schedule.dropout,
        "freeze_embeddings": Schedule.freeze_embeddings,
        "blend": None,
        "seed": Schedule.seed,
        "head_C": HeadSettings.C,
        "class_weight": HeadSettings.class_weight,
        "calibrate": HeadSettings.calibrate,
        "max_support": CAPACITY,
    }


@Language.factory(
    "setfit_textcat_multilabel",
    assigns=["doc.cats"],
    default_config=_setfit_defaults(multi_label=True),
    default_score_weights=_SETFIT_SCORES,
)
@Language.factory(
    "setfit_textcat",
    assigns=["doc.cats"],
    default_config=_setfit_defaults(multi_label=False),
    default_score_weights=_SETFIT_SCORES,
)
def make_setfit_textcat(
    nlp: Language,
    name: str,
    model: Model,
    threshold: float,
    multi_label: bool,
    loss: LossName,
    batch_texts: int,
    learn_rate: float | None,
    weight_decay: float,
    warmup_steps: int,
    total_steps: int | None,
    dropout: float | None,
    train_encoder: bool,
    freeze_embeddings: bool,
    blend: float | None,
    head_C: float | Literal["cv"],  # noqa: N803
    class_weight: Literal["balanced"] | None,
    calibrate: bool,
    abstain_label: str | None,
    abstain_threshold: float,
    keep_support: Literal["none", "vectors", "texts"],
    max_support: int,
    seed: int,
    device: str,
    scorer: Callable | None,
) -> "SetfitTextcat":
    """Create the component that learns categories from a handful of texts each.

    Args:
        nlp: The pipeline.
        name: The component's name.
        model: Docs to one vector each, such as ``spacy_modernbert.SentenceEncoder.v1``.
        threshold: Least probability of a label, for the scorer, where a text can have several.
        multi_label: Whether a text can have several labels, or none.
        loss: ``cosine`` or ``supcon``.
        batch_texts: Texts of a training step; what the batch lacks is drawn from earlier texts,
            class by class. 0: only the batch.
        learn_rate: Highest learning rate of the component's own AdamW. None: the steps are taken by
            the optimiser of ``[training]``, at its rate.
        weight_decay: Of that AdamW.
        warmup_steps: Steps over which the rate rises.
        total_steps: Step at which the rate is back at 0, and training is over. None: it stays.
        dropout: Dropout rate of the training. None: that of ``[training]``.
        train_encoder: Whether the encoder is trained, or only the classifier on top of it.
        freeze_embeddings: Whether the encoder's piece embeddings stay as they are.
        blend: How far the encoder in use is on the way from the one before the training (0) to the
            one after it (1). None: 0.9, but ``fit`` with 256 texts or more, and no others to
            judge by, does not train on a quarter of them and takes what suits these best.
        head_C: Inverse strength of the classifier's penalty, or ``cv`` to choose one.
        class_weight: ``balanced`` gives all labels the same weight, however many texts they have.
        calibrate: Whether probabilities are scaled by a temperature found on held-out texts.
        abstain_label: A label for texts that are unlike all examples.
        abstain_threshold: Abstain score from which on a text has that label.
        keep_support: What a saved pipeline keeps of the texts it learnt from.
        max_support: Most texts it learns from at a time; of more, a class-balanced sample.
        seed: Of the order of texts, of dropout and of folds.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:0`` ...
        scorer: Scores the predictions.
    """
    from .component import SetfitTextcat

    check_versions()
    settings = {
        "threshold": threshold,
        "multi_label": multi_label,
        "loss": loss,
        "batch_texts": batch_texts,
        "learn_rate": learn_rate,
        "weight_decay": weight_decay,
        "warmup_steps": warmup_steps,
        "total_steps": total_steps,
        "dropout": dropout,
        "train_encoder": train_encoder,
        "freeze_embeddings": freeze_embeddings,
        "blend": blend,
        "head_C": head_C,
        "class_weight": class_weight,
        "calibrate": calibrate,
        "abstain_label": abstain_label,
        "abstain_threshold": abstain_threshold,
        "keep_support": keep_support,
        "max_support": max_support,
        "seed": seed,
        "device": device,
    }
    return SetfitTextcat(nlp.vocab, model, name, settings=settings, scorer=scorer)
