"""Lists of neighbours put together: two parts of one collection, or two ways of searching it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Neighbours

__all__ = ["RRF_CONSTANT", "fuse", "merge"]

RRF_CONSTANT = 60


def merge(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The best ``k`` of two disjoint parts, of which ``first`` holds the lower positions."""
    scores = np.concatenate([first.scores, second.scores], axis=1)
    positions = np.concatenate([first.positions, second.positions], axis=1)
    # Stable, and the parts are in order of position where scores are equal: ties stay in insertion order.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(positions, best, 1), np.take_along_axis(scores, best, 1))


def fuse(rankings: list[NDArray[np.int64]], k: int) -> list[tuple[int, float]]:
    """Reciprocal rank fusion of several rankings of positions.

    A position's score is the sum of 1 / (60 + rank) over the rankings that have it (Cormack, Clarke and
    Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009). Equal scores keep insertion order.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, position in enumerate(ranking.tolist(), 1):
            scores[position] = scores.get(position, 0.0) + 1.0 / (RRF_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
