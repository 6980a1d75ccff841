"""The store: rows as points of one collection, and notes as points without a vector.

A note has ``samespace.kind``, no sequence number and no vector. So no search and no scan in order meets it; what goes
by a filter leaves it out.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from samespace.errors import AccessDenied, CollectionCorrupt, InvalidInput
from samespace.hits import Hit
from samespace.space import Space
from samespace.stores.base import EXACT, Block, Feature, Figures, Store, Written
from samespace.stores.qdrant_core.engine import VECTOR, Engine, Kind, Point, PointId
from samespace.stores.qdrant_core.filters import indexes, translated
from samespace.stores.qdrant_core.points import (
    KIND,
    SEAL,
    SEQUENCE,
    TRUNCATED,
    as_block,
    metadata_of,
    name_of,
    native_id,
    note_id,
    payloads,
    point_id,
    sequence_of,
)
from samespace.stores.qdrant_core.record import distance_of
from samespace.vectors import Matrix
from samespace.where import Condition

__all__ = ["INDEXES", "QdrantStore"]

T = TypeVar("T")

INDEXES: Mapping[str, Kind] = {SEQUENCE: "integer", KIND: "keyword", TRUNCATED: "bool"}
"""The payload indexes that every collection has. Those for fields of the metadata come with the first filter."""

_PAGE = 20_000  # ids that a scan asks for at once, in order; rows follow in blocks
_BLOCK_BYTES = 16 << 20  # of the rows that a scan reads at once, as JSON
_LOOKUP = 4_096  # ids that are looked up at once
_MANY_HITS = 10_000  # from which it is looked how many rows there are at all
_LARGEST_NOTE = 20 << 20  # within the 32 MB of a server's requests, in base64


class QdrantStore(Store):
    """Rows in a collection of Qdrant.

    Args:
        engine: holds the collection, which has the space's record.
        address: where, without keys.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {
        "text": "Qdrant ranks by words over sparse vectors only, which are not made here"
    }
    engines: ClassVar[Mapping[str, tuple[int, ...]]] = {"hnsw": (16, 32, 64, 128, 256, 512)}

    def __init__(self, engine: Engine, address: str, space: Space, encoder: str | None) -> None:
        self.engine = engine
        self.address = address
        self.space = space
        self.encoder = encoder
        self._lock = threading.RLock()
        self._is_note = engine.words.match(KIND, "note")
        state = engine.state()
        self._indexed = set(state.schema)
        self._exact = state.exact
        for path, kind in INDEXES.items():
            self._index(path, kind)
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        self.engine.clock.see(self._newest())

    def _newest(self) -> int:
        """The greatest number that a row has; 0 where there is none."""
        return max((int(point.score) for point in self.engine.ordered(None, None, 1, last=True)), default=0)

    def _index(self, path: str, kind: Kind) -> None:
        if path not in self._indexed:
            self.engine.index(path, kind)
            self._indexed.add(path)

    # Rows

    def _write(self, block: Block) -> Written:
        with self._lock:
            if self.engine.shared:
                self._look_at_clock()
            rows = payloads(block, self.engine.clock.take(len(block)))
            ids = [point_id(name) for name in block.ids]
            replaced, start = 0, 0
            for stop in _cuts(block, self.engine.batch_bytes):
                part = slice(start, stop)
                replaced += len(self.engine.retrieve(ids[part], payload=False))
                self.engine.upsert(ids[part], block.vectors[part], rows[part])
                start = stop
            return Written(len(block) - replaced, replaced)

    def _found(
        self, ids: Sequence[str], *, payload: bool | list[str] = True, vectors: bool = False
    ) -> dict[str, Point]:
        """The points of rows, ours and those that something else wrote, by the row's id."""
        found: dict[str, Point] = {}
        for part in _parts(ids, _LOOKUP):
            # A row of ours comes before a point that happens to be called like it.
            wanted: list[PointId] = [*map(point_id, part), *(native for name in part if (native := native_id(name)))]
            for point in self.engine.retrieve(wanted, payload=payload, vectors=vectors):
                name = name_of(point)
                if not _is_note(point) and (name not in found or point.id == point_id(name)):
                    found[name] = point
        return found

    def delete(self, ids: Sequence[str]) -> int:
        with self._lock:
            found = self._found(ids, payload=["id", KIND])
            gone = [found[name].id for name in dict.fromkeys(ids) if name in found]
            for part in _parts(gone, _LOOKUP):
                self.engine.delete(part)
            return len(gone)

    def delete_where(self, condition: Condition) -> int:
        with self._lock:
            chosen = self._rows_that(condition)
            count = self.engine.count(chosen)
            if count:
                self.engine.delete_matching(chosen)
            return count

    def get(self, ids: Sequence[str]) -> Block:
        found = self._found(ids, vectors=True)
        return as_block([found[name] for name in ids if name in found], self.space.dimension)

    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        """As the protocol says; rows that something else wrote, without a sequence number, come last, by id."""
        order, at = _cursor(after)
        chosen = None if condition is None else self._rows_that(condition)
        if order == "seq":
            yield from self._scan_ordered(chosen, int(at) + 1 if at else None)
            at = ""
        yield from self._scan_others(condition, at)

    def _scan_ordered(self, chosen: Any, start: int | None) -> Iterator[tuple[Block, str]]:
        # What is rewritten meanwhile goes to the end, which would never come.
        end, limit = self._newest(), _PAGE
        while page := self.engine.ordered(chosen, start, limit):
            is_last = len(page) < limit or page[-1].score > end
            page = [point for point in page if point.score <= end]
            if not is_last:
                # Two writers may have taken one number: what shares the page's last number waits for the next page.
                whole = [point for point in page if point.score < page[-1].score]
                if not whole:
                    limit *= 2
                    continue
                page = whole
            for part in _parts(page, self._block_rows):
                found = {point.id: point for point in self.engine.retrieve(_ids(part), payload=True, vectors=True)}
                # A row that was replaced meanwhile is at the end now, beyond this scan.
                rows = [found[one.id] for one in part if one.id in found and sequence_of(found[one.id]) == one.score]
                if rows:
                    yield as_block(rows, self.space.dimension), f"seq:{int(part[-1].score)}"
            if is_last:
                return
            start = int(page[-1].score) + 1

    def _scan_others(self, condition: Condition | None, after: str) -> Iterator[tuple[Block, str]]:
        words = self.engine.words
        must = [] if condition is None else [self._translated(condition)]
        others = words.filter(must=must, must_not=[self._is_note, words.range(SEQUENCE, gte=-(2.0**63))])
        start: PointId | None = native_id(after) if after else None
        while page := self.engine.scroll(others, start, self._block_rows + 1):
            rows = [point for point in page if str(point.id) != after]
            if not rows:
                return
            start, after = rows[-1].id, str(rows[-1].id)
            yield as_block(rows, self.space.dimension), f"id:{after}"

    @property
    def _block_rows(self) -> int:
        """Rows whose vectors make some megabytes as JSON."""
        return max(64, min(2_048, _BLOCK_BYTES // (20 * self.space.dimension + 1_000)))

    def count(self, condition: Condition | None = None) -> int:
        if condition is None:
            return self.engine.count(None) - self.engine.count(self.engine.words.filter(must=[self._is_note]))
        return self.engine.count(self._rows_that(condition))

    def _rows_that(self, condition: Condition) -> Any:
        return self.engine.words.filter(must=[self._translated(condition)], must_not=[self._is_note])

    def _translated(self, condition: Condition) -> Any:
        found = translated(condition, self.engine.words)
        if self.engine.wants_indexes:
            for path, kind in indexes(condition).items():
                try:
                    self._index(path, kind)
                except AccessDenied:  # a key that may only read; the filter is right without an index too
                    self._indexed.add(path)
        return found

    # Searching

    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        if not len(queries):
            return []
        chosen = None if condition is None else self._translated(condition)
        effort = EXACT if effort is None and self._exact else effort
        if k > _MANY_HITS:  # a number beyond 64 bits is none to an engine, and some make room for all that is asked
            k = min(k, max(1, self.engine.count(None)))
        # One more than asked for, which tells whether equals of the last hit were left out.
        found = self.engine.query(queries, k + 1, chosen, effort)
        return [
            _hits(self._with_equals(points, k, queries[row : row + 1], chosen, effort), k)
            for row, points in enumerate(found)
        ]

    def _with_equals(self, points: list[Point], k: int, query: Matrix, chosen: Any, effort: int | None) -> list[Point]:
        """The points found, with all that are as good as the one at place ``k``."""
        limit = k + 1
        while len(points) == limit and points[-1].score == points[k - 1].score:
            limit *= 4
            points = self.engine.query(query, limit, chosen, effort)[0]
        return points

    # What the collection knows of itself

    def note(self, name: str) -> bytes | None:
        for point in self.engine.retrieve([note_id(name)], payload=True):
            try:
                return base64.b64decode(point.payload["samespace"]["data"], validate=True)
            except (KeyError, TypeError, binascii.Error) as error:
                raise CollectionCorrupt(
                    f"The note {name!r} of {self.address} cannot be read ({error}). Restore it from a snapshot."
                ) from error
        return None

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        if len(value) > _LARGEST_NOTE:
            raise InvalidInput(f"The note {name!r} has {len(value):,} bytes; {_LARGEST_NOTE:,} are possible here.")
        if not replace and self.engine.retrieve([note_id(name)], payload=False):
            return
        data = base64.b64encode(value).decode()
        payload = {"samespace": {"kind": "note", "name": name, "data": data}}
        self.engine.upsert([note_id(name)], None, [payload], insert=not replace)

    def figures(self) -> Figures:
        state, words = self.engine.state(), self.engine.words
        truncated = self.engine.count(words.filter(must=[words.match(TRUNCATED, True)]))
        engine = "exact" if state.exact else "hnsw"
        return Figures(engine, state.indexed, state.size, truncated, state.complaint)

    def problems(self) -> list[str]:
        state, found = self.engine.state(), []
        if state.dimension is None:
            found.append(f"The collection has no vector of the name {VECTOR!r}.")
        elif state.dimension != self.space.dimension:
            found.append(
                f"The collection's vectors have {state.dimension} numbers; the space has {self.space.dimension}."
            )
        if state.distance != distance_of(self.space):
            found.append(
                f"The collection compares vectors by {state.distance}; the space needs {distance_of(self.space)}."
            )
        for path, kind in state.schema.items():
            if kind == "integer" and path.startswith("metadata."):
                found.append(
                    f"The payload index of {path} is for whole numbers; filters may miss others. Make it one of floats."
                )
        if state.complaint:
            found.append(f"Qdrant says: {state.complaint}")
        return found

    def unsealed(self) -> int:
        words = self.engine.words
        return self.engine.count(words.filter(must=[words.is_empty(SEAL)], must_not=[self._is_note]))

    def build(self, engine: str, progress: Any = None) -> None:  # noqa: ARG002 - Qdrant tells none
        if "tuning" in self.lacks:
            raise self.unsupported("tuning", f"Building {engine!r}")
        if engine not in (*self.engines, "exact"):
            raise InvalidInput(f"{self.address} has no engine {engine!r}; there are hnsw and exact.")
        self.engine.build(exact=engine == "exact")
        self._exact = self.engine.state().exact

    def compact(self) -> None:
        self.engine.compact()

    def drop(self) -> None:
        self.engine.drop()

    def close(self) -> None:
        self.engine.close()


def _hits(points: list[Point], k: int) -> list[Hit]:
    best = sorted(points, key=lambda point: (-point.score, sequence_of(point)))[:k]
    return [Hit(name_of(point), point.score, _content(point), metadata_of(point)) for point in best]


def _content(point: Point) -> str | None:
    content = point.payload.get("content")
    return content if isinstance(content, str) else None


def _is_note(point: Point) -> bool:
    ours = point.payload.get("samespace")
    return isinstance(ours, dict) and ours.get("kind") == "note"


def _ids(points: Sequence[Point]) -> list[PointId]:
    return [point.id for point in points]


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _cuts(block: Block, most: int) -> list[int]:
    """Where to end each request, so that none carries more bytes than ``most`` unless a single row does."""
    texts = [len(content or "") + len(text) for content, text in zip(block.contents, block.metadata, strict=True)]
    # As JSON a number of a vector takes up to some 20 bytes, and a text more than its characters.
    ends = np.cumsum(np.asarray(texts) * 2 + 20 * block.vectors.shape[1] + 300)
    cuts, start = [], 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        start = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        cuts.append(start)
    return cuts


def _cursor(after: str | None) -> tuple[str, str]:
    """The order in which a scan goes on, and the place."""
    if after is None:
        return "seq", ""
    order, _, at = after.partition(":")
    if order == "seq" and re.fullmatch(r"-?[0-9]{1,19}", at) and -(2**63) <= int(at) < 2**63 - 1:
        return order, at
    if order == "id" and native_id(at) is not None:
        return order, at
    raise InvalidInput(f"{after!r} is not a cursor of this scan. Begin anew without it.")
