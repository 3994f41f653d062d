"""GLiNER checkpoints with random weights, in the shapes of published ones."""

from __future__ import annotations

from pathlib import Path

SIZES = {
    "6x384": {
        "hidden_size": 384, "intermediate_size": 576, "num_hidden_layers": 6,
        "num_attention_heads": 6,
    },
    "22x768": {
        "hidden_size": 768, "intermediate_size": 1152, "num_hidden_layers": 22,
        "num_attention_heads": 12,
    },
}  # fmt: skip
# Width of word and label vectors behind the encoder, as in published checkpoints of these sizes.
WIDTHS = {"6x384": 384, "22x768": 768}
KINDS = {
    "uni_span": {"span_mode": "markerV0"},
    "uni_token": {"span_mode": "token_level"},
    "bi_span": {"span_mode": "markerV0", "labels_encoder": "labels"},
}


def build_checkpoint(kind: str, size: str, tokenizer: Path, folder: Path) -> None:
    """Let upstream gliner write a checkpoint of a kind and size in the published format."""
    import torch
    from gliner import GLiNER
    from transformers import BertConfig, ModernBertConfig

    backbone, labels = folder / "backbone", folder / "labels"
    vocabulary = write_tokenizer(tokenizer, backbone)
    ids = {"pad_token_id": 50283, "bos_token_id": 50281, "eos_token_id": 50282}
    ids = {name: min(number, vocabulary - 1) for name, number in ids.items()}
    config = ModernBertConfig(vocab_size=vocabulary, reference_compile=False, **ids, **SIZES[size])
    config.save_pretrained(backbone)
    settings = {
        "model_name": str(backbone), "max_width": 12, "hidden_size": WIDTHS[size], "max_len": 384,
        "class_token_index": -1, "vocab_size": -1, "words_splitter_type": "whitespace",
        **KINDS[kind],
    }  # fmt: skip
    if "labels_encoder" in settings:  # the size of MiniLM-L6
        write_tokenizer(tokenizer, labels, limit=512)
        BertConfig(
            vocab_size=vocabulary, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
            intermediate_size=1536, pad_token_id=ids["pad_token_id"],
        ).save_pretrained(labels)  # fmt: skip
        settings["labels_encoder"] = str(labels)
    torch.manual_seed(0)
    model = GLiNER.from_config(settings, backbone_from_pretrained=False)
    model.save_pretrained(folder / "model", safe_serialization=True)


def write_tokenizer(source: Path, target: Path, *, limit: int = 8192) -> int:
    """Write the files that transformers reads. Return the size of the vocabulary."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_file=str(source / "tokenizer.json"),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=limit,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(target)
    return len(fast)
