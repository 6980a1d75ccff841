"""Rows of a source to encode again: some at random, and those whose vectors are least like the others."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np

from samespace.belonging.statistics import FEWEST, Statistics
from samespace.errors import InvalidInput
from samespace.space import Space
from samespace.vectors import Matrix

__all__ = ["Outliers", "RandomRows", "Sample"]

_LEARNED = 8_192  # rows that say what the others are like
_LEARNED_BYTES = 2**26  # of their vectors, at most
_AGAIN = 4  # times as many rows, and it is learned again
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
    (:class:`samespace.belonging.statistics.Statistics`). What is usual is learned from some of the rows so far, drawn
    at random, and learned anew as there are more; what was kept is then judged anew. So it does not matter where in
    the source the strange ones stand.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._drawn: RandomRows | None = None
        self._seen = 0
        self._next = 0  # rows seen when what is usual is learned again
        self._usual: Statistics | None = None
        self._kept: list[Candidate] = []

    def extend(self, rows: list[Candidate]) -> None:
        """Let rows go by."""
        if not rows:
            return
        if self._drawn is None:
            self._next = max(FEWEST, min(_LEARNED, _LEARNED_BYTES // rows[0][2].nbytes))
            self._drawn = RandomRows(self._next)
        self._drawn.extend(rows)
        self._seen += len(rows)
        if self._usual is not None:
            self._keep(self._kept + rows)
        if self._seen >= self._next:
            self._learn()
            self._next = self._seen * _AGAIN

    def rows(self) -> list[Candidate]:
        """The outliers of all rows so far; none of fewer than 200, or where all are alike."""
        self._learn()
        return self._kept

    def _learn(self) -> None:
        drawn = self._drawn.rows if self._drawn else []
        if not drawn:
            return
        vectors = np.stack([vector for _, _, vector in drawn])
        space = Space("of a source", vectors.shape[1])
        try:
            self._usual = Statistics.learn(vectors, space)
        except InvalidInput:  # too few, or all alike
            return
        kept = {name for name, _, _ in self._kept}
        self._keep(self._kept + [row for row in drawn if row[0] not in kept])

    def _keep(self, rows: list[Candidate]) -> None:
        assert self._usual is not None  # noqa: S101  it was just learned
        far = self._usual.distance(np.stack([vector for _, _, vector in rows]))
        best = np.argsort(-far, kind="stable")[: self._most]
        self._kept = [_owned(rows[row]) for row in best.tolist()]


def _owned(row: Candidate) -> Candidate:
    """The row, without the block that its vector is a part of."""
    name, text, vector = row
    return row if vector.base is None else (name, text, vector.copy())
