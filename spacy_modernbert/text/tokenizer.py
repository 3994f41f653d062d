"""Cut texts and words into pieces, with the ``tokenizer.json`` of any version of transformers.

``AutoTokenizer`` is not used, because it refuses folders that another major version saved. The
file itself is stable, and ``tokenizers`` can read it alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..errors import Errors
from .files import atomic_path
from .special_tokens import (
    build_tokenizer,
    find_pad_id,
    highest_text_id,
    prefix_and_suffix_ids,
)

Ints: TypeAlias = npt.NDArray[np.int32]

_TOKENIZER = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_SPECIALS = "special_tokens_map.json"
_FILES = (_TOKENIZER, _CONFIG, _SPECIALS)

# transformers writes 1e30 for a checkpoint without a limit.
_NO_LIMIT = 1e9
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class TextPieces:
    """The pieces of one text, without special tokens.

    Attributes:
        ids: Piece ids. *Shape:* (pieces,), int32.
        starts: Start of each piece in the text, in characters. *Shape:* (pieces,), int32.
        ends: End of each piece, exclusive. A piece that is part of a character spans the whole
            character. *Shape:* (pieces,), int32.
    """

    ids: Ints
    starts: Ints
    ends: Ints


@dataclass(frozen=True, eq=False)
class WordPieces:
    """The pieces of one list of words, without special tokens.

    Attributes:
        ids: Piece ids. *Shape:* (pieces,), int32.
        words: Index of the word of each piece, never falling. A word without pieces does not
            occur. *Shape:* (pieces,), int32.
    """

    ids: Ints
    words: Ints


class PieceTokenizer:
    """Cuts texts and words into pieces. Immutable.

    A text cannot produce control tokens: ``[SEP]`` in it is five ordinary characters.

    Attributes:
        vocab_size: Number of pieces, added tokens included.
        prefix_ids: Ids that the checkpoint expects before a sequence, such as ``([CLS],)``.
        suffix_ids: Ids that it expects after a sequence, such as ``([SEP],)``.
        pad_id: Id that pads short sequences.
        highest_id: Highest id that occurs in a sequence. Control tokens that neither a text nor the
            prefix or suffix contains do not count.
        source: Origin of the files, for messages.
        model_max_length: Longest sequence of the checkpoint, ``prefix_ids`` and ``suffix_ids``
            included; None if the files name no limit.
    """

    vocab_size: int
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    pad_id: int
    highest_id: int
    source: str
    model_max_length: int | None

    def __init__(
        self, files: Mapping[str, bytes], markers: Sequence[str] = (), source: str = "bytes"
    ) -> None:
        """Build from the contents of files; see `from_folder` for the usual way.

        Args:
            files: File name to content: ``tokenizer.json`` and, optionally,
                ``tokenizer_config.json`` and ``special_tokens_map.json``.
            markers: Added tokens that a text must not produce, besides the special ones.
            source: Origin of the files, for messages.

        Raises:
            ValueError: SM002 if a file cannot be read.
        """
        self.source = source
        self._files = dict(files)
        self._markers = tuple(markers)
        spec = _parse(files, _TOKENIZER, source)
        config = _parse(files, _SPECIALS, source) | _parse(files, _CONFIG, source)
        try:
            self._tokenizer: Tokenizer = build_tokenizer(spec, markers=self._markers)
        except Exception as error:  # tokenizers raises bare Exception
            _unreadable(_TOKENIZER, source, error)
        self.vocab_size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.prefix_ids, self.suffix_ids = prefix_and_suffix_ids(self._tokenizer, config)
        self.pad_id = find_pad_id(self._tokenizer, config, spec)
        ids = (*self.prefix_ids, *self.suffix_ids, self.pad_id)
        self.highest_id = max(highest_text_id(self._tokenizer, spec), *ids)
        limit = config.get("model_max_length") or _NO_LIMIT
        self.model_max_length = int(limit) if limit < _NO_LIMIT else None

    @classmethod
    def from_folder(cls, path: str | Path, *, markers: Sequence[str] = ()) -> PieceTokenizer:
        """Read the tokenizer of a checkpoint folder.

        Args:
            path: The folder.
            markers: Added tokens that a text must not produce, besides the special ones: those in
                the prompts of a model, such as ``<<ENT>>``.

        Raises:
            ValueError: SM001 if there is no ``tokenizer.json``; SM002 if a file cannot be read.
        """
        folder = Path(path)
        if not (folder / _TOKENIZER).is_file():
            found = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
            listing = ", ".join(found) or "nothing"
            raise ValueError(Errors.SM001.format(folder=folder, found=listing))
        files = {name: folder / name for name in _FILES if (folder / name).is_file()}
        return cls({name: file.read_bytes() for name, file in files.items()}, markers, str(folder))

    @classmethod
    def from_bytes(cls, data: bytes, *, markers: Sequence[str] = ()) -> PieceTokenizer:
        """Build from the bytes of `to_bytes`, which do not include the markers.

        Raises:
            ValueError: SM002 if the bytes, or a file in them, cannot be read.
        """
        packed = _parse({_TOKENIZER: data}, _TOKENIZER, "bytes")
        return cls({name: str(content).encode() for name, content in packed.items()}, markers)

    def to_bytes(self) -> bytes:
        """Return the files as one JSON object, file name to content."""
        files = {name: content.decode() for name, content in self._files.items()}
        return json.dumps(files, ensure_ascii=False).encode()

    def save(self, folder: str | Path) -> None:
        """Write the files as they were read, each whole or not at all.

        Tokenizer files of an earlier save that this tokenizer does not have are removed, because
        they would describe another tokenizer.

        Args:
            folder: The folder, created if it is missing.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            if name not in self._files:
                (target / name).unlink(missing_ok=True)
                continue
            with atomic_path(target / name) as temporary:
                temporary.write_bytes(self._files[name])

    def encode_texts(self, texts: Sequence[str]) -> list[TextPieces]:
        """Cut whole texts into pieces.

        A lone surrogate, which is no character, becomes U+FFFD, so that offsets stay valid.
        """
        encodings = self._tokenizer.encode_batch(
            [_LONE_SURROGATE.sub("\ufffd", text) for text in texts], add_special_tokens=False
        )
        pieces = []
        for encoding in encodings:
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            starts, ends = np.ascontiguousarray(offsets.T)
            pieces.append(TextPieces(np.array(encoding.ids, dtype=np.int32), starts, ends))
        return pieces

    def encode_words(self, texts: Sequence[Sequence[str]]) -> list[WordPieces]:
        """Cut words into pieces, each word for itself, without the space before it.

        Args:
            texts: Words of each text.
        """
        encodings = self._tokenizer.encode_batch(
            [[_LONE_SURROGATE.sub("\ufffd", word) for word in words] for words in texts],
            is_pretokenized=True,
            add_special_tokens=False,
        )
        return [
            WordPieces(np.array(e.ids, dtype=np.int32), np.array(e.word_ids, dtype=np.int32))
            for e in encodings
        ]

    def strings(self, ids: Sequence[int] | Ints) -> list[str]:
        """Return pieces as they are in the vocabulary; "" for unknown ids."""
        return [self._tokenizer.id_to_token(int(piece_id)) or "" for piece_id in ids]

    def token_id(self, piece: str) -> int | None:
        """Return the id of a piece or special token, None if there is none of this name."""
        found: int | None = self._tokenizer.token_to_id(piece)
        return found

    def __reduce__(self) -> tuple[type[PieceTokenizer], tuple[dict[str, bytes], tuple[str, ...]]]:
        # The pickle of tokenizers.Tokenizer would lose that special tokens are text.
        return type(self), (self._files, self._markers)

    def __deepcopy__(self, memo: dict[int, Any]) -> PieceTokenizer:
        return self


def _parse(files: Mapping[str, bytes], name: str, source: str) -> dict[str, Any]:
    """Parse one file; a missing one is empty."""
    try:
        parsed = json.loads(files.get(name, b"{}").decode())
    except ValueError as error:
        _unreadable(name, source, error)
    if not isinstance(parsed, dict):
        _unreadable(name, source, TypeError(f"an object was expected, not {parsed!r:.40}"))
    return parsed


def _unreadable(name: str, source: str, error: Exception) -> NoReturn:
    raise ValueError(Errors.SM002.format(file=name, source=source, error=error)) from error
