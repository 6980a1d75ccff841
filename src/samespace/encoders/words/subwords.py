"""Vectors for words that were never seen, out of their character n-grams, as fastText makes them.

Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching Word Vectors with Subword Information".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samespace.vectors import Matrix

__all__ = ["END_OF_LINE", "Subwords"]

END_OF_LINE = "</s>"
"""fastText's word for the end of a line, the only one without n-grams."""

_AT_ONCE = 1024  # words, so that their n-grams' vectors stay within some hundred megabytes
_PRIME = np.uint32(16_777_619)
_BASIS = np.uint32(2_166_136_261)


@dataclass(frozen=True, eq=False)
class Subwords:
    """N-grams in buckets.

    Attributes:
        shortest: characters of an n-gram, at least; the word stands between ``<`` and ``>``.
        longest: characters, at most.
        vectors: float32 (buckets, dimension), of the n-grams.
    """

    shortest: int
    longest: int
    vectors: Matrix

    def mean(self, words: Sequence[str], own: Matrix | None = None) -> Matrix:
        """Vectors of words.

        Args:
            words: any.
            own: the words' own vectors, if they are in the vocabulary; they count like one n-gram more.

        Returns:
            float32 (len(words), dimension); zeros for a word that has no n-gram.
        """
        means = np.zeros((len(words), self.vectors.shape[1]), np.float32)
        for start in range(0, len(words), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            buckets, owners = self.buckets(words[part])
            counts = np.bincount(owners, minlength=len(words[part]))
            some = np.flatnonzero(counts)
            if len(some):
                first = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
                means[start + some] = np.add.reduceat(self.vectors[buckets], first, axis=0)
            if own is not None:
                means[part] += own[part]
                counts += 1
            means[part] /= np.maximum(counts, 1)[:, None]
        return means

    def buckets(self, words: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The buckets of all n-grams of words, and which word each belongs to, word by word.

        One hash grows from every first character of all words at once, byte after byte; where a character ends
        it is the hash of an n-gram.
        """
        texts = [b"" if word == END_OF_LINE else f"<{word}>".encode() for word in words]
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        data = np.frombuffer(b"".join(texts) + b"\0", np.uint8)  # one more to look at behind the last
        owner = np.repeat(np.arange(len(texts)), lengths)
        begins_word = np.repeat(np.cumsum(lengths) - lengths, lengths)
        ends_word = np.repeat(np.cumsum(lengths), lengths)
        follows = (data & 0xC0) == 0x80  # a byte inside a character of UTF-8
        signed = data.astype(np.int8).astype(np.uint32)  # fastText hashes signed characters
        start = np.flatnonzero(~follows[:-1])
        at, size = start.copy(), np.zeros(len(start), np.int64)
        value = np.full(len(start), _BASIS)
        found: list[tuple[NDArray[np.int64], ...]] = []
        while len(start):
            value = (value ^ signed[at]) * _PRIME
            at += 1
            word_ends = at == ends_word[start]
            whole = word_ends | ~follows[at]  # a character is complete
            size += whole
            alone = (size == 1) & ((start == begins_word[start]) | word_ends)  # "<" or ">" is no n-gram
            keep = whole & (size >= self.shortest) & ~alone
            found.append((start[keep], size[keep], (value[keep] % np.uint32(len(self.vectors))).astype(np.int64)))
            on = ~word_ends & ~(whole & (size == self.longest))
            start, at, size, value = start[on], at[on], size[on], value[on]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        starts, sizes, rows = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.lexsort((sizes, starts))
        return rows[order], owner[starts[order]]
