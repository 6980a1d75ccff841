"""Exact answers, and recall against them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

K = 10
_BLOCK = 100  # queries compared at once
_TIE = 1e-6  # two scores this close are one

Rows = NDArray[np.float32]


def query_sets(folder: Path, queries: int | None = None) -> dict[str, Rows]:
    """The corpus's queries by their kind. Of those of another kind, the first half is for who learns from the past."""
    sets = {"the same kind": np.load(folder / "queries.npy")[:queries]}
    if (folder / "others.npy").exists():
        others = np.load(folder / "others.npy")
        sets["another kind"] = others[len(others) // 2 :][:queries]
    return sets


def tenth_scores(queries: Rows, documents: Rows) -> NDArray[np.float32]:
    """The score of the truly tenth row of each query: what scores as well is found rightly."""
    tenth = np.empty(len(queries), np.float32)
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ documents.T
        tenth[start : start + _BLOCK] = np.partition(scores, -K, axis=1)[:, -K]
    return tenth


def shares(
    found: Sequence[Iterable[int]], queries: Rows, documents: Rows, tenth: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Recall@10 of each query: the share of rows found, each counted once, that score as well as the tenth."""
    good = np.empty(len(found))
    for row, hits in enumerate(found):
        real = np.unique([hit for hit in hits if hit >= 0]).astype(np.int64)
        good[row] = np.count_nonzero(documents[real] @ queries[row] >= tenth[row] - _TIE) / K
    return good
