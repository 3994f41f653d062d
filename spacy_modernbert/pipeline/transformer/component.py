"""The ``modernbert`` component: that of spacy-transformers, with spaCy's error handling."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from spacy import util
from spacy.pipeline import Tok2Vec
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers import Transformer, install_extensions
from spacy_transformers.annotation_setters import null_annotation_setter
from spacy_transformers.data_classes import FullTransformerBatch, TransformerData
from spacy_transformers.layers import TransformerListener
from thinc.api import Model

from ...errors import Warnings
from ...text.batching import batch_by_budget
from ..checkpoint_model import CheckpointModel
from ..error_handling import annotate_batch
from .listeners import Upstream, connect
from .pooling import pool_tokens, reduce_pieces
from .sequences import empty_data

# spacy-transformers does so when a component is created; unpickling creates none.
install_extensions()


class ModernBertTransformer(Transformer):
    """One encoder that any number of components listen to.

    It differs from its parent in a few ways. A Doc that cannot be encoded goes to the error
    handler, and the rest of the stream goes on. It can be frozen from the start of a training.
    Listeners check what they read (`listeners.Upstream`), and a pipeline can have several encoders.

    Args:
        vocab: The vocabulary of the pipeline.
        model: Docs to a batch of vectors.
        set_extra_annotations: Called with the Docs and the batch.
        name: The component's name.
        max_batch_items: Most tokens of a batch, counted as if all its Docs were as long as the
            longest.
        annotate_tensor: Whether the mean of each token's pieces goes to ``doc.tensor``.

    Attributes:
        later_encoders: Names of the encoders between this one and the end of the pipeline.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        set_extra_annotations: Callable = null_annotation_setter,
        *,
        name: str = "modernbert",
        max_batch_items: int = 4096,
        annotate_tensor: bool = False,
    ) -> None:
        self.annotate_tensor = annotate_tensor
        super().__init__(
            vocab, model, set_extra_annotations, name=name, max_batch_items=max_batch_items
        )

    @property
    def listener_map(self) -> dict[str, list[TransformerListener]]:
        """The listeners of each component. spaCy sets an empty map, then calls `find_listeners`."""
        return self._listener_map

    @listener_map.setter
    def listener_map(self, value: dict[str, list[TransformerListener]]) -> None:
        self._listener_map = value
        self.later_encoders: set[str] = set()

    def find_listeners(self, component: object) -> None:
        """Connect the listeners of a later component: those that name this encoder.

        Those that name none (``upstream = "*"``) belong to the nearest encoder before them. spaCy
        calls this for each later component, in the order of the pipeline.
        """
        if component is self:
            return
        name = getattr(component, "name", "")
        if isinstance(component, Transformer):
            self.later_encoders.add(name)
            return
        model = getattr(component, "model", None)
        nodes = list(model.walk()) if isinstance(model, Model) else []
        if self.annotate_tensor and (
            isinstance(component, Tok2Vec) or any(map(_reads_tensor, nodes))
        ):
            warnings.warn(Warnings.SMW042.format(name=self.name, component=name), stacklevel=2)
        for node in nodes:
            if not isinstance(node, TransformerListener):
                continue
            is_nearest = node.upstream_name == "*" and not self.later_encoders
            if node.upstream_name == self.name or is_nearest:
                self.add_listener(node, name)
            elif not isinstance(node.init, Upstream) or not node.init.has_encoder:
                connect(node, Upstream(node.upstream_name, name, there=self.name))

    def add_listener(self, listener: TransformerListener, component_name: str) -> None:
        """Add a listener of another component."""
        super().add_listener(listener, component_name)
        connect(listener, Upstream(self.name, component_name, self))

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

    def set_annotations(self, docs: Iterable[Doc], predictions: FullTransformerBatch) -> None:
        """Write the vectors to the Docs: to ``doc._.trf_data``, and ``doc.tensor`` if it is set.

        With another encoder in the pipeline, ``doc._.trf_data_by_encoder`` has those of each.
        """
        docs = list(docs)
        data = predictions.doc_data
        for number, doc in enumerate(docs):
            if len(doc) == 0:
                data[number] = self._nothing_read(data[number])
        super().set_annotations(docs, predictions)
        for doc in docs:
            by_encoder = doc._.trf_data_by_encoder
            if by_encoder is not None or self.later_encoders:
                doc._.trf_data_by_encoder = {**(by_encoder or {}), self.name: doc._.trf_data}
        if self.annotate_tensor:
            set_tensors(docs)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> ModernBertTransformer:
        """Load the component from a folder."""
        excluded = set(exclude)
        super().from_disk(path, exclude=excluded | {"model"})
        if "model" not in excluded:
            self.model.from_disk(Path(path) / "model")
        return self

    def _annotate(self, docs: Sequence[Doc]) -> None:
        self.set_annotations(docs, self.predict(docs))

    def _nothing_read(self, data: TransformerData) -> TransformerData:
        """Return the data of a Doc without tokens, with the width that its vectors would have."""
        if not isinstance(self.model, CheckpointModel):
            return data
        self.model.initialize()
        return empty_data(self.model.get_dim("nO"))


def set_tensors(docs: Iterable[Doc]) -> None:
    """Set ``doc.tensor`` from ``doc._.trf_data``: the mean of each token's pieces.

    *Shape:* (tokens, hidden), float32; zeros for a token without pieces.
    """
    docs = [doc for doc in docs if len(doc)]
    data = [doc._.trf_data for doc in docs]
    arrays = pool_tokens(reduce_pieces("mean"), grad_factor=1.0).predict(data)
    for doc, array in zip(docs, arrays, strict=True):
        doc.tensor = array.copy()  # the arrays are parts of one that holds the whole batch


def _reads_tensor(node: Model) -> bool:
    return isinstance(node, Tok2VecListener)
