"""Scores that do not depend on how they were reached: in float64, one row at a time.

A float32 matrix product rounds a row differently by its place in a block, by the batch and by the thread, so
equal vectors get unequal scores. Engines find candidates by such products, and decide among them here.

A single search spends most of its time in calls of numpy and not in its loops, so one query takes a way with
fewer of them. The arithmetic is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Neighbours
from samespace.vectors import Matrix, Stored

if TYPE_CHECKING:
    from samespace.space import Metric

__all__ = ["best", "collect", "decide", "rescore"]

_TOGETHER = 32 << 20  # bytes of float64 candidates held at a time, over the queries of a batch


def rescore(queries: Matrix, vectors: Stored, positions: NDArray[np.int64], metric: Metric) -> Matrix:
    """Score ``vectors[positions]``: queries ``(q, dim)``, positions ``(q, m)`` → ``(q, m)``, high is good."""
    if len(queries) == 1:
        return _scores(queries[0], vectors.take(positions[0], axis=0), metric)[None]
    together = max(1, _TOGETHER // (8 * vectors.shape[1] * max(positions.shape[1], 1)))
    scores = np.empty(positions.shape, np.float32)
    for at in range(0, len(queries), together):
        part = slice(at, at + together)
        scores[part] = _scores(queries[part, None, :], vectors.take(positions[part], axis=0), metric)
    return scores


def _scores(query: Matrix, rows: Stored, metric: Metric) -> Matrix:
    wide, query = rows.astype(np.float64), query.astype(np.float64)
    if metric == "cosine":  # cannot overflow
        products: Matrix = np.vecdot(wide, query).astype(np.float32)
        return products
    with np.errstate(over="ignore"):  # beyond float32 is infinitely good, or bad
        if metric == "dot":
            scores: Matrix = np.vecdot(wide, query).astype(np.float32)
        else:
            wide -= query
            scores = -np.sqrt(np.vecdot(wide, wide)).astype(np.float32)
    return scores


def best(positions: NDArray[np.int64], scores: Matrix, k: int) -> tuple[NDArray[np.int64], Matrix]:
    """Keep the ``k`` best of each row, best first, equal scores in the order of positions."""
    if len(positions) == 1:
        order = np.lexsort((positions[0], -scores[0]))[:k]
        return positions[:, order], scores[:, order]
    order = np.lexsort((positions, -scores))[:, :k]
    rows = np.arange(len(order))[:, None]
    return positions[rows, order], scores[rows, order]


def decide(queries: Matrix, vectors: Stored, positions: NDArray[np.integer[Any]], k: int, metric: Metric) -> Neighbours:
    """Score the candidates of each query and keep the ``k`` best, as :func:`rescore` and :func:`best` would.

    Args:
        queries: comparable, of shape (q, dim).
        vectors: comparable, of shape (n, dim).
        positions: of the candidates, shape (q, m), in any order; -1 for none.
        k: at least 1.
        metric: how to score.
    """
    rising = positions.astype(np.int64)
    rising.sort(axis=1)  # then a stable sort by score leaves equal ones in order
    if len(queries) == 1:
        row = rising[0]
        if len(row) and row[0] < 0:
            row = row[np.searchsorted(row, 0) :]
        scores = _scores(queries[0], vectors.take(row, axis=0), metric)
        order = (-scores).argsort(kind="stable")[:k]
        return Neighbours(row[order][None], scores[order][None])
    scores = rescore(queries, vectors, rising, metric)
    none = rising < 0
    scores[none] = -np.inf
    order = (-scores).argsort(axis=1, kind="stable")[:, : min(k, int((~none).sum(1).max(initial=0)))]
    rows = np.arange(len(order))[:, None]
    return Neighbours(rising[rows, order], scores[rows, order])


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
