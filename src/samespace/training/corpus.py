"""A corpus to train on: a file with one text a line, checked, split, and packed into blocks of tokens."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, NotFound
from samespace.sources.decoding import encoding_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Blocks", "pack", "read_lines", "split_lines"]

_SNIFFED = 1 << 20
_SLICE = 1024  # texts tokenised at once
_PLENTY = 10_000  # texts, among which there must be different ones

Blocks = NDArray[np.int32]
"""Token ids of shape (blocks, tokens); each row is ``[CLS] … [SEP]``, full to its end."""


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The texts of a file, one a line, without the blank ones.

    Raises:
        NotFound: there is no such file; at once.
        InvalidInput: at once, if it is binary or its beginning is not UTF-8 (or what its byte order mark
            says); later, at a line that is not.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    with path.open("rb") as file:
        window = file.read(_SNIFFED)
    try:
        encoding = encoding_of(window[: window.rfind(b"\n") + 1] or window)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is no corpus: {error}. Expected texts, one a line.") from error
    if encoding == "cp1252":
        raise InvalidInput(f"{path} is not UTF-8. Save it as UTF-8: iconv -f latin1 -t utf-8.")
    return _lines(path, encoding)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    number = 0
    try:
        with path.open(encoding=encoding) as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - the message names it
                if text := line.strip():
                    yield text
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path}: after line {number:,} stands a byte that is not {error.encoding}: {error.reason}. "
            "Save the file as UTF-8."
        ) from error


def split_lines(path: str | os.PathLike[str], part: float, fewest: int) -> tuple[list[str], list[str]]:
    """The texts to train on, and those that are held out. Equal texts are on one side.

    Args:
        path: of the corpus.
        part: of the texts to hold out; chosen by their content, so that more texts leave the choice as it is.
        fewest: different texts that there must be.

    Raises:
        InvalidInput: there are too few different texts.
    """
    train: list[str] = []
    held: list[str] = []
    for text in read_lines(path):
        (held if zlib.crc32(text.encode()) < part * 2**32 else train).append(text)
    count = len(train) + len(held)
    different = len(set(islice(train, _PLENTY))) + len(set(islice(held, _PLENTY)))
    if different < fewest:
        raise InvalidInput(
            f"{path} holds {count:,} texts, {different:,} of them different; expected at least {fewest:,} different "
            "ones, one a line."
        )
    return train, held


def pack(tokenizer: Tokenizer, texts: Sequence[str], width: int, begin: int, end: int) -> Blocks:
    """Tokenise texts and put them one after the other, with ``end`` between, into full blocks.

    Liu et al. 2019 ("full sentences"): no padding, so every position of a batch is trained on. A text may
    begin in one block and end in the next. What does not fill a block is left out.

    Args:
        tokenizer: that truncates and pads nothing.
        texts: to pack.
        width: tokens of a block, ``begin`` and the last ``end`` included.
        begin: the token that begins a block.
        end: the token that ends a text, and a block.
    """
    parts: list[NDArray[np.int32]] = []
    for start in range(0, len(texts), _SLICE):
        encodings: list[Any] = tokenizer.encode_batch_fast(
            list(texts[start : start + _SLICE]), add_special_tokens=False
        )
        parts.append(np.fromiter((token for each in encodings for token in (*each.ids, end)), np.int32))
    stream = np.concatenate([np.empty(0, np.int32), *parts])
    body = width - 2
    blocks = stream[: len(stream) // body * body].reshape(-1, body)
    edges = np.ones((len(blocks), 1), np.int32)
    return np.concatenate([begin * edges, blocks, end * edges], axis=1)
