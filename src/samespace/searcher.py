"""Nearest neighbours over a store's view: an index over most of it, exact search over the rest."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path

import numpy as np

from samespace import indexes
from samespace.errors import CollectionCorrupt, NotFound
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import ExactIndex
from samespace.ranking import merge
from samespace.space import Space
from samespace.stores.local import View
from samespace.vectors import Matrix

__all__ = ["Searcher"]

_TAIL = 1_024  # rows behind the index that are cheaper to scan than to add to it,
_TAIL_SHARE = 64  # or a 64th of those in it, since adding some costs a copy of all codes
_SAVE_GROWTH = 0.25  # an index that grew by this share since it was saved is worth saving again

logger = logging.getLogger("samespace.searcher")


class Searcher:
    """Keeps an index up with a store's views. Safe to use from several threads.

    The index is disposable: it is loaded from ``folder`` if what is there is whole and of these vectors, and
    made again from the vectors if not.

    Args:
        space: of the vectors.
        folder: where the index is kept between processes.
        engine: an engine's name, or ``"auto"`` to choose by the number of vectors.
    """

    def __init__(self, space: Space, folder: Path, engine: str = "auto") -> None:
        if engine != "auto":
            indexes.engine(engine)  # an unknown name is an error now, not at the first search
        self._space = space
        self._folder = folder
        self._requested = engine
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._first_slot = -1
        self._saved = 0

    def nearest(self, view: View, queries: Matrix, k: int, allowed: Mask | None) -> Neighbours:
        """The ``k`` best allowed positions of the view for each comparable query."""
        index = self._index_for(view)
        covered = min(len(index), len(view.live))
        if covered < len(index):  # the index has seen a newer view than this search
            keep = np.zeros(len(index), np.bool_)
            keep[:covered] = True if allowed is None else allowed
            return index.search(queries, k, keep)
        found = index.search(queries, k, None if allowed is None else allowed[:covered])
        if covered == len(view.live):
            return found
        tail = ExactIndex(self._space.dimension, self._space.metric)
        tail.extend(view.vectors[covered:])
        rest = tail.search(queries, k, None if allowed is None else allowed[covered:])
        moved = np.where(rest.positions >= 0, rest.positions + covered, -1)
        return merge(found, Neighbours(moved, rest.scores), k)

    def keep_up(self, view: View) -> None:
        """Cover the view and keep the index for the next process, so that no search has to wait for it."""
        self._index_for(view)
        self.save()

    def describe(self, view: View) -> tuple[str, int, int]:
        """The engine's name, the rows of the view that its index covers, and its bytes in memory."""
        index = self._index_for(view)
        return index.engine, min(len(index), len(view.live)), index.memory

    def save(self) -> None:
        """Keep the index for the next process, if it has grown enough since the last time to be worth it."""
        with self._lock:
            index = self._index
            if index is None or not indexes.ENGINES[index.engine].keeps:
                return
            if len(index) <= self._saved * (1 + _SAVE_GROWTH):
                return
            # A disk that is full or read-only costs the next process some time, and no row.
            with contextlib.suppress(OSError):
                self._folder.mkdir(exist_ok=True)
                index.save(self._file(index.engine))
                label = self._label(index.engine, len(index), self._first_slot)
                _replace(self._folder / "index.json", json.dumps(label))
                self._saved = len(index)

    def _index_for(self, view: View) -> Index:
        count = len(view.live)
        with self._lock:
            index = self._index
            if index is not None and self._first_slot > view.first_slot:
                # A search that began before another thread saw a compaction: its slots are of the old generation.
                old = ExactIndex(self._space.dimension, self._space.metric)
                old.extend(view.vectors)
                return old
            fits = index is not None and self._first_slot == view.first_slot
            # The engine is chosen anew only when the index grows, and not for every search over its tail.
            if index is None or not fits or (_is_behind(index, count) and index.engine != self._engine(count)):
                index = self._index = self._load(view) or self._new(count)
                self._first_slot = view.first_slot
            if _is_behind(index, count):
                index.extend(view.vectors)
            return index

    def _engine(self, count: int) -> str:
        if self._requested != "auto":
            return self._requested
        return indexes.choose(count, self._space.metric, self._space.dimension)

    def _new(self, count: int) -> Index:
        self._saved = 0
        return indexes.engine(self._engine(count))(self._space.dimension, self._space.metric)

    def _load(self, view: View) -> Index | None:
        engine = self._engine(len(view.live))
        try:
            label = json.loads((self._folder / "index.json").read_text())
            covered = int(label["count"])
            if not 0 < covered <= len(view.live):
                return None
            if label != self._label(engine, covered, view.first_slot):
                return None
            index = indexes.engine(engine).load(self._file(engine), view.vectors[:covered], self._space.metric)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, CollectionCorrupt, NotFound) as error:
            logger.warning("The index in %s cannot be used and is made again: %s", self._folder, error)
            return None
        self._saved = covered
        return index

    def _label(self, engine: str, count: int, first_slot: int) -> dict[str, str | int]:
        return {"engine": engine, "space": self._space.id, "first_slot": first_slot, "count": count}

    def _file(self, engine: str) -> Path:
        return self._folder / f"{engine}.index"


def _is_behind(index: Index, count: int) -> bool:
    """Tell whether covering all of ``count`` rows is worth more than scanning those that the index lacks."""
    return count - len(index) > max(_TAIL, len(index) // _TAIL_SHARE) or (len(index) == 0 and count > 0)


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(text)
    draft.replace(path)
