"""Exact search by numpy: the oracle, and the engine of small collections and small filtered subsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.scoring import best, collect, rescore
from samespace.vectors import Matrix, Stored

if TYPE_CHECKING:
    from pathlib import Path

    from samespace.space import Metric

__all__ = ["ExactIndex", "search_exactly"]

_BLOCK_BYTES = 4 << 20  # of vectors read at a time: fits the cache, and is long enough for the matrix product
_ESTIMATES = 4 << 20  # held at a time, over all queries
_SHORT = 64  # dimension below which single dot products are slow
_DECIDED_BYTES = 4 << 20  # of float32 vectors whose float64 scores are computed at a time


class ExactIndex(Index):
    """Compares every query with every vector. Keeps no file; covering more vectors costs next to nothing.

    Searches may run in several threads while one extends: a search works on what was there when it began.
    """

    engine: ClassVar[str] = "exact"
    metrics: ClassVar[frozenset[Metric]] = frozenset(("cosine", "dot", "euclidean"))

    def __init__(self, dimension: int, metric: Metric) -> None:
        super().__init__(dimension, metric)
        # Replaced in one assignment, never changed, so that a search sees vectors and norms of one moment.
        self._state: tuple[Matrix, Matrix | None] = (
            np.empty((0, dimension), np.float32),
            None if metric == "cosine" else np.empty(0, np.float32),
        )

    def __len__(self) -> int:
        return len(self._state[0])

    def extend(self, vectors: Stored, threads: int | None = None) -> None:  # noqa: ARG002 - there is nothing to build
        covered, norms = self._state
        if norms is not None:
            norms = np.concatenate([norms, _norms(vectors[len(covered) :])])
        self._state = (np.asarray(vectors), norms)  # a memory map without the cost of its subclass

    def search(
        self,
        queries: Matrix,
        k: int,
        allowed: Mask | None = None,
        effort: int | None = None,  # noqa: ARG002 - all of it, always
    ) -> Neighbours:
        vectors, norms = self._state
        return search_exactly(queries, vectors, k, self.metric, allowed, norms)

    def save(self, path: Path) -> None:
        pass

    @classmethod
    def load(cls, path: Path, vectors: Stored, metric: Metric) -> ExactIndex:  # noqa: ARG003 - there is no file
        index = cls(vectors.shape[1], metric)
        index.extend(vectors)
        return index

    @property
    def memory(self) -> int:
        norms = self._state[1]
        return 0 if norms is None else norms.nbytes


def search_exactly(
    queries: Matrix,
    vectors: Stored,
    k: int,
    metric: Metric,
    allowed: Mask | None = None,
    norms: Matrix | None = None,
) -> Neighbours:
    """Find the ``k`` best of all vectors that are allowed.

    A float32 matrix product estimates every score. The bound of its rounding error tells which rows may be
    among the best; those, usually k and a few, are scored in float64. So the answer is that of float64
    arithmetic at the cost of float32, and the same for one query and for a batch of them.

    Args:
        queries: comparable, float32 of shape (q, dim).
        vectors: comparable, float32 of shape (n, dim).
        k: at least 1.
        metric: how to score.
        allowed: bool, shape (n,) or shorter: what lies beyond its end is not allowed.
        norms: lengths of the vectors, float32 of shape (n,), where the caller has them.
    """
    positions = None if allowed is None else np.flatnonzero(allowed)
    lengths = None  # of unit vectors
    if metric != "cosine":
        if norms is None:
            lengths = _norms(vectors, positions)
        else:
            lengths = norms if positions is None else norms[positions]
    together = max(1, _ESTIMATES // max(len(vectors), 1))
    found: list[tuple[NDArray[np.int64], Matrix]] = []
    for start in range(0, len(queries), together):
        some = queries[start : start + together]
        estimates = _estimate(some, vectors, positions, lengths, metric)
        for query, estimate in zip(some, estimates, strict=True):
            rows = _contenders(estimate, _margin(query, lengths, metric), k)
            chosen = rows if positions is None else positions[rows]
            found.append(_decide(query[None, :], vectors, chosen, k, metric))
    return collect(found)


def _blocks(vectors: Stored, positions: NDArray[np.int64] | None) -> Iterator[tuple[slice, Matrix]]:
    """Read the vectors at ``positions``, or all, a part at a time."""
    count = len(vectors) if positions is None else len(positions)
    step = max(1, _BLOCK_BYTES // (4 * vectors.shape[1]))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        block = vectors[part] if positions is None else vectors.take(positions[part], axis=0)
        yield part, block.astype(np.float32, copy=False)


def _estimate(
    queries: Matrix,
    vectors: Stored,
    positions: NDArray[np.int64] | None,
    lengths: Matrix | None,
    metric: Metric,
) -> Matrix:
    """Score the vectors at ``positions`` in float32; under Euclid by 2qd - |d|², which has the same order."""
    estimates = np.empty((len(queries), len(vectors) if positions is None else len(positions)), np.float32)
    # One query is bound by memory: a product of many threads gains nothing and, on a busy machine, waits for
    # the slowest of them at every block. Very short vectors cost more in calls than in memory.
    alone = len(queries) == 1 and vectors.shape[1] >= _SHORT
    with np.errstate(over="ignore", invalid="ignore"):  # the margin of such rows is infinite
        for part, block in _blocks(vectors, positions):
            if alone:
                np.vecdot(block, queries[0], out=estimates[0, part])
            else:
                np.matmul(queries, block.T, out=estimates[:, part])
        if metric == "euclidean" and lengths is not None:
            estimates *= 2
            estimates -= lengths * lengths
    return estimates


def _margin(query: Matrix, lengths: Matrix | None, metric: Metric) -> Matrix | float:
    """Bound how far an estimate is from the score: of shape (n,), or one bound for all unit vectors."""
    # The sum of n products in any order is off by less than n·2⁻²⁴·|q||d| (Higham, Accuracy and Stability of
    # Numerical Algorithms, 3.1). The rest is for what is rounded before and after, and for underflow.
    rounding = (len(query) + 16) * 2.0**-24 * 1.02
    underflow = len(query) * 2.0**-148
    length = float(np.sqrt(np.vecdot(query, query, dtype=np.float64)))
    if lengths is None:
        return rounding * length + underflow
    wide = lengths.astype(np.float64)
    sizes = (length + wide) ** 2 if metric == "euclidean" else length * wide
    return np.where(sizes < 1e37, rounding * sizes + underflow, np.inf).astype(np.float32)


def _contenders(estimates: Matrix, margin: Matrix | float, k: int) -> NDArray[np.int64]:
    """Find every row that may be among the ``k`` best, in order."""
    n = len(estimates)
    if n <= k:
        return np.arange(n)
    if isinstance(margin, float):
        return np.flatnonzero(estimates >= _kth_best(estimates, k) - 2 * margin)
    with np.errstate(invalid="ignore"):
        least, most = estimates - margin, estimates + margin
    least[np.isnan(least)] = -np.inf  # infinity minus infinity: nothing is known
    most[np.isnan(most)] = np.inf
    return np.flatnonzero(most >= _kth_best(least, k))


def _kth_best(values: Matrix, k: int) -> float:
    # The k-th best of the bests of groups is at most the k-th best of all; less need not be sorted.
    groups = len(values) // 64
    if groups >= 2 * k:
        floor = _kth_best(values[: groups * 64].reshape(64, groups).max(0), k)
        values = values[values >= floor]
    return float(np.partition(values, len(values) - k)[len(values) - k])


def _decide(
    query: Matrix, vectors: Stored, rows: NDArray[np.int64], k: int, metric: Metric
) -> tuple[NDArray[np.int64], Matrix]:
    step = max(1, _DECIDED_BYTES // (4 * vectors.shape[1]))
    scores = [rescore(query, vectors, rows[None, at : at + step], metric) for at in range(0, len(rows), step)]
    return best(rows[None, :], np.concatenate(scores, 1) if scores else np.empty((1, 0), np.float32), k)


def _norms(vectors: Stored, positions: NDArray[np.int64] | None = None) -> Matrix:
    norms = np.empty(len(vectors) if positions is None else len(positions), np.float32)
    for part, block in _blocks(vectors, positions):
        wide = block.astype(np.float64)
        norms[part] = np.sqrt(np.vecdot(wide, wide))
    return norms
