"""Docs that fail: they go to the error handler, and their neighbors are annotated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from spacy import util
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc


def annotate_stream(
    pipe: TrainablePipe,
    stream: Iterable[Doc],
    annotate: Callable[[Sequence[Doc]], None],
    *,
    batch_size: int,
) -> Iterator[Doc]:
    """Annotate a stream of Docs, batch by batch.

    Args:
        pipe: The component, whose error handler gets the Docs that fail.
        stream: The Docs.
        annotate: Annotates a batch, in place.
        batch_size: Docs of a batch.

    Yields:
        The Docs in their order, without those that failed.
    """
    for docs in util.minibatch(stream, batch_size):
        yield from annotate_batch(pipe, docs, annotate)


def annotate_batch(
    pipe: TrainablePipe, docs: Sequence[Doc], annotate: Callable[[Sequence[Doc]], None]
) -> list[Doc]:
    """Annotate a batch; if that fails, annotate its Docs one by one.

    Args:
        pipe: The component, whose error handler gets the Docs that fail.
        docs: The batch.
        annotate: Annotates a batch, in place.

    Returns:
        The Docs in their order, without those that failed.
    """
    try:
        annotate(docs)
        return list(docs)
    except Exception as error:
        if len(docs) == 1:
            pipe.get_error_handler()(pipe.name, pipe, list(docs), error)
            return []
    return [doc for single in docs for doc in annotate_batch(pipe, [single], annotate)]
