"""Words by number and numbers by word, on disk: nothing is loaded to look one up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "Vocabulary", "key", "mapped", "write_vocabulary"]

Rows = NDArray[np.int64]


def key(word: bytes) -> int:
    """64 bits that stand for a word."""
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")


def write_vocabulary(folder: Path, lengths: Sequence[int], keys: Sequence[int]) -> None:
    """Write what finds words in ``folder/words.txt``, which holds them already, one a line.

    Args:
        folder: of the table.
        lengths: of the words in bytes.
        keys: of the words, all different.
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.asarray(lengths, np.int64) + 1, out=starts[1:])  # a line ends in one byte more
    hashes = np.asarray(keys, np.uint64)
    order = np.argsort(hashes)
    np.save(folder / "starts.npy", starts)
    np.save(folder / "keys.npy", hashes[order])
    np.save(folder / "rows.npy", order.astype(np.int32))


def mapped(file: Path) -> NDArray[Any]:
    """An array of a ``.npy`` file, mapped into memory.

    Raises:
        ValueError: the file is not one, or shorter than it says.
        OSError: it cannot be read.
    """
    # As a plain array: each slice of a memmap would carry the file along, which makes slicing slow.
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


class Vocabulary:
    """The words of a table, by frequency where the file was ordered so.

    Args:
        folder: that :func:`write_vocabulary` wrote.
        limit: words that there are; what comes after them is unknown.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._text = np.memmap(folder / "words.txt", np.uint8, "r")
        self._starts: Rows = mapped(folder / "starts.npy")
        self._keys: NDArray[np.uint64] = mapped(folder / "keys.npy")
        self._rows: NDArray[np.int32] = mapped(folder / "rows.npy")
        self._count = min(limit or len(self._rows), len(self._rows))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> str:
        """The word of that number."""
        return bytes(self._text[self._starts[row] : self._starts[row + 1] - 1]).decode()

    def first(self, count: int) -> list[str]:
        """The first words, all at once."""
        count = min(count, self._count)
        return bytes(self._text[: self._starts[count]]).decode().split("\n")[:-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.first(self._count))

    def find(self, words: Sequence[str]) -> Rows:
        """Numbers of words.

        Returns:
            int64 of shape (len(words),); -1 for a word that is not there, spelled exactly so.
        """
        if not words:
            return np.empty(0, np.int64)
        keys = np.fromiter((key(word.encode()) for word in words), np.uint64, len(words))
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        rows = self._rows[places].astype(np.int64)
        rows[(self._keys[places] != keys) | (rows >= self._count)] = -1
        for at in np.flatnonzero(rows >= 0).tolist():
            if self[int(rows[at])] != words[at]:  # two words of one key: as rare as 64 bits make it, and never wrong
                rows[at] = -1
        return rows
