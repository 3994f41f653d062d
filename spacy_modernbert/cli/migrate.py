"""A command that turns a config of spacy-transformers into one of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

Block = dict[str, Any]

_MODELS = tuple(f"spacy-transformers.TransformerModel.v{n}" for n in (1, 2, 3))
_TOK2VECS = tuple(f"spacy-transformers.Tok2VecTransformer.v{n}" for n in (1, 2, 3))
_OUR_MODEL = "spacy_modernbert.ModernBertModel.v1"
_LISTENER = "spacy-transformers.TransformerListener.v1"
# What the factory `transformer` fills in for a missing block.
_DEFAULT_MODEL = {
    "@architectures": _MODELS[-1],
    "name": "roberta-base",
    "get_spans": {
        "@span_getters": "spacy-transformers.strided_spans.v1",
        "window": 128,
        "stride": 96,
    },
}
# Pieces of a token, rounded up, so that windows are not smaller than before.
_PIECES_OF_TOKEN = 1.5
# Most pieces that BERT, RoBERTa and their like read at once.
_USUAL_LIMIT = 512
_POOLINGS = {f"reduce_{mode}.v1": mode for mode in ("first", "last", "max")}


def migrate(
    config: Annotated[Path, typer.Argument(help="Config for spacy-transformers")],
    output: Annotated[
        str, typer.Argument(help="File to write; the default, '-', prints the config")
    ] = "-",
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Checkpoint to use, in place of the config's"),
    ] = None,
) -> None:
    """Rewrite a config of spacy-transformers for this package, and print what changed and why.

    The result is a config to train with. Weights of trained pipelines are not converted, and
    comments are not kept.
    """
    from thinc.api import Config
    from wasabi import msg

    try:
        loaded = Config().from_disk(config, interpolate=False)
    except (OSError, ValueError) as error:
        msg.fail(f"Can't read {config}", str(error), exits=1)
    changes = migrate_config(loaded, name=name)
    for where, change in changes:
        typer.echo(f"[{where}] {change}", err=True)
    if not changes:
        msg.fail("There is nothing of spacy-transformers in this config", str(config), exits=1)
    if output == "-":
        typer.echo(loaded.to_str(interpolate=False))
        return
    loaded.to_disk(output, interpolate=False)
    msg.good(f"Saved the config to {output}", f"python -m spacy init fill-config {output} FILE")


def migrate_config(config: Block, *, name: str | None = None) -> list[tuple[str, str]]:
    """Rewrite a config, in place.

    Args:
        config: The config, not interpolated. It may be partial.
        name: Checkpoint of all its encoders. None: those that it names.

    Returns:
        What was changed, dropped or left, and why: pairs of a block and a sentence.
    """
    changes: list[tuple[str, str]] = []
    for component, block in config.get("components", {}).items():
        where = f"components.{component}"
        if block.get("factory") == "transformer":
            model = block.setdefault("model", {})
            if "@architectures" not in model:
                block["model"] = {**_DEFAULT_MODEL, **model}
            if block["model"]["@architectures"] in (*_MODELS, _OUR_MODEL):
                block["factory"] = "modernbert"
                change = "factory: modernbert, with error handlers and checked listeners"
                changes.append((where, change))
        elif "source" in block:
            changes.append((where, "left as it is: trained weights are not converted"))
        for inner, found in list(_blocks(block, where)):
            changes += [(inner, change) for change in _migrate_block(found, name)]
    return changes


def _blocks(block: Block, where: str) -> Iterator[tuple[str, Block]]:
    yield where, block
    for key, value in block.items():
        if isinstance(value, dict):
            yield from _blocks(value, f"{where}.{key}")


def _migrate_block(block: Block, name: str | None) -> Iterator[str]:
    architecture = block.get("@architectures")
    if architecture == _LISTENER:
        block["@architectures"] = "spacy_modernbert.TransformerListener.v1"
        yield "@architectures: our listener, which warns of missing vectors"
        yield from _pooling(block)
    elif architecture in _MODELS:
        block["@architectures"] = _OUR_MODEL
        yield from _encoder(block, name)
    elif architecture in _TOK2VECS:
        block["@architectures"] = "spacy_modernbert.ModernBertTok2Vec.v1"
        yield from _encoder(block, name, kept=("pooling", "grad_factor"))
        yield from _pooling(block)


def _encoder(block: Block, name: str | None, kept: tuple[str, ...] = ()) -> Iterator[str]:
    """Rewrite the settings of an encoder; all that it does not have are dropped."""
    yield f"@architectures: {block['@architectures']}"
    stock = {key: value for key, value in block.items() if not key.startswith("@")}
    for key in stock.keys() - set(kept):
        del block[key]
    yield from _name(block, stock, name)
    yield from _windows(block, stock.pop("get_spans", None) or {})
    yield from _precision(block, stock)
    block["mode"] = "text"
    yield from _dropped(stock, kept)


def _name(block: Block, stock: Block, name: str | None) -> Iterator[str]:
    old = stock.pop("name", "")
    block["name"] = old if name is None else name
    if name is not None:
        yield f"name: {name}, in place of {old}"
        return
    configs = [stock.get(key) or {} for key in ("transformer_config", "tokenizer_config")]
    revision = next((c.pop("revision") for c in configs if c.get("revision")), None)
    if revision is not None:
        block["name"] = f"{old}@{revision}"
        yield f"name: {block['name']}, with the revision of transformer_config"
    yield (
        f"name: {old} is kept. If it is not ModernBERT, it runs with the layers of transformers; "
        "--name answerdotai/ModernBERT-base takes ModernBERT"
    )


def _windows(block: Block, get_spans: Block) -> Iterator[str]:
    getter = str(get_spans.get("@span_getters", "none")).removeprefix("spacy-transformers.")
    window, stride = get_spans.get("window"), get_spans.get("stride")
    block["max_length"] = block["overlap"] = None
    if getter == "strided_spans.v1" and isinstance(window, int) and isinstance(stride, int):
        length = min(round(_PIECES_OF_TOKEN * window), _USUAL_LIMIT)
        shared = max(window - stride, 0)
        overlap = min(round(_PIECES_OF_TOKEN * shared), length // 2)
        block["max_length"], block["overlap"] = length, overlap
        yield (
            f"get_spans: a window of {window} tokens and a stride (the step from one window to the "
            f"next, in tokens) of {stride}, so that windows share {shared}, became max_length = "
            f"{length} and overlap = {overlap}, which count pieces. Longer windows show a token "
            "more context and are slower"
        )
    elif getter == "doc_spans.v1":
        yield (
            "get_spans: max_length = null reads a Doc whole up to the encoder's limit, and a "
            "longer one, which was cut off, in overlapping windows"
        )
    elif getter == "sent_spans.v1":
        yield (
            "get_spans: dropped. Sentences are no longer read one by one, but with their "
            "neighbors, in windows of max_length pieces, so the Docs need no sentence borders"
        )
    else:
        yield f"get_spans ({getter}): dropped. Set max_length and overlap, which count pieces"


def _precision(block: Block, stock: Block) -> Iterator[str]:
    mixed = stock.pop("mixed_precision", False)
    block["precision"] = "bfloat16" if mixed is True else "float32"
    if isinstance(mixed, bool):
        yield f"mixed_precision = {mixed}: became precision = {block['precision']}"
    else:
        yield f"mixed_precision = {mixed}: dropped. Set precision to float32 or bfloat16"


def _dropped(stock: Block, kept: tuple[str, ...]) -> Iterator[str]:
    reasons = {
        "tokenizer_config": "the checkpoint's tokenizer.json is used as it is",
        "transformer_config": "config.json of the checkpoint says what the network computes, and "
        "the last layer is all that listeners read",
        "grad_scaler_config": "bfloat16 needs no scaling of gradients",
    }
    for key, value in stock.items():
        if key not in kept:
            reason = reasons.get(key, "there is no such setting")
            yield f"{key} = {value}: dropped, because {reason}"


def _pooling(block: Block) -> Iterator[str]:
    layer = (block.get("pooling") or {}).get("@layers")
    if layer in _POOLINGS:
        mode = _POOLINGS[layer]
        block["pooling"] = {"@layers": "spacy_modernbert.reduce_pieces.v1", "mode": mode}
        yield f"pooling: reduce_pieces returns zeros where {layer} stops, at a token without pieces"
