"""Some rows of many, each as likely as any other, while they go by."""

from __future__ import annotations

import math

import numpy as np

from samespace.vectors import Matrix

__all__ = ["Reservoir"]


class Reservoir:
    """A uniform sample of rows that come in blocks, in the memory of the sample.

    Algorithm L (Li, ACM Transactions on Mathematical Software 20, 1994): it draws how many rows to pass over, so rows
    that are passed over cost nothing.

    Args:
        size: rows to keep at most.
        dimension: of the vectors.
        seed: of the choice. The same rows in the same order give the same sample, however they are cut into blocks.
    """

    def __init__(self, size: int, dimension: int, *, seed: int = 0) -> None:
        self._kept = np.empty((size, dimension), np.float32)
        self._random = np.random.default_rng(seed)
        self._seen = 0
        self._weight = 1.0
        self._next = size - 1  # number of the row that is taken next, once the sample is full
        self._draw()

    def __len__(self) -> int:
        return min(self._seen, len(self._kept))

    @property
    def sample(self) -> Matrix:
        """The rows kept so far, float32 of shape (n, dimension); a view that later rows change."""
        return self._kept[: len(self)]

    def extend(self, vectors: Matrix) -> None:
        """Let the rows of a block go by, float32 of shape (n, dimension)."""
        first, self._seen = self._seen, self._seen + len(vectors)
        fill = min(max(0, len(self._kept) - first), len(vectors))
        self._kept[first : first + fill] = vectors[:fill]
        while self._next < self._seen:
            self._kept[self._random.integers(len(self._kept))] = vectors[self._next - first]
            self._draw()

    def _draw(self) -> None:
        self._weight *= math.exp(-self._random.standard_exponential() / len(self._kept))
        self._next += math.floor(-self._random.standard_exponential() / math.log1p(-self._weight)) + 1
