"""Count the passes of the shared encoder, and print the scores of each component.

    python scripts/count_passes.py training/shared/model-best corpus/test.spacy metrics/shared.json

The exit status is 1 if the encoder read a text more than once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import spacy
import srsly
import typer
from predictions import entity_keys, span_scores
from show import score_rows
from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Corpus
from wasabi import msg

from spacy_modernbert.encoder.modernbert import ModernBert
from spacy_modernbert.encoder.packing import PackedBatch


def main(pipeline: str, gold: Path, scores: Path) -> None:
    """Run PIPELINE on the texts of GOLD, count the sequences it encodes, and print SCORES."""
    nlp = spacy.load(pipeline)
    references = [example.reference for example in Corpus(gold)(nlp)]
    texts = [reference.text for reference in references]
    nlp(texts[0])  # gliner encodes its labels and compares one Doc with its own encoder only once
    n_encoded: list[int] = []

    def count(module: object, inputs: tuple[PackedBatch, ...]) -> None:
        n_encoded.append(len(inputs[0].lengths))

    hooks = [
        module.register_forward_pre_hook(count)
        for name in nlp.pipe_names
        for node in nlp.get_pipe(name).model.walk()
        for shim in node.shims
        for module in getattr(shim._model, "modules", list)()
        if isinstance(module, ModernBert)
    ]
    docs = list(nlp.pipe(texts))
    for hook in hooks:
        hook.remove()
    header = ("component", "finds", "precision", "recall", "F", "words a second")
    rows = [("ner, setfit_textcat", *row) for row in score_rows(srsly.read_json(scores))]
    rows.append(("gliner", "spans", *score_spans(docs, references), ""))
    msg.table(rows, header=header, divider=True, aligns=("l", "l", "r", "r", "r", "r"))
    windows = sum(len(doc._.trf_data.wordpieces) for doc in docs)
    if sum(n_encoded) != windows:
        message = f"Encoded {sum(n_encoded)} sequences for {windows} windows of {len(texts)} texts"
        msg.fail(message, exits=1)
    msg.good(f"{', '.join(nlp.pipe_names)}: {len(texts)} texts, each read once by the encoder")


def score_spans(docs: Iterable[Doc], references: Iterable[Doc]) -> list[str]:
    """Return precision, recall and F of spans that are not in ``doc.ents``, in percent."""
    prf = PRFScore()
    for doc, reference in zip(docs, references, strict=True):
        prf.score_set(set(span_scores(doc)), entity_keys(reference))
    return [f"{100 * value:.1f}" for value in (prf.precision, prf.recall, prf.fscore)]


if __name__ == "__main__":
    typer.run(main)
