"""Equal vectors, which a graph cannot bear: their edges have no length, and lead nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Mask
from samespace.vectors import Stored

__all__ = ["Repeats"]

_BLOCK = 16_384  # rows read at a time


@dataclass(frozen=True, slots=True)
class Repeats:
    """Which positions hold equal vectors. Groups of one are numbered first, so that most need no look-up.

    Attributes:
        starts: int64 of shape (groups of more than one + 1,): where each of these begins in ``order``, and where
            the last ends.
        order: all positions, int64 of shape (n,), group after group, rising within each.
    """

    starts: NDArray[np.int64]
    order: NDArray[np.int64]

    @classmethod
    def find(cls, vectors: Stored) -> Repeats | None:
        """Group equal rows, compared bit by bit; None if all are different."""
        hashes = _hashes(vectors)
        order = np.argsort(hashes, kind="stable")
        same = hashes[order[1:]] == hashes[order[:-1]]
        if not same.any():
            return None
        for at in range(0, len(same), _BLOCK):  # hashes may agree by chance
            pairs = np.flatnonzero(same[at : at + _BLOCK]) + at
            one, other = vectors.take(order[pairs], axis=0), vectors.take(order[pairs + 1], axis=0)
            same[pairs] = (one == other).all(1)
        leaders = np.flatnonzero(np.concatenate([[True], ~same]))
        sizes = np.diff(leaders, append=len(order))
        singles = np.sort(order[leaders[sizes == 1]])
        leaders, sizes = leaders[sizes > 1], sizes[sizes > 1]
        starts = len(singles) + np.concatenate([[0], np.cumsum(sizes)])
        return cls(starts, np.concatenate([singles, order[_ranges(leaders, sizes)]]))

    @property
    def first(self) -> NDArray[np.int64]:
        """The first position of each group."""
        return np.concatenate([self.order[: self.starts[0]], self.order[self.starts[:-1]]])

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.starts.nbytes + self.order.nbytes

    def positions(self, groups: NDArray[np.integer[Any]], k: int) -> NDArray[np.int64]:
        """Turn groups, of shape (q, m), -1 for none, into positions: of each group, the first ``k``."""
        unsigned = groups.view(f"u{groups.itemsize}")  # in which -1 is beyond all
        if groups.size == 0 or int(unsigned.max()) < int(self.starts[0]):
            found: NDArray[np.int64] = self.order[groups]
            return found
        lists = [self.expand(row[row >= 0], k) for row in groups]
        if len(lists) == 1:
            return lists[0][None]
        filled = np.full((len(lists), max(len(row) for row in lists)), -1, np.int64)
        for row, list_ in zip(filled, lists, strict=True):
            row[: len(list_)] = list_
        return filled

    def expand(self, groups: NDArray[np.integer[Any]], k: int, allowed: Mask | None = None) -> NDArray[np.int64]:
        """List the allowed positions of ``groups``; of each, the first ``k``, since they score the same."""
        single = groups < self.starts[0]
        place = np.where(single, 0, groups - self.starts[0])
        starts = np.where(single, groups, self.starts[place])
        sizes = np.where(single, 1, self.starts[place + 1] - starts)
        if allowed is None:
            return self.order[_ranges(starts, np.minimum(sizes, k))]
        positions = self.order[_ranges(starts, sizes)]
        keep = allowed[positions]
        of = np.repeat(np.arange(len(groups)), sizes)[keep]
        return positions[keep][np.arange(len(of)) - np.searchsorted(of, of) < k]


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count up from each start, so many steps each, one after the other."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)


def _hashes(vectors: Stored) -> NDArray[np.uint64]:
    """A number for each row, equal for equal rows (Dietzfelbinger's multiply-and-add, taken as it overflows)."""
    words = np.dtype(f"u{vectors.dtype.itemsize}")
    random = np.random.default_rng(0)
    factors = random.integers(0, 2**63, vectors.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(vectors), np.uint64)
    for at in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[at : at + _BLOCK]).view(words)
        hashes[at : at + _BLOCK] = (block.astype(np.uint64) * factors).sum(1)
    return hashes
