"""Settings of the ``gliner`` component. Importing them does not import torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...settings import Settings

Probability = Annotated[float, Field(ge=0, le=1)]


class GlinerPipeConfig(Settings):
    """What the component looks for, and where it writes its predictions."""

    labels: dict[str, str] | list[str] = []
    """A list of labels, or a mapping of each label to its label text, which the model reads."""
    threshold: Probability | None = None
    """Least probability of a span, exclusive. Null: as the checkpoint says, or else 0.5."""
    label_thresholds: dict[str, Probability] = {}
    """The same for single labels."""
    words: Literal["spacy", "char", "gliner"] = "spacy"
    """What the model reads as words: the tokens, cut at punctuation within them (`spacy`), the same
    with each character of a script without spaces as a word (`char`), or those of upstream's regex
    (`gliner`). A span always becomes one of whole tokens."""
    decoding: Literal["flat", "nested"] = "flat"
    """`flat`: no two spans overlap; `nested`: a span may lie within another."""
    multi_label: bool = False
    """Whether a span may have several labels."""
    cross_sentences: bool = False
    """Whether a span may contain the start of a sentence, where the Doc has sentences."""
    spans_key: str | None = "sc"
    """The group of `doc.spans` that all spans are written to, with their scores. Null: none."""
    annotate_ents: bool = True
    """Whether spans are also written to `doc.ents`."""
    overwrite: bool = False
    """Whether entities that are already in the Doc are removed first."""
    features: Literal["own", "doc"] = "own"
    """`own` runs the checkpoint's text encoder; `doc` takes the vectors of a `transformer` with the
    same weights (bi-encoders only)."""
    window: Annotated[int, Field(ge=1)] | None = None
    """Most words that are read at once. Null: as the checkpoint says, or else as many as in its
    training."""
    overlap: Annotated[int, Field(ge=0)] | None = None
    """Words that two windows of a Doc share. Null: an eighth of the window, or none where windows
    meet at the start of a sentence."""
    on_overflow: Literal["warn", "error"] = "warn"
    """Whether labels that do not fit beside a text are read in groups, or refused."""
    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda:0` ..."""

    @property
    def word_mode(self) -> Literal["spacy", "char", "gliner", "tokens"]:
        """How words are read: a shared encoder has whole tokens only."""
        return "tokens" if self.features == "doc" and self.words == "spacy" else self.words


class NewHeadConfig(Settings):
    """An encoder with an untrained head, in place of the checkpoint."""

    encoder: str | None = None
    """Folder or hub name of the text encoder. Null: no new head."""
    labels_encoder: str | None = None
    """Folder or hub name of a second encoder, for the labels: the new GLiNER is a bi-encoder."""
    head: Literal["span", "token"] = "span"
    """Whether the head scores spans, or words."""
    max_width: Annotated[int, Field(ge=1)] = 12
    """Most words of a span."""
    max_len: Annotated[int, Field(ge=1)] = 384
    """Most words that are read at once."""
    hidden_size: Annotated[int, Field(ge=1)] | None = None
    """Width of the head. Null: that of the encoder."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Dropout rate in the head."""
    head_init: Literal["random", "similarity"] = "random"
    """Random weights, or, in a bi-encoder that scores spans, the similarity of words and labels."""
