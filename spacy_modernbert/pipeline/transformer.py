"""The ``modernbert`` pipe: spacy-transformers' own, with spaCy's error handling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy import util
from spacy.tokens import Doc
from spacy_transformers import Transformer
from spacy_transformers.layers import TransformerListener
from thinc.api import Model

from ..text.windows import batch_by_budget
from .encoder_model import EncoderModel, loaded_shim


class GiveWidth:
    """The ``init`` of a listener: asks the encoder how wide its vectors are.

    `spacy train` does not initialize frozen components, so a listener to a frozen encoder would
    never learn it. The encoder loads its checkpoint for that, unless it has weights already.
    """

    def __init__(self, encoder: EncoderModel) -> None:
        self.encoder = encoder

    def __call__(self, model: Model, X: object = None, Y: object = None) -> None:  # noqa: N803
        """Set the listener's width."""
        loaded_shim(self.encoder)
        model.set_dim("nO", self.encoder.get_dim("nO"), force=True)


class ModernBertTransformer(Transformer):
    """One encoder that any number of components listen to.

    Where it differs from its parent: a Doc that cannot be encoded goes to the error handler and
    the rest of the stream goes on, saved weights are mapped into memory instead of read, and it can
    be frozen from the start of a training.
    """

    def add_listener(self, listener: TransformerListener, component_name: str) -> None:
        """Take in a listener of another component. spaCy calls this for every pipeline."""
        super().add_listener(listener, component_name)
        if listener.has_dim("nO") is None and isinstance(self.model, EncoderModel):
            listener.init = GiveWidth(self.model)

    def __call__(self, doc: Doc) -> Doc:
        """Encode one Doc. The result is in ``doc._.trf_data``."""
        try:
            super().__call__(doc)
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Encode a stream of Docs.

        Args:
            stream: The Docs.
            batch_size: How many to gather before they are grouped by length.

        Yields:
            The Docs in their order, without those that the error handler has taken.
        """
        for docs in util.minibatch(stream, batch_size):
            failed: set[int] = set()
            lengths = [len(doc) for doc in docs]
            groups = batch_by_budget(lengths, budget=self.cfg["max_batch_items"], padded=True)
            for group in groups:
                failed.update(self._annotate(docs, group))
            yield from (doc for i, doc in enumerate(docs) if i not in failed)

    def _annotate(self, docs: list[Doc], group: list[int]) -> list[int]:
        """Encode some of the Docs and give those that failed, having told the error handler."""
        batch = [docs[i] for i in group]
        try:
            self.set_annotations(batch, self.predict(batch))
            return []
        except Exception as error:
            if len(group) > 1:  # one Doc must not take its neighbours down with it
                return [i for single in group for i in self._annotate(docs, [single])]
            self.get_error_handler()(self.name, self, batch, error)
            return group

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> ModernBertTransformer:
        """Load the pipe from a folder."""
        excluded = set(exclude)
        super().from_disk(path, exclude=excluded | {"model"})
        if "model" not in excluded:
            self.model.from_disk(Path(path) / "model")
        return self
