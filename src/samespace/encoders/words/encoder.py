"""An encoder of word vectors: a text is the mean of the words in it that are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.words.table import Table
from samespace.encoders.words.tokens import compounds, parts
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts

__all__ = ["WordEncoder"]


class WordEncoder(Encoder):
    """Looks up the words of a text and takes the mean of their vectors.

    A word is looked up as it is spelled, then in lower case; ``don't`` and ``twenty-two`` whole, then in parts. If
    the table has subwords, every word has a vector. The receipts count words: all of them as total, those with a
    vector as seen.

    Args:
        table: of word vectors.
        name: that the encoder goes by.
    """

    cached = False  # to look up a text in a cache costs as much as to encode it
    max_tokens = None

    def __init__(self, table: Table, name: str) -> None:
        self.table = table
        self.name = name
        # The digest says which vectors they are; the file's name does not, so it is no part of the space.
        self.space = Space("words", table.dimension, "cosine", digest=table.digest, pooling="mean")

    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:  # noqa: ARG002
        spoken = [compounds(text) for text in texts]
        numbers = self._numbers({word for words in spoken for word in words})
        joined = {word: parts(word) for word, number in numbers.items() if number < 0 and len(parts(word)) > 1}
        numbers |= self._numbers({part for some in joined.values() for part in some} - numbers.keys())
        made = self._unseen(numbers)
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        total = np.zeros(len(texts), np.int32)
        for row, words in enumerate(spoken):
            pieces = [piece for word in words for piece in joined.get(word, (word,))]
            rows = [number for piece in pieces if (number := numbers[piece]) >= 0]
            total[row] = len(pieces)
            if rows:
                array[row] = self._vectors(np.array(rows), made).mean(axis=0, dtype=np.float32)
            progress(1)
        return array, Receipts(total, total)  # words that are not known were read too; nothing is cut off

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return self._encode(texts, "document", lambda _: None)[1].total

    def _numbers(self, words: Iterable[str]) -> dict[str, int]:
        unique = sorted(words)
        return dict(zip(unique, self.table.find(unique).tolist(), strict=True))

    def _unseen(self, numbers: dict[str, int]) -> Matrix:
        """Give words out of subwords the numbers behind the table's, and return their vectors."""
        unseen = [word for word, number in numbers.items() if number < 0] if self.table.subwords else []
        made = self.table.look_up(unseen)
        known = np.asarray(made.any(axis=1))
        for number, word in enumerate(word for word, is_known in zip(unseen, known.tolist(), strict=True) if is_known):
            numbers[word] = len(self.table) + number
        return made[known]

    def _vectors(self, rows: NDArray[np.int64], made: Matrix) -> Matrix:
        if rows.max() < len(self.table):
            return self.table.vectors[rows]
        inside = rows < len(self.table)
        vectors = np.empty((len(rows), self.space.dimension), np.float32)
        vectors[inside] = self.table.vectors[rows[inside]]
        vectors[~inside] = made[rows[~inside] - len(self.table)]
        return vectors

    @cached_property
    def canaries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Words that the table knows: frequent ones, and some from its end."""
        count = len(self.table)
        rows = [*range(min(count, 200)), *range(200, count, max(1, count // 200))]
        usable = (
            word for row in rows if self.table.norms[row] > 0 and compounds(word := self.table.words[row]) == [word]
        )
        return tuple(islice(usable, 16)) or (self.table.words[0],)
