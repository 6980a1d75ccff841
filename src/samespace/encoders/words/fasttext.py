"""fastText's own format: settings, a dictionary, and one matrix for words and n-grams."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.words.source import Content, Source, check
from samespace.encoders.words.subwords import Subwords
from samespace.encoders.words.writing import Block
from samespace.errors import InvalidInput
from samespace.vectors import Matrix

__all__ = ["MAGIC", "read_fasttext"]

MAGIC = struct.pack("<i", 793_712_314)

_VERSION = 12
_SETTINGS = struct.Struct("<2i12id")  # magic, version, 12 numbers and the sampling threshold
_SIZES = struct.Struct("<3iqq")  # entries, words, labels; tokens; pruned n-grams
_WORD = 0  # the kind of an entry; 1 is a label
_ENTRY = struct.Struct("<qb")
_AT_ONCE = 1 << 14

Bytes = NDArray[np.uint8]


def read_fasttext(source: Source, limit: int | None) -> Content:
    """Read a model as ``fasttext skipgram`` and ``cbow`` write it. Vectors of words are made as fastText makes them.

    Raises:
        InvalidInput: the file is packed, quantised, of another version, or ends early.
    """
    path = source.path
    if source.packed:
        raise InvalidInput(f"{path} is a packed model of fastText, which is read in place. Unpack it first: gunzip -k.")
    data: Bytes = np.asarray(np.memmap(path, np.uint8, "r"))
    buffer = data.data
    try:
        _, version, dimension, *rest, _ = _SETTINGS.unpack_from(buffer)
        buckets, shortest, longest = rest[7:10]
        entries, _, labels, _, pruned = _SIZES.unpack_from(buffer, _SETTINGS.size)
        if version != _VERSION or dimension < 1 or min(entries, labels, buckets) < 0:
            raise InvalidInput(f"{path} is of version {version} of fastText's format; expected {_VERSION}.")
        words, at = _dictionary(data, entries, _SETTINGS.size + _SIZES.size)
        at += 8 * max(pruned, 0)
        quantised, rows, columns = struct.unpack_from("<?qq", buffer, at)
    except (struct.error, IndexError):
        raise InvalidInput(f"{path} ends in the middle of its dictionary. The file is torn: get it again.") from None
    if quantised or pruned > 0:
        raise InvalidInput(f"{path} is quantised, so its vectors are gone. Use the model that it was made of (.bin).")
    at += 17
    if columns != dimension or rows < len(words) or len(data) < at + 4 * rows * columns:
        raise InvalidInput(
            f"{path} should hold {rows:,} × {columns:,} numbers after byte {at:,}, but has {len(data):,} bytes. "
            "The file is torn: get it again."
        )
    matrix: Matrix = np.frombuffer(data, "<f4", rows * columns, at).reshape(rows, columns)
    own, ngrams = matrix[: len(words)], matrix[entries - labels :]
    subwords = Subwords(shortest, longest, ngrams) if longest > 0 and len(ngrams) == buckets > 0 else None
    return Content(dimension, _blocks(source, words[:limit], own, subwords), subwords)


def _dictionary(data: Bytes, entries: int, at: int) -> tuple[list[bytes], int]:
    """Words in order, and where the dictionary ends."""
    ends = _ends(data, at)
    words: list[bytes] = []
    for _ in range(entries):
        end = next(ends, None)
        while end is not None and end < at:
            end = next(ends, None)
        if end is None:
            raise IndexError
        word = bytes(data[at:end])
        _, kind = _ENTRY.unpack_from(data.data, end + 1)
        if kind == _WORD:
            words.append(word)
        at = end + 1 + _ENTRY.size
    return words, at


def _ends(data: Bytes, at: int) -> Iterator[int]:
    """Places of the zero bytes from ``at`` on."""
    size = 1 << 22
    for start in range(at, len(data), size):
        yield from (np.flatnonzero(data[start : start + size] == 0) + start).tolist()


def _blocks(source: Source, words: list[bytes], own: Matrix, subwords: Subwords | None) -> Iterator[Block]:
    for start in range(0, len(words), _AT_ONCE):
        part, vectors = words[start : start + _AT_ONCE], own[start : start + _AT_ONCE]
        check(source, part, vectors, lambda row, start=start: f"word {start + row + 1:,}")  # type: ignore[misc]
        source.report(start + len(part), len(words))
        yield part, vectors if subwords is None else subwords.mean([word.decode() for word in part], vectors)
