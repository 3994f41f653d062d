"""Small tokenizers in the shapes of the published ones, built in memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from spacy_modernbert.text.tokenizer import PieceTokenizer

DATA = Path(__file__).parents[3] / "shared" / "data"
REAL_TOKENIZER = DATA / "tokenizers" / "modernbert"

CORPUS = [
    "Apple is looking at buying a U.K. startup for $1 billion, said the company.",
    "The tokenizer cuts the text into pieces; every piece knows where it starts and ends.",
    "def main(args):\n    return [token for token in args if token]\n",
    "naïve café über straße 日本語 русский язык 🤗 👩‍👩‍👧",
] * 4
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
XLM_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def modernbert_like() -> Tokenizer:
    """Byte-level BPE; specials, runs of spaces and reserved names come after the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, lstrip=name == "[MASK]") for name in BERT_SPECIALS]
    )
    tokenizer.add_tokens([AddedToken(f"[unused{n}]", normalized=True) for n in range(3)])
    tokenizer.add_tokens([AddedToken("<<ENT>>"), AddedToken("<<SEP>>")])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def bert_like(*, split_punctuation: bool = True) -> Tokenizer:
    """WordPiece that lower-cases, drops accents and control characters."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=split_punctuation)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.BertPreTokenizer() if split_punctuation else pre_tokenizers.WhitespaceSplit()
    )
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=BERT_SPECIALS, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def xlmr_like() -> Tokenizer:
    """Unigram over Metaspace; its control tokens are entries of the vocabulary with score 0."""
    characters = sorted(set("".join(CORPUS)) - set(" \n"))
    words = {word for line in CORPUS for word in line.split()}
    vocab = [(name, 0.0) for name in XLM_SPECIALS[:4]] + [("▁", -3.0)]
    vocab += [(character, -6.0) for character in characters]
    vocab += [(f"▁{word}", -8.0) for word in sorted(words)] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, lstrip=name == "<mask>") for name in XLM_SPECIALS]
    )
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def gemma_like() -> Tokenizer:
    """BPE with byte fallback and no post-processor, the kind of mmBERT."""
    vocab = {name: index for index, name in enumerate(["<pad>", "<eos>", "<bos>", "<unk>"])}
    for piece in [f"<0x{byte:02X}>" for byte in range(256)] + list("▁abcdefghijklmnopqrstuvwxyz"):
        vocab[piece] = len(vocab)
    for piece in ("▁▁", "▁a", "th"):
        vocab[piece] = len(vocab)
    merges = [("▁", "▁"), ("▁", "a"), ("t", "h")]
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.add_tokens([AddedToken("<unused0>")])
    return tokenizer


BUILDERS: dict[str, tuple[Callable[[], Tokenizer], dict[str, object]]] = {
    "modernbert": (modernbert_like, {"pad_token": "[PAD]", "model_max_length": 8192}),
    "bert": (bert_like, {"pad_token": "[PAD]", "model_max_length": 512}),
    "xlmr": (xlmr_like, {"pad_token": {"content": "<pad>", "lstrip": False}}),
    "gemma": (
        gemma_like,
        {"bos_token": {"content": "<bos>"}, "eos_token": "<eos>", "model_max_length": 1e30},
    ),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved folder of each kind."""
    made = {}
    for name, (build, config) in BUILDERS.items():
        made[name] = tmp_path_factory.mktemp(name)
        build().save(str(made[name] / "tokenizer.json"))
        (made[name] / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf8")
    return made


@pytest.fixture(scope="session")
def tokenizers(folders: dict[str, Path]) -> dict[str, PieceTokenizer]:
    return {name: PieceTokenizer.from_folder(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session", params=list(BUILDERS))
def tokenizer(
    request: pytest.FixtureRequest, tokenizers: dict[str, PieceTokenizer]
) -> PieceTokenizer:
    """Each kind in turn."""
    return tokenizers[request.param]


@pytest.fixture(scope="session")
def real_tokenizer() -> PieceTokenizer:
    """The published ModernBERT tokenizer, where it is at hand."""
    if not REAL_TOKENIZER.is_dir():
        pytest.skip("the published tokenizer is not here")
    return PieceTokenizer.from_folder(REAL_TOKENIZER)


def real_texts(per_file: int, *, characters: int) -> Iterator[str]:
    """Yield the first texts of each file of real text, cut to a length."""
    for path in sorted((DATA / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf8") as lines:
            for _, line in zip(range(per_file), lines, strict=False):
                yield json.loads(line)["text"][:characters]


@pytest.fixture(scope="session")
def text_sample() -> list[str]:
    texts = list(real_texts(3, characters=20_000))
    if not texts:
        pytest.skip("the real texts are not here")
    return texts


_CHUNKS = [
    "Apple buys U.K. startup",
    "don't",
    "e\u0301a\u0301\u0323",
    "q\u0307\u0323",
    "\u0301",
    "a\u200bb\u200d\u2060\ufeff",
    "\u200b",
    "\x00\x07\x9f\ufffd",
    "\r\n",
    "\n\n\t  \t",
    "\u00a0",
    "\u3000\u2028\x85",
    "   ",
    "日本語のテキスト",
    "ﬁ ½ ㎏ Å ﷺ",
    "👩‍👩‍👧 🤗🏽 🇩🇪",
    "한글 \u1112\u1161\u11ab",
    "नमस्ते ท\u0e33",
    "    if x[i]!=0:\n        return {'a': None}",
    "https://example.org/a?b=c#d",
    "[MASK]",
    " [SEP]",
    "<s></s><mask>",
    "[unused1]",
    "▁a ▁",
    "##ing",
]

# Text made of what breaks tokenizers, and of any other characters but lone surrogates.
hard_texts = st.lists(
    st.sampled_from(_CHUNKS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([" ", "  ", "a", "."]),
    max_size=12,
).map("".join)
