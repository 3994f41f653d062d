"""Commands that make and convert checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def new_modernbert(
    texts: Annotated[list[Path], typer.Argument(help="Text files to learn the tokenizer from")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new checkpoint")],
    vocab_size: Annotated[int, typer.Option(min=300, help="Pieces of the tokenizer")] = 8000,
    hidden_size: Annotated[int, typer.Option(min=8, help="Width of the vectors")] = 256,
    intermediate_size: Annotated[int, typer.Option(min=8, help="Width of the gated MLP")] = 384,
    layers: Annotated[int, typer.Option(min=1, help="Number of layers")] = 4,
    heads: Annotated[int, typer.Option(min=1, help="Attention heads a layer")] = 4,
    global_every: Annotated[
        int, typer.Option(min=1, help="Use global attention in every n-th layer")
    ] = 3,
    local_attention: Annotated[int, typer.Option(min=2, help="Window of the other layers")] = 128,
    max_length: Annotated[int, typer.Option(min=16, help="Pieces of the longest sequence")] = 8192,
    seed: Annotated[int, typer.Option(help="Seed of the random weights")] = 0,
) -> None:
    """Make a small ModernBERT with random weights, for training from scratch.

    The folder is a checkpoint like any other: tokenizer, configuration and weights.
    """
    from wasabi import msg

    from ..encoder.checkpoint import Checkpoint, save_encoder
    from ..encoder.initialization import new_encoder
    from ..encoder.modernbert_config import ModernBertConfig
    from ..text.tokenizer_training import train_tokenizer

    missing = [str(path) for path in texts if not path.is_file()]
    if missing:
        msg.fail("Can't find the text file", ", ".join(missing), exits=1)
    tokenizer = train_tokenizer(_lines(texts), vocab_size=vocab_size, max_length=max_length)
    try:
        config = ModernBertConfig.from_dict(
            {
                "model_type": "modernbert",
                "architectures": ["ModernBertModel"],
                "vocab_size": tokenizer.vocab_size,
                "hidden_size": hidden_size,
                "intermediate_size": intermediate_size,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "global_attn_every_n_layers": global_every,
                "local_attention": local_attention,
                "max_position_embeddings": max_length,
                "pad_token_id": tokenizer.pad_id,
                "cls_token_id": tokenizer.prefix_ids[0],
                "bos_token_id": tokenizer.prefix_ids[0],
                "sep_token_id": tokenizer.suffix_ids[0],
                "eos_token_id": tokenizer.suffix_ids[0],
            }
        )
    except ValueError as error:
        msg.fail("Can't make an encoder of these sizes", str(error), exits=1)
    encoder = new_encoder(config, seed=seed)
    try:
        save_encoder(Checkpoint(encoder, tokenizer), output)
    except OSError as error:
        msg.fail(f"Can't save {output}", str(error), exits=1)
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    msg.good(
        f"Saved a new ModernBERT to {output}",
        f"{layers} layers, {weights:,} weights, {tokenizer.vocab_size:,} pieces",
    )


def convert_gliner(
    source: Annotated[str, typer.Argument(help="Folder or hub name of a GLiNER checkpoint")],
    output: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write")],
    encoder: Annotated[
        Path | None, typer.Option(help="Folder for the text encoder alone, to share it")
    ] = None,
    labels_encoder: Annotated[
        Path | None, typer.Option(help="Folder for the label encoder of a bi-encoder alone")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Write weights in float16")] = False,
) -> None:
    """Copy a GLiNER checkpoint into a folder that needs no other: safetensors, tokenizers, configs.

    Old checkpoints need the repository of their backbone for the conversion. It must be in the
    local cache, or the network must be available.
    """
    from wasabi import msg

    from ..gliner.checkpoint.convert import convert

    try:
        convert(source, output, encoder=encoder, labels_encoder=labels_encoder, half=half)
    except (OSError, ValueError) as error:
        msg.fail(f"Can't convert {source}", str(error), exits=1)
    msg.good(f"Saved a self-contained GLiNER checkpoint to {output}")


def _lines(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        with path.open(encoding="utf8") as file:
            yield from file
