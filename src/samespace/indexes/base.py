"""The protocol that every engine keeps: exact scores over integer positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.space import Metric
from samespace.vectors import Matrix, Stored

__all__ = ["Index", "Mask", "Neighbours"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest positions of each query, best first; equal scores in the order of positions.

    Attributes:
        positions: int64 of shape (q, k'), where k' is the most that any query found, at most k. A query that
            found fewer is padded at its end with -1.
        scores: float32 of shape (q, k'), exact; minus infinity where padded.
    """

    positions: NDArray[np.int64]
    scores: Matrix


class Index(ABC):
    """A search structure over the positions 0 … n-1 of a growing array of vectors.

    An index knows arrays, never text. It is given *comparable* vectors (unit length under cosine) and answers
    with exact scores, whatever it uses to find its candidates. Positions never change their vector; what was
    deleted is left out by the mask of each search.

    Args:
        dimension: length of every vector.
        metric: how to score.
    """

    engine: ClassVar[str]
    metrics: ClassVar[frozenset[Metric]]
    efforts: ClassVar[tuple[int, ...]] = ()
    """Rising settings worth trying, from fast to thorough; none if there is nothing to set."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric = metric

    @abstractmethod
    def __len__(self) -> int:
        """Positions that the index covers."""

    @abstractmethod
    def extend(self, vectors: Stored, threads: int | None = None) -> None:
        """Cover all of ``vectors``, of which the first ``len(self)`` rows are those that are covered already.

        Args:
            vectors: comparable, float32 or float16. The array is kept, not copied: it may be a memory map, and
                must not change.
            threads: that a long build may use; None for one a core.
        """

    @abstractmethod
    def search(self, queries: Matrix, k: int, allowed: Mask | None = None, effort: int | None = None) -> Neighbours:
        """Find the ``k`` best positions for each of ``(q, dimension)`` queries.

        Args:
            queries: comparable vectors, float32, C-contiguous.
            k: at least 1.
            allowed: bool of shape (len(self),): only positions that are True are found, and never fewer than
                ``k`` of them when there are ``k``. None allows all.
            effort: one of :attr:`efforts`, or any between; more finds more, and takes longer. None is enough
                for a recall of .99 on vectors of the usual kind.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write what cannot be made again at no cost; an engine that keeps nothing writes nothing."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path, vectors: Stored, metric: Metric) -> Index:
        """Read what :meth:`save` wrote. ``vectors`` are all rows that the index covered, in their order.

        Raises:
            CollectionCorrupt: the file is not what was written for these vectors.
        """

    @property
    @abstractmethod
    def memory(self) -> int:
        """Bytes of memory held, the vectors themselves left out."""
