"""Reads the 4-bit codes of all vectors, then scores the best candidates exactly. Needs no training.

The codes and their kernel are turbovec's (TurboQuant: Zandieh et al. 2025, arXiv 2504.19874), which searches
by inner product. Here is what surrounds it: other metrics, exact scores, the choice of how many candidates
are enough, and a file that knows whether it is whole.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import CollectionCorrupt, MissingExtra
from samespace.indexes import sealed
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.indexes.scoring import best, rescore
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from pathlib import Path

    from samespace.space import Metric

__all__ = ["ScanIndex"]

log = logging.getLogger("samespace.indexes")

_VERSION = 1
_BITS = 4
_FEWEST = 24  # candidates; on text embeddings, the 10 best are nearly always among the first 20
_FACTOR = 1.5  # candidates for each hit that is asked for, where many are
_MORE = 5  # times as many on the second attempt; there is no third
_SURE = 3.0  # standard deviations of a code's error by which the candidates' border must lie below the hits
_ROWS = 16_384  # coded at a time
_TOGETHER = 32 << 20  # bytes of float64 candidates held at a time, over the queries of a batch
_FEW = 1_000  # rows; scoring so few exactly is faster than reading codes under a mask
_ONES = np.ones((1, 1))
_LIMIT = 1e15  # of a number; turbovec takes up to 1e16


@dataclass(frozen=True, slots=True)
class _Frame:
    """How vectors are laid out for an inner product of codes.

    Unit vectors stay as they are. Others lose what they have in common, and their typical length becomes 1:
    codes err in proportion to length, and neither changes the order, since q(x - c) = qx - qc. Under Euclid a
    row gets one more number, (1 - |x|²)/2, against 1 in the query: the product is (|q|² + 1 - |q-x|²)/2.
    """

    metric: Metric
    dimension: int
    centre: Matrix  # zeros under cosine
    scale: float  # 1 under cosine
    fitted: int  # rows that it was made for

    @classmethod
    def fit(cls, vectors: Matrix, metric: Metric) -> _Frame:
        count, dimension = vectors.shape
        if metric == "cosine" or count == 0:
            return cls(metric, dimension, np.zeros(dimension, np.float32), 1.0, count)
        # Evenly spaced rows, because those that were added together are often alike.
        sample = vectors[:: max(1, count // _ROWS)].astype(np.float64)
        centre = sample.mean(0).astype(np.float32)
        sample -= centre
        return cls(metric, dimension, centre, float(np.sqrt(np.vecdot(sample, sample).mean())) or 1.0, count)

    @property
    def width(self) -> int:
        """Length of a coded row: a multiple of 8."""
        return -(-(self.dimension + (self.metric == "euclidean")) // 8) * 8

    @property
    def plain(self) -> bool:
        """Nothing is to be done."""
        return self.metric == "cosine" and self.width == self.dimension

    def rows(self, vectors: Matrix) -> Matrix:
        """Lay out vectors: float32 of shape (n, width)."""
        if self.plain:
            return np.ascontiguousarray(vectors)
        rows = np.zeros((len(vectors), self.width), np.float32)
        with np.errstate(over="ignore"):  # what overflows is found by its size
            moved = (vectors - self.centre.astype(np.float64)) / self.scale
            rows[:, : self.dimension] = moved
            if self.metric == "euclidean":
                rows[:, self.dimension] = (1.0 - np.vecdot(moved, moved)) / 2.0
        return rows

    def queries(self, queries: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
        """Lay out queries at unit length; their own lengths, of shape (q, 1), are the second result."""
        if self.plain:
            return np.ascontiguousarray(queries), _ONES
        rows = np.zeros((len(queries), self.width))
        rows[:, : self.dimension] = queries
        if self.metric == "euclidean":
            rows[:, : self.dimension] = (queries - self.centre.astype(np.float64)) / self.scale
            rows[:, self.dimension] = 1.0
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
class _State:
    """What one search works on."""

    vectors: Matrix
    frame: _Frame
    codes: Any  # turbovec.TurboQuantIndex; None if a number is too large to code


class ScanIndex(Index):
    """Reads the 4-bit code of every vector, and scores the best candidates exactly.

    How many candidates are enough is read off the candidates themselves: their exact scores show by how much
    the codes err here, and if the hits do not lie clearly above the border of the candidates, more of them
    are taken, or all. So near-duplicates, which 4 bits cannot tell apart, cost time and not recall.

    Searches may run in several threads while one extends: a search works on what was there when it began,
    since extending copies the codes. Extend by many rows at a time.
    """

    engine: ClassVar[str] = "scan"
    metrics: ClassVar[frozenset[Metric]] = frozenset(("cosine", "dot", "euclidean"))

    def __init__(self, dimension: int, metric: Metric) -> None:
        super().__init__(dimension, metric)
        _turbovec()
        nothing = np.empty((0, dimension), np.float32)
        frame = _Frame.fit(nothing, metric)
        self._state = _State(nothing, frame, _turbovec().TurboQuantIndex(frame.width, _BITS))
        self._extending = threading.Lock()

    def __len__(self) -> int:
        return len(self._state.vectors)

    def extend(self, vectors: Matrix) -> None:
        with self._extending:
            self._state = self._extended(np.asarray(vectors))

    def search(self, queries: Matrix, k: int, allowed: Mask | None = None) -> Neighbours:
        state = self._state
        n = len(state.vectors)
        if allowed is not None and len(allowed) < n:  # it grew since the mask was made
            allowed = np.concatenate([allowed, np.zeros(n - len(allowed), bool)])
        count = n if allowed is None else int(np.count_nonzero(allowed))
        wanted = max(_FEWEST, int(k * _FACTOR) + 8)
        if state.codes is None or not _pays(wanted, count, n):
            return search_exactly(queries, state.vectors, k, self.metric, allowed)
        together = max(1, _TOGETHER // (8 * self.dimension * wanted))
        again = _pays(wanted * _MORE, count, n)
        if len(queries) <= together:
            return self._search(state, queries, k, allowed, wanted, again)
        parts = [
            self._search(state, queries[at : at + together], k, allowed, wanted, again)
            for at in range(0, len(queries), together)
        ]
        return Neighbours(
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )

    def _search(
        self, state: _State, queries: Matrix, k: int, allowed: Mask | None, wanted: int, again: bool
    ) -> Neighbours:
        """Score ``wanted`` candidates of each query; where that may be too few, take more, or all."""
        rows, lengths = state.frame.queries(queries)
        estimates, candidates = state.codes.search(rows, wanted, mask=allowed)
        scores = rescore(queries, state.vectors, candidates, self.metric)
        positions, top = best(candidates, scores, k)
        products = state.frame.products(queries, scores, lengths)
        sure = _sure(estimates, products, state.frame.products(queries, top[:, -1:], lengths))
        if not sure.all():
            unsure = np.flatnonzero(~sure)
            if again:
                more = self._search(state, queries[unsure], k, allowed, wanted * _MORE, again=False)
            else:
                more = search_exactly(queries[unsure], state.vectors, k, self.metric, allowed)
            positions[unsure], top[unsure] = more.positions, more.scores
        return Neighbours(positions, top)

    def _extended(self, vectors: Matrix) -> _State:
        old, start = self._state, len(self)
        frame, engine = old.frame, _turbovec().TurboQuantIndex
        if frame.fitted == 0 or (self.metric != "cosine" and len(vectors) > 8 * frame.fitted):
            # The first rows may not have shown what is typical; eight times as many later, look again.
            frame, start = _Frame.fit(vectors, self.metric), 0
        elif old.codes is None:
            return _State(vectors, frame, None)
        codes = engine.from_bytes(old.codes.to_bytes()) if start else engine(frame.width, _BITS)
        for at in range(start, len(vectors), _ROWS):
            rows = frame.rows(vectors[at : at + _ROWS])
            if not np.abs(rows).max(initial=0.0) < _LIMIT:
                log.warning("Vectors from %d on hold numbers too large for codes; searching exactly.", at)
                return _State(vectors, frame, None)
            codes.add(rows)
        codes.prepare()
        return _State(vectors, frame, codes)

    def save(self, path: Path) -> None:
        """Write the codes under a checksum.

        Raises:
            StorageFull: no space left.
            StorageError: the disk refused.
        """
        state = self._state
        header = {
            **self._kind(),
            "count": len(state.vectors),
            "vectors": _fingerprint(state.vectors),
            "scale": state.frame.scale,
            "fitted": state.frame.fitted,
        }
        codes = b"" if state.codes is None else state.codes.to_bytes()
        sealed.write(path, header, state.frame.centre.tobytes() + codes)

    @classmethod
    def load(cls, path: Path, vectors: Matrix, metric: Metric) -> ScanIndex:
        index = cls(vectors.shape[1], metric)
        header, payload = sealed.read(path)
        expected = {**index._kind(), "count": len(vectors), "vectors": _fingerprint(vectors)}
        for name, value in expected.items():
            if header.get(name) != value:
                raise CollectionCorrupt(
                    f"{path} was written for other vectors or by another version: its {name} is "
                    f"{header.get(name)!r}, expected {value!r}. {sealed.REMEDY}"
                )
        border = 4 * index.dimension
        centre = np.frombuffer(payload[:border], np.float32)
        frame = _Frame(metric, index.dimension, centre, header["scale"], header["fitted"])
        codes = None
        if len(payload) > border:
            try:
                codes = _turbovec().TurboQuantIndex.from_bytes(bytes(payload[border:]))
            except ValueError as error:
                raise CollectionCorrupt(f"turbovec cannot read {path}: {error}. {sealed.REMEDY}") from error
            codes.prepare()
        index._state = _State(np.asarray(vectors), frame, codes)
        return index

    @property
    def memory(self) -> int:
        state = self._state
        return 0 if state.codes is None or state.frame is None else len(state.vectors) * (state.frame.width // 2 + 4)

    def _kind(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "version": _VERSION,
            "turbovec": _turbovec().__version__,
            "bits": _BITS,
            "dimension": self.dimension,
            "metric": self.metric,
        }


def _pays(wanted: int, count: int, n: int) -> bool:
    """Tell whether reading the codes of ``n`` rows is faster than scoring the ``count`` allowed exactly."""
    return count > max(_FEW, n // 100) and wanted * 50 <= count


def _sure(estimates: Matrix, products: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for each query whether a row that is no candidate is unlikely to be one of the best.

    Args:
        estimates: of the candidates, best first, shape (q, m).
        products: what was estimated, shape (q, m).
        least: the product of the last of the best, shape (q, 1).
    """
    m = estimates.shape[1]
    errors = estimates - products
    mean = np.add.reduce(errors, 1) / m
    spread = np.sqrt(np.maximum(np.vecdot(errors, errors) / m - mean * mean, 0.0))
    # Candidates were chosen for high estimates, so errors lean upward; another lean is the codes' own.
    sure: NDArray[np.bool_] = least[:, 0] > estimates[:, -1] - np.minimum(mean, 0.0) + _SURE * spread
    return sure


def _fingerprint(vectors: Matrix) -> str:
    """Name an array by a few of its rows: enough to notice that a file belongs to another."""
    rows = vectors[np.linspace(0, len(vectors) - 1, 16).astype(int)] if len(vectors) else vectors
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:32]


def _turbovec() -> Any:
    try:
        import turbovec
    except ImportError as error:
        raise MissingExtra("The engine 'scan'", "scan") from error
    return turbovec
