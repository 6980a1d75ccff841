"""What each engine finds and how fast: measured on this collection's vectors, and chosen by what was measured.

A *pool* is a set of queries with their exact answers. An engine's *curve* is its recall and its time on all pools
along its settings. Of the settings that reach the declared recall in every pool, the fastest is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.ranking import merge
from samespace.recall.estimate import Estimate, Shares, estimate, recalls
from samespace.space import Metric
from samespace.vectors import Matrix, Stored, unit

__all__ = ["Curve", "Point", "Pool", "Progress", "Tuning", "enough", "measure", "own_pool", "past_pool", "pick"]

Progress = Callable[[float], None]
"""Called between blocks of work with the part that is done, 0 … 1. What it raises ends the work at once."""

_KS = (10, 100)
_DEPTH = max(_KS)
_UNSEEN = 2_000  # queries, of the later sample in which the declared recall must be found again

_ROWS, _QUERIES = 65_536, 1_024  # compared exactly at a time, a second or less of work
_TOGETHER = 256  # queries of a batch, between two looks at the progress
_NEAR_PART = 8  # one row in so many shows how far a row's neighbours are
_AWAY = 1.0  # of that distance lies between a row and the query made of it

_TIMED = 256  # queries that are asked one by one,
_PATIENCE = 2.0  # for at most so many seconds,
_TIMED_LEAST = 16  # but so many at least


@dataclass(frozen=True, slots=True)
class Pool:
    """Queries, and what exact search finds for them.

    Attributes:
        name: ``"own"`` or ``"past"``.
        queries: comparable, float32 of shape (q, dimension).
        truth: the 100 best of the live rows.
        own: int64 of shape (q,): the row that each query was made of, left out of both the truth and the answers;
            None where they are real queries.
    """

    name: str
    queries: Matrix
    truth: Neighbours
    own: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of an engine.

    Attributes:
        effort: of the search; 0 where the engine has no setting.
        k: hits asked for.
        recall: in the worst pool.
        seconds: of one query, one thread, the median of queries asked one by one.
        others: recall in the other pools.
    """

    effort: int
    k: int
    recall: Estimate
    seconds: float
    others: tuple[Estimate, ...] = ()

    def reaches(self, recall: float) -> bool:
        """Tell whether 2,000 queries that nobody has seen will find ``recall``, judged by every pool."""
        return all(_reaches(each, recall) for each in (self.recall, *self.others))


@dataclass(frozen=True, slots=True)
class Curve:
    """An engine along its settings.

    Attributes:
        engine: its name.
        count: rows that it covered.
        build_seconds: that making it took, 0 where nobody measured it.
        memory: bytes that it holds, the vectors left out.
        points: by k, then in rising order of effort.
    """

    engine: str
    count: int
    build_seconds: float
    memory: int
    points: tuple[Point, ...]

    def effort_for(self, recall: float, k: int) -> Point | None:
        """The cheapest setting that reaches ``recall`` in every pool; None if none does, or ``k`` is above 100.

        For fewer than 10 hits it is the setting for 10, since the nearest are found first. Between 10 and 100 the
        effort is interpolated as a power of ``k``, which lies above a straight line; the next higher setting that
        was measured is taken, with its recall and seconds at 100, the harder.
        """
        few = self._cheapest(recall, 10)
        if k <= 10 or few is None:
            return few if k <= 10 else None
        many = self._cheapest(recall, 100)
        if k > 100 or many is None:
            return None
        effort = few.effort * (many.effort / max(few.effort, 1)) ** math.log10(k / 10)
        return next((each for each in self._at(100) if effort <= each.effort < many.effort), many)

    def _at(self, k: int) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.k == k)

    def _cheapest(self, recall: float, k: int) -> Point | None:
        """The lowest setting that reaches it, as do all above it: one that does so alone did it by luck."""
        lowest = None
        for point in reversed(self._at(k)):
            if not point.reaches(recall):
                break
            lowest = point
        return lowest

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"points": [asdict(point) for point in self.points]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` made."""
        return cls(**{**values, "points": tuple(_point(point) for point in values["points"])})


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen, and what it was chosen from.

    Attributes:
        recall: that was declared.
        engine: the fastest that reaches it for 10 hits.
        effort: its setting; None where it has none.
        curves: of all engines that were measured.
        pools: number of queries by the name of their pool.
        sequence: of the collection's last change when it was measured.
        time: when it was measured, ISO 8601 in UTC.
    """

    recall: float
    engine: str
    effort: int | None
    curves: tuple[Curve, ...]
    pools: Mapping[str, int]
    sequence: int
    time: str

    @property
    def curve(self) -> Curve | None:
        """The chosen engine's curve."""
        return next((curve for curve in self.curves if curve.engine == self.engine), None)

    @property
    def point(self) -> Point | None:
        """The chosen engine at the chosen setting, for 10 hits."""
        points = () if self.curve is None else self.curve.points
        return next((point for point in points if point.k == 10 and point.effort == (self.effort or 0)), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"pools": dict(self.pools), "curves": [curve.to_dict() for curve in self.curves]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` made."""
        return cls(**{**values, "curves": tuple(Curve.from_dict(curve) for curve in values["curves"])})


def enough(recall: float) -> int:
    """How many queries a pool should have to judge a declared recall: about 20 must be lost if it is just missed."""
    return min(4_000, max(1_000, math.ceil(20 / max(1.0 - recall, 1e-9))))


def own_pool(
    vectors: Stored,
    live: Mask | None,
    metric: Metric,
    count: int = 1_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Pool:
    """Make queries of the collection's own rows, and find their answers.

    A row as it is would be too easy for a graph, which holds it, and with it the way to its neighbours. Of 30,000
    glosses of WordNet, a graph finds .943 of the 10 nearest for glosses that it has not seen, and .992 for its own,
    each left out of its own answer. So a query lies beside its row, as far from it as the row's neighbours are, in
    the direction away from another row: of such queries the same graph finds .939, and somewhat less than of unseen
    ones at higher settings, which errs on the safe side.

    Args:
        vectors: comparable, shape (n, dimension).
        live: bool of shape (n,), False where a row was deleted; None if none was.
        metric: how to score.
        count: queries at most.
        seed: of the choice.
        progress: is told how far it is.
    """
    random = np.random.default_rng(seed)
    alive = np.arange(len(vectors)) if live is None else np.flatnonzero(live)
    own = np.sort(random.choice(alive, min(count, len(alive)), replace=False))
    if len(own) < 2:
        return Pool("own", _rows(vectors, own), _truth(_rows(vectors, own), vectors, live, metric, own, progress), own)
    rows = _rows(vectors, own).astype(np.float64)
    others = _rows(vectors, np.sort(random.choice(alive, max(2, len(alive) // _NEAR_PART), replace=False)))
    distances = -_nearest(_rows(vectors, own), others, None, "euclidean", 2, None).scores.astype(np.float64)
    # The row itself may be among the others, at no distance.
    distance = np.where(distances[:, :1] > 0, distances[:, :1], distances[:, -1:])
    away = rows.mean(axis=0) - rows[random.permutation(len(rows))]
    if metric == "cosine":  # along the sphere
        away -= np.vecdot(away, rows)[:, None] * rows
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-300)
    queries = (rows + _AWAY * distance * away).astype(np.float32)
    if metric == "cosine":
        queries = unit(queries)
    return Pool("own", queries, _truth(queries, vectors, live, metric, own, progress), own)


def past_pool(
    queries: Matrix, vectors: Stored, live: Mask | None, metric: Metric, progress: Progress | None = None
) -> Pool:
    """Find the answers of real queries; the arguments are those of :func:`own_pool`."""
    return Pool("past", queries, _truth(queries, vectors, live, metric, None, progress), None)


def measure(
    index: Index,
    pools: Sequence[Pool],
    allowed: Mask | None,
    progress: Progress | None = None,
    *,
    slowest: float = math.inf,
    complete: float = 0.99995,
    build_seconds: float = 0.0,
) -> Curve:
    """Follow an engine along its settings until it finds everything, or is too slow to be of use.

    Recall is measured on all queries of each pool in batches; time on some of them, one by one.

    Args:
        index: covers the rows that the pools' truth was made of.
        pools: at least one, with at least one query each.
        allowed: the live rows, as in the pools; None if all are.
        progress: is told how far it is.
        slowest: seconds of one query, beyond which no higher setting is tried.
        complete: recall, for 10 hits and for 100, beyond which none is tried.
        build_seconds: what making the index took, for the record.
    """
    efforts: tuple[int | None, ...] = index.efforts or (None,)
    timed = np.concatenate([pool.queries[: max(1, _TIMED // len(pools))] for pool in pools])
    points: list[Point] = []
    steps, done = len(efforts) * len(_KS), 0
    for effort in efforts:
        here = []
        for k in _KS:
            seconds = _seconds(index, timed, k, allowed, effort)
            found = sorted(
                (estimate(_shares(index, pool, k, allowed, effort, progress, done / steps)) for pool in pools),
                key=lambda each: each.recall,
            )
            here.append(Point(effort or 0, k, found[0], seconds, tuple(found[1:])))
            done += 1
        points.extend(here)
        if here[0].seconds > slowest or all(point.recall.recall >= complete for point in here):
            break
    if progress is not None:
        progress(1.0)
    points.sort(key=lambda point: point.k)  # stable: efforts go on rising
    return Curve(index.engine, len(index), build_seconds, index.memory, tuple(points))


def pick(curves: Sequence[Curve], recall: float, k: int = 10) -> tuple[str, Point] | None:
    """The fastest engine that reaches ``recall``, and its setting; None if none does."""
    reached = [(curve.engine, point) for curve in curves if (point := curve.effort_for(recall, k)) is not None]
    return min(reached, key=lambda pair: pair[1].seconds, default=None)


def _reaches(found: Estimate, recall: float) -> bool:
    # The interval says where the mean of all queries lies. What is measured later is the mean of a sample, with an
    # error of its own: that of n queries is to that of m as √m to √n, and independent errors add in squares.
    below = (found.recall - found.low) * math.sqrt(1.0 + found.queries / _UNSEEN)
    # The interval supposes that the next query may find nothing at all, so it cannot show .999 by fewer than some
    # ten thousand queries. A setting that loses at most a third of what it may is good enough too: one that loses
    # more than it may looks so in a few cases of a hundred, given as many queries as `enough` says.
    return found.recall - below >= recall or 1.0 - found.recall <= (1.0 - recall) / 3.0


def _shares(
    index: Index, pool: Pool, k: int, allowed: Mask | None, effort: int | None, progress: Progress | None, part: float
) -> Shares:
    truth = Neighbours(pool.truth.positions[:, :k], pool.truth.scores[:, :k])
    shares = []
    for at in range(0, len(pool), _TOGETHER):
        if progress is not None:
            progress(part)
        some = slice(at, at + _TOGETHER)
        own = None if pool.own is None else pool.own[some]
        found = _search(index, pool.queries[some], k + (own is not None), allowed, effort)
        shares.append(recalls(_without(found, own), Neighbours(truth.positions[some], truth.scores[some])))
    return np.concatenate(shares)


def _seconds(index: Index, queries: Matrix, k: int, allowed: Mask | None, effort: int | None) -> float:
    _search(index, queries[:1], k, allowed, effort)  # the first pays for what is loaded when it is needed
    took: list[float] = []
    for row in range(len(queries)):
        begun = time.perf_counter()
        _search(index, queries[row : row + 1], k, allowed, effort)
        took.append(time.perf_counter() - begun)
        if len(took) >= _TIMED_LEAST and sum(took) > _PATIENCE:
            break
    return float(np.median(took))


def _search(index: Index, queries: Matrix, k: int, allowed: Mask | None, effort: int | None) -> Neighbours:
    return index.search(queries, k, allowed) if effort is None else index.search(queries, k, allowed, effort)


def _truth(
    queries: Matrix,
    vectors: Stored,
    live: Mask | None,
    metric: Metric,
    own: NDArray[np.int64] | None,
    progress: Progress | None,
) -> Neighbours:
    return _without(_nearest(queries, vectors, live, metric, _DEPTH + (own is not None), progress), own)


def _nearest(
    queries: Matrix, vectors: Stored, live: Mask | None, metric: Metric, k: int, progress: Progress | None
) -> Neighbours:
    """Search exactly, in blocks of rows and queries: a large batch keeps the processor busy, and can be ended."""
    parts = []
    steps, done = max(1, math.ceil(len(queries) / _QUERIES) * math.ceil(len(vectors) / _ROWS)), 0
    for first in range(0, max(len(queries), 1), _QUERIES):
        some = queries[first : first + _QUERIES]
        best = Neighbours(np.empty((len(some), 0), np.int64), np.empty((len(some), 0), np.float32))
        for start in range(0, len(vectors), _ROWS):
            allowed = None if live is None else live[start : start + _ROWS]
            found = search_exactly(some, vectors[start : start + _ROWS], k, metric, allowed)
            moved = np.where(found.positions >= 0, found.positions + start, -1)
            best = merge(best, Neighbours(moved, found.scores), k)
            done += 1
            if progress is not None:
                progress(done / steps)
        parts.append(best)
    return Neighbours(
        np.concatenate([part.positions for part in parts]), np.concatenate([part.scores for part in parts])
    )


def _without(found: Neighbours, own: NDArray[np.int64] | None) -> Neighbours:
    """Leave each query's own row out; where it was not found, the last one, so that all have equally many."""
    if own is None or found.positions.shape[1] == 0:
        return found
    leave = found.positions == own[:, None]
    leave[~leave.any(axis=1), -1] = True
    shape = (len(leave), leave.shape[1] - 1)
    return Neighbours(found.positions[~leave].reshape(shape), found.scores[~leave].reshape(shape))


def _rows(vectors: Stored, positions: NDArray[np.int64]) -> Matrix:
    return np.ascontiguousarray(vectors[positions], dtype=np.float32)


def _point(values: Mapping[str, Any]) -> Point:
    return Point(
        **{
            **values,
            "recall": Estimate.from_dict(values["recall"]),
            "others": tuple(Estimate.from_dict(each) for each in values["others"]),
        }
    )
