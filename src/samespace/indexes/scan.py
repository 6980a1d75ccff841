"""Reads the 4-bit codes of all vectors, then scores the best candidates exactly. Needs no training.

The codes and their kernel are turbovec's (TurboQuant: Zandieh et al. 2025, arXiv 2504.19874), which searches
by inner product. Here is what surrounds it: other metrics, exact scores, the choice of how many candidates
are enough, and a file that knows whether it is whole.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import CollectionCorrupt, MissingExtra
from samespace.indexes import sealed
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.indexes.layout import LIMIT, Products
from samespace.indexes.scoring import best, rescore
from samespace.vectors import Matrix, Stored

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
_FEW = 1_000  # rows; scoring so few exactly is faster than reading codes under a mask
_MULTIPLE = 8  # of which turbovec wants the width of a row


@dataclass(frozen=True, slots=True)
class _State:
    """What one search works on."""

    vectors: Stored
    layout: Products
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
        layout = Products.fit(nothing, metric, _MULTIPLE)
        self._state = _State(nothing, layout, _turbovec().TurboQuantIndex(layout.width, _BITS))
        self._extending = threading.Lock()

    def __len__(self) -> int:
        return len(self._state.vectors)

    def extend(self, vectors: Stored, threads: int | None = None) -> None:  # noqa: ARG002 - it takes what it needs
        with self._extending:
            self._state = self._extended(np.asarray(vectors))

    def search(
        self,
        queries: Matrix,
        k: int,
        allowed: Mask | None = None,
        effort: int | None = None,  # noqa: ARG002 - it sees for itself how much is enough
    ) -> Neighbours:
        state = self._state
        n = len(state.vectors)
        if allowed is not None and len(allowed) < n:  # it grew since the mask was made
            allowed = np.concatenate([allowed, np.zeros(n - len(allowed), bool)])
        count = n if allowed is None else int(np.count_nonzero(allowed))
        wanted = max(_FEWEST, int(k * _FACTOR) + 8)
        if state.codes is None or not _pays(wanted, count, n):
            return search_exactly(queries, state.vectors, k, self.metric, allowed)
        return self._search(state, queries, k, allowed, wanted, again=_pays(wanted * _MORE, count, n))

    def _search(
        self, state: _State, queries: Matrix, k: int, allowed: Mask | None, wanted: int, again: bool
    ) -> Neighbours:
        """Score ``wanted`` candidates of each query; where that may be too few, take more, or all."""
        rows, lengths = state.layout.queries(queries)
        estimates, candidates = state.codes.search(rows, wanted, mask=allowed)
        scores = rescore(queries, state.vectors, candidates, self.metric)
        positions, top = best(candidates, scores, k)
        products = state.layout.products(queries, scores, lengths)
        sure = _sure(estimates, products, state.layout.products(queries, top[:, -1:], lengths))
        if not sure.all():
            unsure = np.flatnonzero(~sure)
            if again:
                more = self._search(state, queries[unsure], k, allowed, wanted * _MORE, again=False)
            else:
                more = search_exactly(queries[unsure], state.vectors, k, self.metric, allowed)
            positions[unsure], top[unsure] = more.positions, more.scores
        return Neighbours(positions, top)

    def _extended(self, vectors: Stored) -> _State:
        old, start = self._state, len(self)
        layout, engine = old.layout, _turbovec().TurboQuantIndex
        if layout.fitted == 0 or (self.metric != "cosine" and len(vectors) > 8 * layout.fitted):
            # The first rows may not have shown what is typical; eight times as many later, look again.
            layout, start = Products.fit(vectors, self.metric, _MULTIPLE), 0
        elif old.codes is None:
            return _State(vectors, layout, None)
        codes = engine.from_bytes(old.codes.to_bytes()) if start else engine(layout.width, _BITS)
        for at in range(start, len(vectors), _ROWS):
            rows = layout.rows(vectors[at : at + _ROWS])
            if not np.abs(rows).max(initial=0.0) < LIMIT:
                log.warning("Vectors from %d on hold numbers too large for codes; searching exactly.", at)
                return _State(vectors, layout, None)
            codes.add(rows)
        codes.prepare()
        return _State(vectors, layout, codes)

    def save(self, path: Path) -> None:
        """Write the codes under a checksum.

        Raises:
            StorageFull: no space left.
            StorageError: the disk refused.
        """
        state = self._state
        header = {
            **self._kind(state.vectors),
            "scale": state.layout.scale,
            "fitted": state.layout.fitted,
        }
        sealed.write(path, header, state.layout.centre.data, b"" if state.codes is None else state.codes.to_bytes())

    @classmethod
    def load(cls, path: Path, vectors: Stored, metric: Metric) -> ScanIndex:
        index = cls(vectors.shape[1], metric)
        header, payload = sealed.read(path)
        sealed.expect(path, header, index._kind(vectors))
        border = 4 * index.dimension
        centre = np.frombuffer(payload[:border], np.float32).copy()
        layout = replace(index._state.layout, centre=centre, scale=header["scale"], fitted=header["fitted"])
        codes = None
        if len(payload) > border:
            try:
                codes = _turbovec().TurboQuantIndex.from_bytes(bytes(payload[border:]))
            except ValueError as error:
                raise CollectionCorrupt(f"turbovec cannot read {path}: {error}. {sealed.REMEDY}") from error
            codes.prepare()
        index._state = _State(np.asarray(vectors), layout, codes)
        return index

    @property
    def memory(self) -> int:
        state = self._state
        return 0 if state.codes is None else len(state.vectors) * (state.layout.width // 2 + 4)

    def _kind(self, vectors: Stored) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "version": _VERSION,
            "turbovec": _turbovec().__version__,
            "bits": _BITS,
            "dimension": self.dimension,
            "metric": self.metric,
            "count": len(vectors),
            "vectors": sealed.fingerprint(vectors),
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


def _turbovec() -> Any:
    try:
        import turbovec
    except ImportError as error:
        raise MissingExtra("The engine 'scan'", "scan") from error
    return turbovec
