"""What all engines have in common that are built: a library finds candidates, and the rest is here.

A library knows one measure, cannot filter or cannot be trusted to, stumbles over equal vectors, and gives
scores that are nearly right. So rows are laid out for Euclid's distance, equal vectors are built in once,
candidates are scored exactly, and a search with a filter looks deeper until it has found enough, or goes
through what is allowed one by one where that is quicker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from samespace.errors import CollectionCorrupt, StorageError
from samespace.indexes import sealed
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.indexes.layout import LIMIT, Distances
from samespace.indexes.repeats import Repeats
from samespace.indexes.scoring import collect, decide
from samespace.space import Metric
from samespace.vectors import Matrix, Stored

__all__ = ["CandidateIndex", "Rows"]

log = logging.getLogger("samespace.indexes")

_VERSION = 1
_FEW = 1_000  # different vectors; comparing with each of so few is as fast, and needs no build
_BLOCK = 16_384  # rows laid out at a time
_DEEPER = 4  # times as many candidates when those found were too few
_SPARE = 1.5  # times the candidates that a filter by chance needs
_SAMPLE = 100  # of the vectors themselves, asked for after a build
_WELL = 0.99  # recall on the sample with which a search does that is not told how hard to try
_BADLY = (0.99, 0.9)  # recall below which the structure is not used: if exact search is quick, and if it is not
_QUICK = 50_000  # vectors that are searched exactly without a wait
_CHEAP = 8  # rows scored exactly in the time that a library takes for a candidate


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows to build from, laid out when they are read. Slices of it are float32 of shape (n, width)."""

    vectors: Stored
    layout: Distances
    chosen: NDArray[np.int64] | None  # positions; None for all

    def __len__(self) -> int:
        return len(self.vectors if self.chosen is None else self.chosen)

    def __getitem__(self, part: slice) -> Matrix:
        return self.layout.rows(
            self.vectors[part] if self.chosen is None else self.vectors.take(self.chosen[part], axis=0)
        )

    def blocks(self) -> Iterator[Matrix]:
        """All rows, some at a time."""
        for at in range(0, len(self), _BLOCK):
            yield self[at : at + _BLOCK]

    def whole(self) -> Matrix:
        """All rows at once: the vectors themselves if they are such rows already, else a copy."""
        if self.chosen is None and self.layout.plain:
            return self[:]
        rows = np.empty((len(self), self.layout.width), np.float32)
        for at in range(0, len(self), _BLOCK):
            rows[at : at + _BLOCK] = self[at : at + _BLOCK]
        return rows


@dataclass(frozen=True, slots=True)
class _State:
    """What one search works on."""

    vectors: Stored
    layout: Distances
    repeats: Repeats | None = None  # None if no two vectors are equal
    structure: Any = None  # the library's; None if every search is exact
    zeal: int = 1  # times the usual effort that these vectors need


class CandidateIndex(Index):
    """An index whose candidates come from a library's structure, which is built over all vectors at once.

    A subclass says what the library can do, and makes, asks, writes and reads its structure. ``extend`` builds
    anew. Searches may run in several threads meanwhile: a search works on what was there when it began.
    """

    metrics: ClassVar[frozenset[Metric]] = frozenset(("cosine", "dot", "euclidean"))

    multiple: ClassVar[int] = 1
    """Of which the width of a row must be a multiple."""
    least: ClassVar[int] = 1
    """The width of a row at least."""
    shortest: ClassVar[int] = 1
    """Dimension below which the library cannot tell vectors apart; they are searched exactly."""
    spare: ClassVar[tuple[float, int]]
    """Candidates for ``k`` hits: so many times ``k``, and so many more."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        super().__init__(dimension, metric)
        self._library()  # or say at once that it is missing
        self._state = self._empty(np.empty((0, dimension), np.float32))
        self._extending = threading.Lock()

    def __len__(self) -> int:
        return len(self._state.vectors)

    def extend(self, vectors: Stored, threads: int | None = None) -> None:
        with self._extending:
            vectors = np.asarray(vectors)
            if len(vectors) == len(self):
                self._state = replace(self._state, vectors=vectors)
            else:
                self._state = self._built(vectors, threads)

    def search(self, queries: Matrix, k: int, allowed: Mask | None = None, effort: int | None = None) -> Neighbours:
        return self._answer(self._state, queries, k, allowed, effort)

    def _answer(
        self, state: _State, queries: Matrix, k: int, allowed: Mask | None = None, effort: int | None = None
    ) -> Neighbours:
        if state.structure is None:
            return search_exactly(queries, state.vectors, k, self.metric, allowed)
        times, more = self.spare
        depth = int(k * times) + more
        if effort is None:
            effort = self._usual(depth, state.structure) * state.zeal
        if allowed is None:
            candidates = self._candidates(state.structure, state.layout.queries(queries), depth, effort)
            if state.repeats is not None:
                candidates = state.repeats.positions(candidates, k)
            found = decide(queries, state.vectors, candidates, k, self.metric)
            if found.positions.shape[1] == k and (len(queries) == 1 or found.positions.min(initial=0) >= 0):
                return found
        return self._search(state, queries, k, allowed, depth, effort)

    def _search(
        self, state: _State, queries: Matrix, k: int, allowed: Mask | None, depth: int, effort: int
    ) -> Neighbours:
        """Look deeper for those queries that have found too few, until going through all allowed is cheaper."""
        n = len(state.vectors)
        if allowed is not None and len(allowed) < n:  # it grew since the mask was made
            allowed = np.concatenate([allowed, np.zeros(n - len(allowed), bool)])
        count = n if allowed is None else int(np.count_nonzero(allowed))
        wanted = depth if count == n else int(depth * _SPARE * n / max(count, 1))
        found: list[tuple[NDArray[np.int64], Matrix]] = [(np.empty((1, 0), np.int64), np.empty((1, 0), np.float32))]
        found *= len(queries)
        short = np.arange(len(queries))
        while len(short) and wanted * _CHEAP <= count:
            # The neighbours of a query that are allowed lie farther out than the nearest of all.
            harder = int(effort * (wanted / depth) ** 0.5)
            rows = state.layout.queries(queries[short])
            lists = self._candidates(state.structure, rows, min(wanted, n), harder)
            for row, candidates in zip(short, lists, strict=True):
                positions = candidates[candidates >= 0].astype(np.int64)
                if state.repeats is not None:
                    positions = state.repeats.expand(positions, k, allowed)
                elif allowed is not None:
                    positions = positions[allowed[positions]]
                if len(positions) >= k:
                    one = decide(queries[row : row + 1], state.vectors, positions[None], k, self.metric)
                    found[row] = one.positions, one.scores
            short = np.array([row for row in short if found[row][0].shape[1] < k], np.int64)
            wanted *= _DEEPER
        if len(short):
            rest = search_exactly(queries[short], state.vectors, k, self.metric, allowed)
            for row, positions, scores in zip(short, rest.positions, rest.scores, strict=True):
                found[row] = positions[None], scores[None]
        return collect(found)

    def _empty(self, vectors: Stored) -> _State:
        return _State(vectors, Distances.fit(vectors, self.metric, self.multiple, self.least))

    def _built(self, vectors: Stored, threads: int | None) -> _State:
        state = self._empty(vectors)
        if len(vectors) < _FEW or self.dimension < self.shortest:
            return state
        state = replace(state, layout=state.layout.spanning(vectors), repeats=Repeats.find(vectors))
        rows = Rows(vectors, state.layout, None if state.repeats is None else state.repeats.first)
        if len(rows) < _FEW:
            return state
        if self.metric != "cosine" and not all(np.abs(block).max() < LIMIT for block in rows.blocks()):
            log.warning("Vectors hold numbers too large for the engine %r; searching exactly.", self.engine)
            return state
        return self._tried(replace(state, structure=self._build(rows, threads)))

    def _tried(self, state: _State) -> _State:
        """Find out how hard a search must try on these vectors, or that the library cannot tell them apart."""
        n = len(state.vectors)
        sample = state.vectors[np.linspace(0, n - 1, _SAMPLE).astype(int)].astype(np.float32, copy=False)
        least = search_exactly(sample, state.vectors, 10, self.metric).scores[:, -1:]
        for zeal in (1, 2, 4):
            state = replace(state, zeal=zeal)
            share = float((self._answer(state, sample, 10).scores >= least).mean())
            if share >= _WELL:
                return state
        if share < _BADLY[n > _QUICK]:
            log.warning(
                "The engine %r finds only %.0f %% of the nearest of these vectors; searching exactly.",
                self.engine,
                100 * share,
            )
            return replace(state, structure=None)
        return state

    def save(self, path: Path) -> None:
        """Write the structure under a checksum. The library's file lies beside it for a moment.

        Raises:
            StorageFull: no space left.
            StorageError: the disk refused.
        """
        state = self._state
        header = {
            **self._kind(state.vectors),
            "scale": state.layout.scale,
            "radius": state.layout.radius,
            "fitted": state.layout.fitted,
            "zeal": state.zeal,
            "repeats": 0 if state.repeats is None else len(state.repeats.starts),
            "built": state.structure is not None,
        }
        parts: list[sealed.Part] = [state.layout.centre.data]
        if state.repeats is not None:
            parts += [state.repeats.starts.data, state.repeats.order.data]
        if state.structure is None:
            sealed.write(path, header, *parts)
            return
        with _draft(path) as draft:
            try:
                self._dump(state.structure, draft)
            except (RuntimeError, OSError) as error:
                raise StorageError(f"Cannot write {path}: {error}.") from error
            sealed.write(path, header, *parts, draft)

    @classmethod
    def load(cls, path: Path, vectors: Stored, metric: Metric) -> Self:
        vectors = np.asarray(vectors)
        index = cls(vectors.shape[1], metric)
        header, payload = sealed.read(path)
        sealed.expect(path, header, index._kind(vectors))
        border = 4 * index.dimension
        centre = np.frombuffer(payload[:border], np.float32).copy()
        layout = replace(
            index._state.layout, centre=centre, **{name: header[name] for name in ("scale", "radius", "fitted")}
        )
        state = _State(vectors, layout)
        if header["repeats"]:
            numbers = np.frombuffer(payload[border : border + 8 * (header["repeats"] + len(vectors))], np.int64)
            state = replace(state, repeats=Repeats(*np.split(numbers.copy(), [header["repeats"]])))
            border += numbers.nbytes
        if header["built"]:
            with _draft(path) as draft:
                draft.write_bytes(payload[border:])
                try:
                    state = replace(state, structure=index._restore(draft), zeal=header["zeal"])
                except (RuntimeError, OSError, ValueError) as error:
                    raise CollectionCorrupt(
                        f"The engine {cls.engine!r} cannot read {path}: {error}. {sealed.REMEDY}"
                    ) from error
        index._state = state
        return index

    @property
    def memory(self) -> int:
        state = self._state
        repeats = 0 if state.repeats is None else state.repeats.nbytes
        return repeats + (0 if state.structure is None else self._bytes(state.structure))

    def _kind(self, vectors: Stored) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "version": _VERSION,
            "library": self._library_version(),
            "dimension": self.dimension,
            "metric": self.metric,
            "count": len(vectors),
            "vectors": sealed.fingerprint(vectors),
        }

    @classmethod
    @abstractmethod
    def _library(cls) -> Any:
        """Import the library.

        Raises:
            MissingExtra: it is not installed.
        """

    @classmethod
    @abstractmethod
    def _library_version(cls) -> str:
        """Name what wrote a file, and how: a file of another name is not read."""

    @abstractmethod
    def _build(self, rows: Rows, threads: int | None) -> Any:
        """Make the structure over at least 1,000 different rows."""

    @abstractmethod
    def _candidates(self, structure: Any, queries: Matrix, m: int, effort: int) -> NDArray[np.integer[Any]]:
        """Find about the ``m`` nearest rows of each query: integers of shape (q, any), -1 for none."""

    @abstractmethod
    def _usual(self, m: int, structure: Any) -> int:
        """The effort that finds .99 of the nearest when ``m`` candidates are asked for."""

    @abstractmethod
    def _dump(self, structure: Any, path: Path) -> None:
        """Write the structure."""

    @abstractmethod
    def _restore(self, path: Path) -> Any:
        """Read what was written. The file will be deleted."""

    @abstractmethod
    def _bytes(self, structure: Any) -> int:
        """Memory that the structure takes."""


@contextlib.contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file beside ``path`` for the library, or where files may be written, gone afterwards."""
    draft = sealed.beside(path).with_suffix(".library")
    if not os.access(path.parent, os.W_OK):
        draft = Path(tempfile.gettempdir()) / draft.name
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
