"""The local store as every store is: rows of a folder, found by indexes that follow them."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, StorageError
from samespace.hits import Hit
from samespace.memory import Tier
from samespace.ranking import fuse
from samespace.reports import Info
from samespace.stores.base import EXACT, Block, Feature, Figures, Store, Written, parsed
from samespace.stores.local import LocalStore, StoredRow, View
from samespace.vectors import Matrix
from samespace.where import Condition

if TYPE_CHECKING:
    from samespace.indexes.base import Mask, Neighbours
    from samespace.recall.tune import Tuning
    from samespace.searcher import Searcher

__all__ = ["IndexedStore"]

_READ_BATCH = 1_024
_RANGE_DEPTH = 64  # how deep a search for all of a score looks at first, and how many times deeper each time after
_ATTEMPTS = 8  # searches begun anew because rows vanished between finding and fetching


class IndexedStore(Store):
    """Rows of a folder, and the indexes over them.

    Args:
        rows: of the folder.
        searcher: over them.
        tier: what is held where.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {
        "seals": "its catalogue keeps a checksum of the vectors of every change instead",
        "tuning": "the engines of the local store are measured and built by tune",
    }

    def __init__(self, rows: LocalStore, searcher: Searcher, tier: Tier) -> None:
        self.rows = rows
        self.searcher = searcher
        self.tier = tier
        self.address = str(rows.path)
        self.space = rows.space
        self.encoder = rows.encoder

    @property
    def store(self) -> Store:
        """Itself; what is served by an engine has its store beside it."""
        return self

    # Writing

    def write(self, block: Block) -> Written:
        return self.write_sealed(block)  # and keeps no seals

    def _write(self, block: Block) -> Written:
        return self.rows.write(block.ids, block.contents, block.metadata, block.vectors, block.tokens)

    def settle(self) -> None:
        """Cover what was added, and keep the index for the next process."""
        self.searcher.keep_up(self.rows.view())

    def delete(self, ids: Sequence[str]) -> int:
        return self.rows.delete(ids) if ids else 0

    def delete_where(self, condition: Condition) -> int:
        return self.rows.delete_where(condition)

    def compact(self, tier: Tier | None = None) -> None:
        """Give back the space of deleted rows.

        Args:
            tier: convert the vectors to its precision, and hold them so from now on.
        """
        self.rows.compact(None if tier is None else tier.precision)
        if tier is not None:
            self.tier = tier
        self.settle()

    # Reading

    def get(self, ids: Sequence[str]) -> Block:
        for _ in range(_ATTEMPTS):
            found = {row.id: row for part in _chunks(ids) for row in self.rows.find(part).values()}
            view = self.rows.view()
            if all(view.first_slot <= row.slot < view.end_slot for row in found.values()):
                return _block([found[name] for name in ids if name in found], view)
        raise self._unsettled("read")

    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        if after is not None and not re.fullmatch(r"[0-9]{1,18}", after):
            raise InvalidInput(f"{after!r} is not a cursor of {self.address}. Begin without one.")
        view, mask = self._settled(condition)  # a filter that is wrong is told now, not at the first row
        positions = np.flatnonzero(mask)
        if after is not None:
            positions = positions[positions + view.first_slot > int(after)]
        return ((_block(rows, view), str(rows[-1].slot)) for rows in self._stored(view, positions) if rows)

    def ids(self, condition: Condition | None = None) -> Iterator[str]:
        """The ids of all rows, or of those that meet a condition, in order."""
        view, mask = self._settled(condition)
        return (row.id for rows in self._stored(view, np.flatnonzero(mask)) for row in rows)

    def count(self, condition: Condition | None = None) -> int:
        if condition is None:
            return self.rows.view().count
        return int(self._settled(condition)[1].sum())

    def _stored(self, view: View, positions: NDArray[np.int64]) -> Iterator[list[StoredRow]]:
        for start in range(0, len(positions), _READ_BATCH):
            slots = (positions[start : start + _READ_BATCH] + view.first_slot).tolist()
            stored = self.rows.fetch(slots)
            if not stored and self.rows.view().first_slot != view.first_slot:
                raise StorageError(f"{self.address} was compacted while it was read. Start again.")
            yield stored

    # Searching

    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        return self.search(queries, k, condition, 1.0 if effort == EXACT else None)

    def search(
        self, queries: Matrix, k: int, condition: Condition | None = None, recall: float | None = None
    ) -> list[list[Hit]]:
        def find(view: View) -> list[list[tuple[int, float]]]:
            near = self._neighbours(view, queries, k, condition, recall)
            return [
                [(position, score) for position, score in zip(*pair, strict=True) if position >= 0]
                for pair in zip(near.positions.tolist(), near.scores.tolist(), strict=True)
            ]

        return self._hits(find, can_move=condition is not None)

    def match_text(self, words: str, k: int, condition: Condition | None = None) -> list[Hit]:
        def find(view: View) -> list[list[tuple[int, float]]]:
            most = min(k, max(len(view.live), 1))
            return [self.rows.match_text(words, most, self.rows.matching(condition, view), view)]

        return self._hits(find, can_move=True)[0]

    def hybrid(
        self,
        words: Sequence[str],
        queries: Matrix,
        k: int,
        depth: int,
        condition: Condition | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        def find(view: View) -> list[list[tuple[int, float]]]:
            allowed = self.rows.matching(condition, view)
            near = self._neighbours(view, queries, depth, condition, recall)
            by_words = [self.rows.match_text(text, min(depth, max(len(view.live), 1)), allowed, view) for text in words]
            return [
                fuse([positions[positions >= 0], np.array([position for position, _ in some], np.int64)], k)
                for positions, some in zip(near.positions, by_words, strict=True)
            ]

        return self._hits(find, can_move=True)

    def nearest_ids(
        self, queries: Matrix, k: int, condition: Condition | None = None, recall: float | None = None
    ) -> tuple[NDArray[np.object_], Matrix]:
        for _ in range(_ATTEMPTS):
            view = self.rows.view()
            found = self._neighbours(view, queries, k, condition, recall)
            if condition is not None and self._has_moved(view):
                continue
            there = found.positions >= 0
            names = np.full(found.positions.shape, None, object)
            names[there] = self.rows.ids_of(found.positions[there] + view.first_slot)
            if None not in names[there].tolist():
                return names, found.scores
        raise self._unsettled("searched")

    def within(
        self, query: Matrix, least: float, condition: Condition | None = None, recall: float | None = None
    ) -> list[Hit]:
        wanted = 1.0 if recall is None else recall  # all of them, unless less will do

        def find(view: View) -> list[list[tuple[int, float]]]:
            depth = _RANGE_DEPTH
            while True:
                found = self._neighbours(view, query, depth, condition, wanted)
                scores = found.scores[0]
                if len(scores) < depth or scores[-1] < least:
                    break
                depth *= _RANGE_DEPTH
            enough = scores >= least
            pairs = zip(found.positions[0][enough].tolist(), scores[enough].tolist(), strict=True)
            return [list(pairs)]

        return self._hits(find, can_move=condition is not None)[0]

    def _neighbours(
        self, view: View, queries: Matrix, k: int, condition: Condition | None, recall: float | None
    ) -> Neighbours:
        mask: Mask | None = None
        if condition is not None or view.count != len(view.live):
            mask = self.rows.matching(condition, view)
        depth = min(k, max(len(view.live), 1))
        return self.searcher.nearest(view, np.ascontiguousarray(queries), depth, mask, recall)

    def _hits(self, find: Callable[[View], list[list[tuple[int, float]]]], *, can_move: bool) -> list[list[Hit]]:
        """The hits at the positions that ``find`` finds in a view.

        Args:
            find: positions and scores for each query, best first.
            can_move: it reads rows of more than the view, so that a compaction may come in between.
        """
        for _ in range(_ATTEMPTS):
            view = self.rows.view()
            found = find(view)
            if can_move and self._has_moved(view):
                continue
            results = self._fetch(view, found)
            if results is not None:
                return results
        raise self._unsettled("searched")

    def _fetch(self, view: View, found: list[list[tuple[int, float]]]) -> list[list[Hit]] | None:
        """The rows at these positions as hits; None if one has gone since, and the search must begin anew."""
        first = view.first_slot
        if len(found) == 1:
            slots = [first + position for position, _ in found[0]]
        else:
            slots = list({first + position: None for hits in found for position, _ in hits})
        rows = self.rows.fetch(slots)
        if len(rows) < len(slots):
            return None
        fields = _fields(rows)
        if len(found) == 1:
            return [
                [
                    Hit(row.id, score, row.content, metadata)
                    for row, metadata, (_, score) in zip(rows, fields, found[0], strict=True)
                ]
            ]
        by_slot = dict(zip(slots, zip(rows, fields, strict=True), strict=True))
        return [
            [
                Hit(row.id, score, row.content, metadata)
                for (row, metadata), score in ((by_slot[first + position], score) for position, score in hits)
            ]
            for hits in found
        ]

    def _unsettled(self, done: str) -> StorageError:
        return StorageError(f"{self.address} changed {_ATTEMPTS} times while it was {done}. Try again.")

    def _has_moved(self, view: View) -> bool:
        """Tell whether a compaction came in between, so that what was read of rows is not of the view's slots."""
        return self.rows.view().first_slot != view.first_slot

    def _settled(self, condition: Condition | None) -> tuple[View, Mask]:
        """A view, and which of its rows meet the condition."""
        for _ in range(_ATTEMPTS):
            view = self.rows.view()
            mask = self.rows.matching(condition, view)
            if condition is None or not self._has_moved(view):
                return view, mask
        raise self._unsettled("read")

    # What the collection knows of itself

    def note(self, name: str) -> bytes | None:
        return self.rows.canaries() if name == "canaries" else self.rows.note(name)

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        keep = self.rows.keep_canaries if name == "canaries" else partial(self.rows.keep_note, name)
        keep(value, replace=replace)

    def figures(self) -> Figures:
        index = self.searcher.describe(self.rows.view())
        return Figures(index.engine, index.rows, self.size, self.rows.truncated(), index.note)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self.rows.sizes.values()) + _folder_bytes(self.rows.path / "index")

    def info(self) -> Info:
        """The collection in figures."""
        view, sizes = self.rows.view(), self.rows.sizes
        index = self.searcher.describe(view)
        return Info(
            path=self.rows.path,
            space=self.space,
            encoder=self.encoder,
            proven=self.rows.canaries() is not None,
            count=view.count,
            deleted=len(view.live) - view.count,
            truncated=self.rows.truncated(),
            bytes_vectors=sizes["vectors"],
            bytes_catalog=sizes["catalog"],
            bytes_index=_folder_bytes(self.rows.path / "index"),
            engine=index.engine,
            indexed=index.rows,
            memory=self.tier.name,
            memory_index=index.memory,
            sequence=view.sequence,
            declared_recall=index.report.declared,
            running_recall=index.report.running,
            checked=index.report.checked,
            alarms=index.report.alarms,
            tuning=index.tuning,
            building=index.building,
            note=index.note,
        )

    def tune(
        self, recall: float | None, engines: Sequence[str] | None, progress: Callable[[str, float], None] | None
    ) -> Tuning:
        """Measure engines, and use the one that reaches the recall and answers soonest."""
        return self.searcher.tune(self.rows.view(), recall, engines, progress)

    def problems(self) -> list[str]:
        return []  # what can be wrong is found when the catalogue is opened; the rest is for verify

    def verify(self) -> list[str]:
        """Read everything and compare it with what was written; one sentence for each thing that is wrong."""
        return self.rows.verify()

    def drop(self) -> None:
        self.close()
        shutil.rmtree(self.rows.path / "index", ignore_errors=True)
        self.rows.remove_files()

    def close(self) -> None:
        try:
            self.searcher.close()
        finally:
            self.rows.close()


def _block(rows: Sequence[StoredRow], view: View) -> Block:
    positions = np.array([row.slot - view.first_slot for row in rows], np.int64)
    return Block(
        [row.id for row in rows],
        [row.content for row in rows],
        [row.metadata for row in rows],
        view.vectors[positions].astype(np.float32, copy=False),
        [(row.tokens_seen, row.tokens_total) for row in rows],
    )


def _fields(rows: Sequence[StoredRow]) -> list[dict[str, Any]]:
    return parsed([row.metadata for row in rows], [row.id for row in rows])


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + _READ_BATCH] for start in range(0, len(values), _READ_BATCH))


def _folder_bytes(folder: Path) -> int:
    size = 0
    if folder.is_dir():
        for file in folder.iterdir():
            with contextlib.suppress(OSError):  # it was a draft, and is in its place by now
                size += file.stat().st_size
    return size
