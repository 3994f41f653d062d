"""The component factories.

spaCy imports this file whenever a pipeline is made, so it is light: torch, transformers and
scikit-learn are imported where a component is really created.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from spacy.language import Language
from thinc.api import Config, Model

from ..setfit.regression import HeadSettings
from ..setfit.schedule import LossName, Schedule
from ..setfit.support import CAPACITY
from .versions import check_versions

if TYPE_CHECKING:
    from .gliner import GlinerPipe
    from .setfit_textcat import SetfitTextcat
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

    check_versions()
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
features = "own"
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
    stride: int | None,
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
        stride: Words by which windows of one Doc overlap. None: an eighth of the window.
        on_overflow: Whether labels that don't fit beside a text are read in groups, or refused.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda:0`` ...
        scorer: Scores the predictions.
        training: How the component learns: ``spacy_modernbert.gliner_training.v1``.
    """
    from .gliner import GlinerPipe

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
        training=training,
    )


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
    from .setfit_textcat import SetfitTextcat

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
