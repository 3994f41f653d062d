"""What a ``gliner`` knows, and how it is saved: settings, labels, and their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Span
from spacy.vocab import Vocab

from ...errors import Errors
from ...gliner.checkpoint.label_vectors import label_vectors_to_bytes, load_label_vectors
from ...gliner.training.config import TrainingConfig
from ..checkpoint_model import CheckpointModel
from ..checkpoint_pipe import CheckpointPipe, Readers, Writers
from ..live_settings import ConfigEntry, LiveSettings
from .candidates import Candidates
from .config import GlinerPipeConfig
from .extensions import install_extension
from .labels import LabelReader, Labels, read_labels, warn_of_unknown_thresholds
from .shared_vectors import SharedVectors
from .trainer import ComponentTrainer

VECTORS = "label_vectors"
DEFAULT_THRESHOLD = 0.5


class GlinerState(CheckpointPipe):
    """Base class of the component: its settings and labels, and how they are saved.

    Attributes:
        cfg: The settings. They are read whenever they are needed, so they may be changed here at
            any time.
        trainer: Trains the model, by the settings of its ``config``.
    """

    part_names = (VECTORS,)
    no_labels, not_docs = Errors.SM162, Errors.SM165

    def __init__(
        self,
        vocab: Vocab,
        model: CheckpointModel,
        name: str = "gliner",
        *,
        config: GlinerPipeConfig,
        ents_filter: Callable[[Iterable[Span], Iterable[Span]], Iterable[Span]],
        candidates: Candidates = None,
        scorer: Callable | None = None,
        training: TrainingConfig | None = None,
        nlp: Language | None = None,
    ) -> None:
        install_extension()
        self.vocab = vocab
        self.model = model
        self.name = name
        settings = config.model_dump()
        self.cfg = LiveSettings(settings, ConfigEntry(nlp, name, settings))
        self.ents_filter = ents_filter
        self.candidates = candidates
        self.scorer = scorer
        self.trainer = ComponentTrainer(model, training or TrainingConfig())
        self._shared_vectors = SharedVectors()
        self._checked_names: tuple[tuple[str, ...], ...] = ()
        self._label_reader = LabelReader()
        self._has_warned = {"unspaced": False, "replaced": False, "hidden": False}
        self.set_labels(config.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, as they are written on spans."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> dict[str, str]:
        """The labels with the texts that the model reads for them, for ``initialize``."""
        return read_labels(self.cfg["labels"])

    @property
    def threshold(self) -> float:
        """Least probability of a span: that of the settings, of the checkpoint, or 0.5."""
        stated = (self.cfg["threshold"], self.model.checkpoint.config.inference_threshold)
        return next((value for value in stated if value is not None), DEFAULT_THRESHOLD)

    def set_labels(self, labels: Labels) -> None:
        """Replace all labels: a list of them, or a mapping of each to its label text.

        Raises:
            ValueError: SM108, SM130 or SM131 if they can't be used.
        """
        for label in read_labels(labels):
            self.vocab.strings.add(label)
        self.cfg["labels"] = dict(labels) if isinstance(labels, Mapping) else list(labels)

    def add_label(self, label: str, label_text: str | None = None) -> int:
        """Add a label, with the text that the model reads, by default the label in plain words.

        Returns:
            1 if the label is new, 0 if the component has it already.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        labels = self.cfg["labels"]
        if label in labels:
            return 0
        if label_text is None and not isinstance(labels, Mapping):
            self.set_labels([*labels, label])
        else:
            text = label_text or read_labels([label])[label]
            self.set_labels({**read_labels(labels), label: text})
        return 1

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings that differ from the config."""
        return self.cfg.entry.changes(self.cfg)

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Apply saved settings that differ from the config."""
        self.cfg.update(self.cfg.entry.accept(changes))
        self.set_labels(self.cfg["labels"])

    def part_writers(self, excluded: set[str]) -> Writers:
        """Return what writes the vectors of the labels, if this is a bi-encoder."""
        if "model" in excluded or not (gliner := self.model.checkpoint).config.is_bi:
            return {}
        texts = list(read_labels(self.cfg["labels"]).values())
        return {VECTORS: partial(label_vectors_to_bytes, gliner, texts)}

    def part_readers(self, excluded: set[str]) -> Readers:
        """Return what reads the vectors of the labels."""
        if "model" in excluded:
            return {}
        return {VECTORS: lambda *data: load_label_vectors(self.model.checkpoint, *data)}

    def _config(self, **overrides: Any) -> GlinerPipeConfig:
        """Return the current settings, validated; those of a call win if they are not None."""
        given = {name: value for name, value in overrides.items() if value is not None}
        return GlinerPipeConfig.read({**self.cfg, **given}, path=f"components.{self.name}")

    def _read_labels(self, labels: Labels | None) -> dict[str, str]:
        """Return the label texts of a call, or else the component's, by label."""
        if labels is not None:
            return self._label_reader.read(labels)
        self._require_labels()
        label_texts = self._label_reader.read(self.cfg["labels"])
        names = (self.labels, tuple(self.cfg["label_thresholds"]))
        if names != self._checked_names:
            self._checked_names = names
            warn_of_unknown_thresholds(label_texts, names[1])
        return label_texts
