"""A command that shows which pieces belong to which token."""

from __future__ import annotations

from typing import Annotated

import typer

_MODEL = "answerdotai/ModernBERT-base"


def inspect_alignment(
    text: Annotated[str, typer.Argument(help="The text")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Folder or hub name of a checkpoint")
    ] = _MODEL,
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Language, for the tokens; or a saved pipeline")
    ] = "en",
) -> None:
    """Print the tokens of a text, each with its pieces and their character offsets."""
    import numpy as np
    import spacy
    from wasabi import msg

    from ..encoder.hub import resolve_encoder
    from ..text.alignment import align_tokens
    from ..text.tokenizer import PieceTokenizer

    try:
        nlp = spacy.blank(lang) if len(lang) <= 3 else spacy.load(lang)
        tokenizer = PieceTokenizer.from_folder(resolve_encoder(model))
    except (ImportError, OSError, ValueError) as error:
        msg.fail("Can't inspect the alignment", str(error), exits=1)
    doc = nlp.make_doc(text)
    sequence = tokenizer.encode_texts([doc.text])[0]
    starts = np.array([token.idx for token in doc], dtype=np.int64)
    ends = starts + np.array([len(token) for token in doc], dtype=np.int64)
    alignment = align_tokens(doc.text, starts, ends, sequence)
    strings = tokenizer.strings(sequence.ids)
    body = []
    stops = alignment.lengths.cumsum()
    for token, stop, length in zip(doc, stops, alignment.lengths, strict=True):
        own = alignment.pieces[stop - length : stop].tolist()
        shown = [f"{strings[i]} {sequence.starts[i]}..{sequence.ends[i]}" for i in own]
        span = f"{token.idx}..{token.idx + len(token)}"
        body.append((repr(token.text)[1:-1], span, "  ".join(shown) or "none"))
    header = ("token", "characters", "pieces")
    msg.table(body, header=header, divider=True, max_col=120)
    n_special = len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
    msg.info(f"{len(doc)} tokens, {len(sequence.ids)} pieces and {n_special} special ones")
