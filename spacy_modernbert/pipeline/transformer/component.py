"""The ``modernbert`` component: that of spacy-transformers, with spaCy's error handling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spacy import util
from spacy.tokens import Doc
from spacy_transformers import Transformer, install_extensions
from spacy_transformers.layers import TransformerListener
from thinc.api import Model

from ...text.batching import batch_by_budget
from ..checkpoint_model import CheckpointModel
from ..error_handling import annotate_batch

# spacy-transformers does so when a component is created; unpickling creates none.
install_extensions()


class SetWidth:
    """The ``init`` of a listener: takes the width of the vectors from the encoder.

    `spacy train` does not initialize frozen components, so a listener to a frozen encoder would
    never get its width. The encoder loads its checkpoint for that, unless it has weights already.
    """

    def __init__(self, encoder: CheckpointModel) -> None:
        self.encoder = encoder

    def __call__(self, model: Model, X: object = None, Y: object = None) -> None:  # noqa: N803
        """Set the listener's width."""
        self.encoder.initialize()
        model.set_dim("nO", self.encoder.get_dim("nO"), force=True)


class ModernBertTransformer(Transformer):
    """One encoder that any number of components listen to.

    It differs from its parent in two ways. A Doc that cannot be encoded goes to the error handler,
    and the rest of the stream goes on. And it can be frozen from the start of a training.
    """

    def add_listener(self, listener: TransformerListener, component_name: str) -> None:
        """Add a listener of another component. spaCy calls this for every pipeline."""
        super().add_listener(listener, component_name)
        if listener.has_dim("nO") is None and isinstance(self.model, CheckpointModel):
            listener.init = SetWidth(self.model)

    def __call__(self, doc: Doc) -> Doc:
        """Encode one Doc. The result is in ``doc._.trf_data``."""
        annotate_batch(self, [doc], self._annotate)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Encode a stream of Docs.

        Yields:
            The Docs in their order, without those that the error handler has taken.
        """
        for docs in util.minibatch(stream, batch_size):
            lengths = [len(doc) for doc in docs]
            groups = batch_by_budget(lengths, budget=self.cfg["max_batch_items"], padded=True)
            batches = ([docs[i] for i in group] for group in groups)
            encoded = [
                doc for batch in batches for doc in annotate_batch(self, batch, self._annotate)
            ]
            kept = {id(doc) for doc in encoded}
            yield from (doc for doc in docs if id(doc) in kept)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> ModernBertTransformer:
        """Load the component from a folder."""
        excluded = set(exclude)
        super().from_disk(path, exclude=excluded | {"model"})
        if "model" not in excluded:
            self.model.from_disk(Path(path) / "model")
        return self

    def _annotate(self, docs: Sequence[Doc]) -> None:
        self.set_annotations(docs, self.predict(docs))
