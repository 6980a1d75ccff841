"""How vectors are laid out for libraries that know one measure only: the inner product, or Euclid's distance.

What the vectors have in common is taken away, and their typical length becomes 1: codes err in proportion to
length, and neither changes the order, since q(x - c) = qx - qc. Unit vectors stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from samespace.space import Metric
from samespace.vectors import Matrix, Stored

__all__ = ["LIMIT", "Distances", "Layout", "Products"]

LIMIT = 1e15  # of a laid-out number: its square, summed over a row, is a float32 still
_SAMPLE = 16_384  # rows that show what is typical
_OUTLIER = 8.0  # times the middle length: such a row says nothing about the others
_ONES = np.ones((1, 1))


@dataclass(frozen=True, slots=True)
class Layout:
    """What all vectors of an index lose before they are coded.

    Attributes:
        metric: of the scores.
        dimension: of the vectors.
        width: of a row that is laid out, at least the dimension and what the metric adds.
        centre: float32 of shape (dimension,); zeros under cosine.
        scale: typical length of a centred vector; 1 under cosine.
        fitted: rows that it was made for.
    """

    metric: Metric
    dimension: int
    width: int
    centre: Matrix
    scale: float
    fitted: int

    added: ClassVar[frozenset[Metric]]  # metrics for which a row gets one more number

    @classmethod
    def fit(cls, vectors: Stored, metric: Metric, multiple: int = 1, least: int = 1) -> Self:
        """Make a layout whose rows are a multiple of ``multiple`` numbers long, and ``least`` or more."""
        count, dimension = vectors.shape
        width = max(-(-(dimension + (metric in cls.added)) // multiple) * multiple, least)
        if metric == "cosine" or count == 0:
            return cls(metric, dimension, width, np.zeros(dimension, np.float32), 1.0, count)
        # Evenly spaced rows, because those that were added together are often alike.
        sample = vectors[:: max(1, count // _SAMPLE)].astype(np.float64)
        lengths = np.sqrt(np.vecdot(sample, sample))
        usual = sample[lengths <= _OUTLIER * np.median(lengths)]
        centre = usual.mean(0).astype(np.float32)
        np.subtract(usual, centre, out=usual)
        scale = float(np.sqrt(np.vecdot(usual, usual).mean())) or float(lengths.max()) or 1.0
        return cls(metric, dimension, width, centre, scale, count)

    @property
    def plain(self) -> bool:
        """Nothing is to be done."""
        return self.metric == "cosine" and self.width == self.dimension

    def rows(self, vectors: Stored) -> Matrix:
        """Lay out vectors: float32 of shape (n, width)."""
        if self.plain:
            return np.ascontiguousarray(vectors, np.float32)
        rows = np.zeros((len(vectors), self.width), np.float32)
        with np.errstate(over="ignore"):  # what overflows is found by its size
            moved = self.moved(vectors)
            rows[:, : self.dimension] = moved
            if self.metric in self.added:
                rows[:, self.dimension] = self.last(moved)
        return rows

    def moved(self, vectors: Stored) -> NDArray[np.float64]:
        """Centre and scale."""
        moved = vectors.astype(np.float64)
        moved -= self.centre
        moved /= self.scale
        return moved

    def last(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """The number that is added to each row, shape (n,)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Products(Layout):
    """For a search by inner product.

    Under Euclid a row gets one more number, (1 - |x|²)/2, against 1 in the query: the product is
    (|q|² + 1 - |q-x|²)/2.
    """

    added: ClassVar[frozenset[Metric]] = frozenset(("euclidean",))

    def last(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        last: NDArray[np.float64] = (1.0 - np.vecdot(moved, moved)) / 2.0
        return last

    def queries(self, queries: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
        """Lay out queries at unit length; their own lengths, of shape (q, 1), are the second result."""
        if self.plain:
            return np.ascontiguousarray(queries), _ONES
        rows = np.zeros((len(queries), self.width))
        if self.metric == "euclidean":
            rows[:, : self.dimension] = self.moved(queries)
            rows[:, self.dimension] = 1.0
        else:
            rows[:, : self.dimension] = queries
        lengths = np.sqrt(np.vecdot(rows, rows))[:, None]
        lengths[lengths == 0] = 1.0
        return (rows / lengths).astype(np.float32), lengths

    def products(self, queries: Matrix, scores: Matrix, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn exact scores of shape (q, m) into the inner products that the codes estimate."""
        wide = scores.astype(np.float64)
        if self.metric == "euclidean":
            return (lengths**2 - (wide / self.scale) ** 2) / (2.0 * lengths)
        if self.metric == "dot":
            wide -= np.vecdot(queries, self.centre, dtype=np.float64)[:, None]
            wide /= self.scale * lengths
        return wide


@dataclass(frozen=True, slots=True)
class Distances(Layout):
    """For a search by Euclid's distance.

    On unit vectors it has the order of the cosine. Under dot a row gets one more number, √(R² - |x|²), which
    puts all rows on a sphere of the radius R of the longest, against 0 in the query: the distance squared is
    |q|² + R² - 2qx (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation
    for inner-product spaces", RecSys 2014).

    Attributes:
        radius: R; 0 under other metrics.
    """

    radius: float = 0.0

    added: ClassVar[frozenset[Metric]] = frozenset(("dot",))

    def spanning(self, vectors: Stored) -> Distances:
        """The layout with the radius that all of ``vectors`` need."""
        if self.metric != "dot":
            return self
        longest = 0.0
        for at in range(0, len(vectors), _SAMPLE):
            moved = self.moved(vectors[at : at + _SAMPLE])
            longest = max(longest, float(np.vecdot(moved, moved).max()))
        return replace(self, radius=longest**0.5)

    def last(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        last: NDArray[np.float64] = np.sqrt(np.maximum(self.radius**2 - np.vecdot(moved, moved), 0.0))
        return last

    def queries(self, queries: Matrix) -> Matrix:
        """Lay out queries: float32 of shape (q, width)."""
        if self.plain:
            return np.ascontiguousarray(queries)
        rows = np.zeros((len(queries), self.width))
        if self.metric == "euclidean":
            rows[:, : self.dimension] = self.moved(queries)
        elif self.metric == "dot":
            # Only a query's direction matters: on the sphere of the rows, distances are neither all alike nor
            # lost beside its own length.
            lengths = np.sqrt(np.vecdot(queries, queries, dtype=np.float64))[:, None]
            lengths[lengths == 0] = 1.0
            rows[:, : self.dimension] = queries * (self.radius / lengths)
        else:
            rows[:, : self.dimension] = queries
        with np.errstate(over="ignore"):
            return rows.astype(np.float32)
