"""Tiny random checkpoints that upstream gliner builds, saves, reads and runs.

Nothing is downloaded: tokenizers are trained on a few sentences, and weights are random, scaled so
that scores spread over the whole range. Build one to look at it::

    python -m tests.gliner.oracle FOLDER --arch uni_span --backbone bert
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

LABELS = ["person", "organization", "location", "date of birth", "award"]
TEXTS = [
    "Marie Skłodowska Curie (born 7 November 1867) was a Polish and French physicist.",
    "Siemens AG was founded by Werner von Siemens in Berlin, Prussia.",
    "Lisbon",
    "",
    "   ",
    "Prof. Anne-Marie O'Connor left the University of Oxford for Genève on 03/11/2020, for £9,500!",
    "twenty-one snake_case e-mail@example.org\n\n\ttab\u00a0space ― em—dash … 🙂 日本語 end",
    " spaces at   both ends   and within  ",
    "In 2004 Wangari Maathai met Kofi Annan in Nairobi, Kenya and Oslo, Norway. " * 4,
]
# Options of upstream's `inference`.
CASES: dict[str, dict[str, Any]] = {
    "flat": {"flat_ner": True, "threshold": 0.75},
    "nested": {"flat_ner": False, "threshold": 0.75},
    "flat_multi": {"flat_ner": True, "multi_label": True, "threshold": 0.75},
    "nested_multi": {"flat_ner": False, "multi_label": True, "threshold": 0.75},
    "low": {"flat_ner": True, "threshold": 0.3},
    "one_by_one": {"flat_ner": True, "threshold": 0.75, "batch_size": 1},
    "by_threes": {"flat_ner": True, "threshold": 0.75, "batch_size": 3},
}
ARCHS: dict[str, dict[str, Any]] = {
    "uni_span": {},
    "uni_token": {"span_mode": "token_level"},
    "bi_span": {"labels_encoder": True},
    "bi_token": {"span_mode": "token_level", "labels_encoder": True},
    "uni_span_marker": {"span_mode": "marker"},
    "uni_span_v1": {"span_mode": "markerV1"},
    "uni_span_norrn": {"num_rnn_layers": 0},
    "uni_span_proj": {"hidden_size": 24},
    "uni_span_label_tok": {"embed_ent_token": False},
    "uni_span_fuse": {"fuse_layers": True},
    "uni_span_mean": {"subtoken_pooling": "mean"},
    "uni_span_maxlen": {"max_len": 16, "max_width": 4},
    "uni_token_spans": {"span_mode": "token_level", "represent_spans": True},
    "bi_span_poly": {"labels_encoder": True, "post_fusion_schema": "l2l-l2t-t2t"},
}
# Annotated texts with inclusive ends, the labels of each, and options of upstream's losses.
TRAIN = [
    {
        "tokenized_text": ["Siemens", "AG", "was", "founded", "by", "Werner", "Siemens", "here"],
        "ner": [[0, 1, "organization"], [5, 6, "person"], [7, 7, "location"], [5, 5, "nickname"]],
    },
    {"tokenized_text": ["Lisbon", "is", "old"], "ner": [[0, 0, "location"]]},
    {"tokenized_text": ["not", "a", "single", "name"], "ner": []},
]
TRAIN_LABELS = [
    ["person", "organization", "location", "date", "nickname"],
    ["location", "person"],
    ["person"],
]
LOSSES: dict[str, dict[str, Any]] = {
    "bce": {},
    "focal": {"alpha": 0.75, "gamma": 2.0},
    "margin": {"alpha": 0.75, "gamma": 2.0, "prob_margin": 0.1},
    "smooth": {"label_smoothing": 0.1},
    "mean": {"reduction": "mean"},
    "width": {"use_span_width_weight": True},
    "dice": {"loss_type": "dice"},
}
_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_STD, _MEAN = 2.5, -1.0  # of the logits of span models
_TOKEN_MEANS = (-0.3, -0.3, 4.0)  # of start, end and inside logits


def wordpiece_tokenizer() -> Any:
    """A tokenizer like BERT's: lower case, no pieces for white space."""
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    corpus = normalizer.normalize_str(" ".join([*TEXTS, *LABELS]))
    words = [word for word, _ in splitter.pre_tokenize_str(corpus)]
    letters = sorted(set("".join(words)))
    # Every other word is one piece. The trainer would break ties at random.
    names = [*_SPECIALS, *letters, *(f"##{letter}" for letter in letters), *words[::2]]
    vocab = {name: index for index, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return _finish(tokenizer, 512)


def byte_tokenizer() -> Any:
    """A tokenizer like ModernBERT's: bytes, and a space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, *LABELS], trainer)
    return _finish(tokenizer, 8192)


def _finish(tokenizer: Tokenizer, max_length: int) -> Any:
    from transformers import PreTrainedTokenizerFast

    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": f"[{name.upper()}]" for name in names},
    )


def write_backbone(kind: str, folder: Path, *, width: int = 32) -> Path:
    """Write the configuration and the tokenizer of a backbone; upstream needs no weights."""
    from transformers import BertConfig, DebertaV2Config, ModernBertConfig

    tokenizer = byte_tokenizer() if kind == "modernbert" else wordpiece_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 3 if kind == "modernbert" else 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "modernbert":
        cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        ids = {"bos_token_id": cls, "eos_token_id": sep, "cls_token_id": cls, "sep_token_id": sep}
        layers = {"global_attn_every_n_layers": 3, "local_attention": 16}
        config = ModernBertConfig(**settings, **ids, **layers, reference_compile=False)
    elif kind == "deberta":
        config = DebertaV2Config(
            **settings,
            relative_attention=True,
            position_buckets=32,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            type_vocab_size=0,
        )
    else:
        config = BertConfig(**settings)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_checkpoint(
    arch: str, backbone: str, folder: Path, *, seed: int = 0, **settings: Any
) -> Path:
    """Build a model with upstream and save it, independent of the folder of its backbone."""
    from gliner import GLiNER

    work = folder.with_name(f"{folder.name}.work")
    config = {
        "name": f"tiny {arch}",
        "model_name": str(write_backbone(backbone, work / "text")),
        "span_mode": "markerV0",
        "max_width": 6,
        "max_len": 64,
        "hidden_size": 32,
        "dropout": 0.1,
        "subtoken_pooling": "first",
        **ARCHS[arch],
        **settings,
    }
    if config.get("labels_encoder"):
        config["labels_encoder"] = str(write_backbone("bert", work / "labels", width=40))
    torch.manual_seed(seed)
    model = GLiNER.from_config(config, backbone_from_pretrained=False).eval()
    _spread_scores(model, seed)
    model.save_pretrained(folder, safe_serialization=True)
    shutil.rmtree(work)
    path = folder / "gliner_config.json"
    saved = json.loads(path.read_text()) | {"model_name": f"tiny/{backbone}"}
    if saved.get("labels_encoder"):
        saved["labels_encoder"] = "tiny/labels"
    path.write_text(json.dumps(saved))
    return folder


def load(folder: Path) -> Any:
    """Load a folder with upstream."""
    from gliner import GLiNER

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GLiNER.from_pretrained(str(folder), local_files_only=True)


def predict(model: Any, texts: list[str], labels: Any, **options: Any) -> list[list[dict]]:
    """Return upstream's entities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.inference(texts, labels, **options)


def prepare_batch(model: Any, texts: list[str], labels: list[str]) -> dict[str, Any]:
    """Return what upstream feeds to its network."""
    prepared = model.prepare_batch(texts, labels)
    collator = model.create_collator()
    return model.collate_batch(prepared["input_x"], prepared["entity_types"], collator)


@torch.no_grad()
def raw_logits(model: Any, texts: list[str], labels: list[str]) -> torch.Tensor:
    """Return upstream's logits, padded to the longest text."""
    batch = prepare_batch(model.eval(), texts, labels)
    return model.model(**batch, threshold=0.5).logits


@torch.no_grad()
def _spread_scores(model: Any, seed: int) -> None:
    """Redraw the weights so that words differ, and scale the last layer to the wanted logits."""
    network = model.model
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "token_rep_layer" in name:
            if parameter.dim() == 2:
                parameter.copy_(0.3 * noise)
        elif parameter.dim() == 1:
            parameter.copy_(0.1 * noise)
        else:
            parameter.copy_(1.2 * noise / parameter[0].numel() ** 0.5)
    if hasattr(network, "scorer"):
        last = network.scorer.out_mlp[3]
        last.weight.mul_(_STD / _flat_logits(model, 3).std())
        last.bias.add_(torch.tensor(_TOKEN_MEANS) - _flat_logits(model, 3).mean(dim=0))
        if model.config.represent_spans:
            network.span_rep_layer.span_rep_layer.out_project[3].weight.mul_(2.0)
        return
    # The first component of a span's vector is always 1, so that of a label's shifts its scores.
    last, span_side = network.prompt_rep_layer[3], network.span_rep_layer.span_rep_layer.out_project
    span_side = span_side if isinstance(span_side, torch.nn.Linear) else span_side[3]
    for layer, constant in ((last, 0.0), (span_side, 1.0)):
        layer.weight[0] = 0.0
        layer.bias[0] = constant
    factor = _STD / _flat_logits(model, 1).std()
    last.weight.mul_(factor)
    last.bias.mul_(factor)
    last.bias[0] = _MEAN - _flat_logits(model, 1).mean()


def _flat_logits(model: Any, columns: int) -> torch.Tensor:
    """Logits of all texts, one at a time, so that padding plays no part. (n, columns)."""
    texts = [text for text in TEXTS if text.strip()]
    return torch.cat([raw_logits(model, [text], LABELS).reshape(-1, columns) for text in texts])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build a tiny checkpoint with upstream gliner.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", choices=ARCHS, default="uni_span")
    parser.add_argument("--backbone", choices=["bert", "modernbert", "deberta"], default="bert")
    given = parser.parse_args()
    build_checkpoint(given.arch, given.backbone, given.folder)
