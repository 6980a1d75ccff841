"""Rows of a source to encode again: some at random, and those whose vectors are least like the others."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from samespace.belonging.statistics import FEWEST, Statistics
from samespace.errors import InvalidInput
from samespace.space import Space
from samespace.vectors import Matrix

__all__ = ["Outliers", "RandomRows", "Sample"]

_LEARNED = 8_192  # rows that say what the others are like
Candidate = tuple[str, str, Matrix]  # id, text, vector


class Sample(NamedTuple):
    """Rows to encode again.

    Attributes:
        ids, texts: of n rows.
        vectors: as they are stored, float32 of shape (n, dimension).
    """

    ids: list[str]
    texts: list[str]
    vectors: Matrix

    @classmethod
    def of(cls, rows: Iterable[Candidate]) -> Self:
        """Gather rows."""
        kept = list(rows)
        vectors = np.stack([vector for _, _, vector in kept]) if kept else np.empty((0, 0), np.float32)
        return cls([name for name, _, _ in kept], [text for _, text, _ in kept], vectors)


class RandomRows:
    """Some of the rows that go by, each as likely as any other: Vitter's algorithm R, the same rows each time."""

    def __init__(self, most: int) -> None:
        self.rows: list[Candidate] = []
        self._most = most
        self._seen = 0
        self._choice = random.Random(0)  # noqa: S311  nobody is to be surprised

    def extend(self, rows: list[Candidate]) -> None:
        """Let rows go by."""
        for row in rows:
            self._seen += 1
            place = len(self.rows) if len(self.rows) < self._most else self._choice.randrange(self._seen)
            if place < self._most:
                self.rows[place : place + 1] = [_owned(row)]


class Outliers:
    """Those of the rows that go by whose directions are least like the others', the farthest first.

    If a few rows are of another model, they are among these, since they lie where the others hardly vary
    (:class:`samespace.belonging.statistics.Statistics`). What is usual is learned from the first thousands of rows.
    Of fewer than 200 rows, too few to say what is usual, the first are taken.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Candidate] = []  # until there are enough to learn from
        self._usual: Statistics | None = None
        self._kept: list[Candidate] = []
        self._far: NDArray[np.float64] = np.empty(0)

    def extend(self, rows: list[Candidate]) -> None:
        """Let rows go by."""
        if self._usual is not None:
            self._judge(rows)
            return
        self._waiting += rows
        if len(self._waiting) >= _LEARNED:
            self._learn()

    def rows(self) -> list[Candidate]:
        """The outliers of all rows so far."""
        if self._usual is None:
            self._learn()
        return self._kept

    def _learn(self) -> None:
        rows, self._waiting = self._waiting, []
        if len(rows) >= FEWEST:
            vectors = np.stack([vector for _, _, vector in rows])
            try:
                self._usual = Statistics.learn(vectors, Space("of a source", vectors.shape[1]))
            except InvalidInput:  # all alike
                self._usual = None
        self._judge(rows)

    def _judge(self, rows: list[Candidate]) -> None:
        distances = np.zeros(len(rows))
        if rows and self._usual is not None:
            distances = self._usual.distance(np.stack([vector for _, _, vector in rows]))
        every, far = self._kept + rows, np.concatenate((self._far, distances))
        best = np.argsort(-far, kind="stable")[: self._most]
        self._kept, self._far = [_owned(every[row]) for row in best.tolist()], far[best]


def _owned(row: Candidate) -> Candidate:
    """The row, without the block that its vector is a part of."""
    name, text, vector = row
    return row if vector.base is None else (name, text, vector.copy())
