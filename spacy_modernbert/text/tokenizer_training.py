"""Train a tokenizer in the format of ModernBERT."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from .tokenizer import PieceTokenizer

UNK, CLS, SEP, PAD, MASK = SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
# Runs of spaces, one piece each, so that indented source code has few pieces.
INDENTS = tuple(" " * n for n in range(24, 1, -1))


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, max_length: int, progress: bool = False
) -> PieceTokenizer:
    """Train a byte-level BPE tokenizer like that of the published checkpoints (section 2.1.1).

    It has no unknown characters: every byte is a piece.

    Args:
        texts: Training texts.
        vocab_size: Number of pieces, special ones included; at least 300. The tokenizer has fewer
            if the texts have too few repeated pairs.
        max_length: Longest sequence of the encoder, written into the files of the tokenizer.
        progress: Whether to show a progress bar.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(INDENTS),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(INDENTS))
    prefix_and_suffix = [(name, tokenizer.token_to_id(name)) for name in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B {SEP}", special_tokens=prefix_and_suffix
    )
    names = {"unk": UNK, "cls": CLS, "sep": SEP, "pad": PAD, "mask": MASK}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        **{f"{key}_token": name for key, name in names.items()},
    }
    return PieceTokenizer(
        {
            "tokenizer.json": tokenizer.to_str(pretty=True).encode("utf8"),
            "tokenizer_config.json": json.dumps(config, indent=2).encode("utf8"),
        }
    )
