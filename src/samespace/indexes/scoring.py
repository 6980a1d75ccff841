"""Scores that do not depend on how they were reached: in float64, one row at a time.

A float32 matrix product rounds a row differently by its place in a block, by the batch and by the thread, so
equal vectors get unequal scores. Engines find candidates by such products, and decide among them here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Neighbours
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from samespace.space import Metric

__all__ = ["best", "collect", "rescore"]


def rescore(queries: Matrix, vectors: Matrix, positions: NDArray[np.int64], metric: Metric) -> Matrix:
    """Score ``vectors[positions]``: queries ``(q, dim)``, positions ``(q, m)`` → ``(q, m)``, high is good."""
    rows = vectors.take(positions, axis=0).astype(np.float64)
    wide = queries[:, None, :].astype(np.float64)
    scores: NDArray[np.float64]
    if metric == "euclidean":
        rows -= wide
        scores = -np.sqrt(np.vecdot(rows, rows))
    else:
        scores = np.vecdot(rows, wide)
    with np.errstate(over="ignore"):  # beyond float32 is infinitely good, or bad
        return scores.astype(np.float32)


def best(positions: NDArray[np.int64], scores: Matrix, k: int) -> tuple[NDArray[np.int64], Matrix]:
    """Keep the ``k`` best of each row, best first, equal scores in the order of positions."""
    order = np.lexsort((positions, -scores))[:, :k]
    rows = np.arange(len(order))[:, None]
    return positions[rows, order], scores[rows, order]


def collect(found: list[tuple[NDArray[np.int64], Matrix]]) -> Neighbours:
    """Put one answer a query, of shape (1, any) each, under each other."""
    if len(found) == 1:
        return Neighbours(*found[0])
    width = max((scores.shape[1] for _, scores in found), default=0)
    positions = np.full((len(found), width), -1, np.int64)
    scores = np.full((len(found), width), -np.inf, np.float32)
    for row, (some, theirs) in enumerate(found):
        positions[row, : some.shape[1]] = some
        scores[row, : some.shape[1]] = theirs
    return Neighbours(positions, scores)
