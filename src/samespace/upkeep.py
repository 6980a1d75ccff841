"""Keeps the indexes of a collection up with its rows: loads, extends, builds anew, takes over, saves."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from samespace import builder, indexes
from samespace.cover import Cover
from samespace.errors import CollectionCorrupt, NotFound, SamespaceError
from samespace.indexes import sealed
from samespace.indexes.base import Index
from samespace.recall.tune import Tuning
from samespace.space import Space
from samespace.stores.local import View

__all__ = ["Upkeep"]

_LABEL = "index.json"
_TAIL = 1_024  # rows behind the index that are cheaper to compare one by one than to add to it
_YOUNG_SHARE = 8  # the young index is at most this part of the main one before that is made anew
_PAUSE = 10.0  # seconds before work in the background that failed is tried again
_FAREWELL = 10.0  # seconds that a killed process has to be gone
_SAVE_GROWTH = 0.25  # an index that grew by this share since it was saved is worth saving again

logger = logging.getLogger("samespace.searcher")


class Upkeep:
    """Holds the cover that searches use, and replaces it. Safe to use from several threads.

    No search waits for it: work that takes long is done in a thread, or in a process of its own. Indexes are
    disposable: they are loaded from ``folder`` if what is there is whole and of these vectors, and made again
    from the vectors if not.

    Args:
        space: of the vectors.
        folder: where indexes are kept between processes.
        engine: an engine's name, or ``"auto"``.
        builds: engines that are built, and need more memory, may be used.

    Attributes:
        wished: the engine's name, or ``"auto"``.
        cover: what searches use now; None before the first.
        declared: the recall that the collection was tuned to; None if it was not.
        building: a build is under way in the background.
        failed: builds that came to nothing, one after the other.
    """

    def __init__(self, space: Space, folder: Path, engine: str, builds: bool) -> None:
        if engine != "auto":
            indexes.engine(engine)  # an unknown name is an error now, not at the first search
        self.cover: Cover | None = None
        self.declared: float | None = None
        self.building = False
        self.failed = 0
        self._generations = 0
        self._not_before = 0.0  # the time at which work that failed may be tried again
        self._space = space
        self._folder = folder
        self.wished = engine
        self._builds = builds
        self._tending = threading.Lock()  # held by whoever changes the cover
        self._saved = 0
        self._seen = 0.0  # when the record of the last tuning that was read was written
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="samespace")
        self._pending: Future[None] | None = None
        self._children: list[subprocess.Popen[str]] = []
        self._closed = False
        # A process that ends without close() must not leave a build behind.
        self._stop = weakref.finalize(self, _kill, self._children)
        self._record()

    # Which engines

    def base_engine(self, count: int) -> str:
        """The engine of the main index over ``count`` rows."""
        wished = self.wished
        if wished != "auto" and not indexes.ENGINES[wished].builds and indexes.ENGINES[wished].available:
            return wished
        return indexes.choose(count, self._space.metric, self._space.dimension)

    @property
    def fast_engine(self) -> str | None:
        """The engine to build; None if none may be, or none is installed."""
        wished = self.wished
        if not self._builds or (wished != "auto" and not indexes.ENGINES[wished].builds):
            return None
        if wished != "auto" and indexes.ENGINES[wished].available:
            return wished
        return indexes.accelerator()

    @property
    def note(self) -> str:
        """What is not as it was wished for, and why; empty if all is."""
        row = None if self.wished == "auto" else indexes.ENGINES[self.wished]
        if row is None or row.name == "exact":
            return ""
        if not row.available:
            return f"{row.library} is not installed, so {row.name} cannot be used"
        return f"the memory tier leaves no room for {row.name}" if row.builds and not self._builds else ""

    # What covers a view

    def covering(self, view: View) -> Cover:
        """A cover of the view's generation, as good as can be had at once; what takes longer is begun."""
        cover = self.cover
        if cover is None or cover.first_slot < view.first_slot:
            if not self._tending.acquire(blocking=False):
                return self._empty(view)  # somebody is at work on it; this search compares every vector
            try:
                cover = self.cover
                if cover is None or cover.first_slot < view.first_slot:
                    cover = self.cover = self._load(view)
            finally:
                self._tending.release()
        if cover.first_slot > view.first_slot:
            # A search that began before another thread saw a compaction: its slots are of the old generation.
            return self._empty(view)
        if self.is_behind(cover, view):
            self.later(lambda: self.tend(view))
        return cover

    def is_behind(self, cover: Cover, view: View) -> bool:
        """Tell whether so many rows are not covered that covering them is worth it."""
        return len(view.live) - cover.rows > _TAIL or cover.main_rows == 0 < len(view.live)

    def tend(self, view: View) -> None:
        """Bring the cover up to the view. Takes seconds where a main index is made; searches go on meanwhile."""
        with self._tending:
            cover = self.cover
            if cover is not None and cover.first_slot > view.first_slot:
                return
            if cover is None or cover.first_slot != view.first_slot:
                cover = self.cover = self._load(view)
            cover = self.cover = self._adopted(cover, view)
            count = len(view.live)
            base, behind = self.base_engine(count), count - cover.main_rows
            # Covering more costs the exact engine nothing.
            anew = base == "exact" or cover.main.engine != base or behind > cover.main_rows // _YOUNG_SHARE
            if self.is_behind(cover, view):
                if cover.fast is None and anew:
                    cover = self._with_main(cover, view, count, base)
                else:
                    cover.young.extend(view.vectors[cover.main_rows :])
                    cover = replace(cover, young_rows=behind)
            self.cover = cover

    def make_anew(self, view: View) -> None:
        """Throw the main index away, on the disk too, and make it from the vectors."""
        with self._tending:
            with contextlib.suppress(OSError):
                (self._folder / _LABEL).unlink(missing_ok=True)
            self.cover = self._load(view)
        self.tend(view)

    def has_news(self) -> bool:
        """Tell whether something was built, by this process or another, that is not used yet."""
        return self._written() != self._seen

    def save(self) -> None:
        """Keep the index for the next process, if it has grown enough since the last time to be worth it."""
        with self._tending:
            cover = self.cover
            if cover is None or not indexes.ENGINES[cover.main.engine].keeps:
                return
            if cover.main_rows <= self._saved * (1 + _SAVE_GROWTH):
                return
            # A disk that is full or read-only costs the next process some time, and no row.
            with contextlib.suppress(OSError):
                self._folder.mkdir(exist_ok=True)
                cover.main.save(self._folder / f"{cover.main.engine}.index")
                label = self._label(cover.main.engine, cover.main_rows, cover.first_slot)
                sealed.write_text(self._folder / _LABEL, json.dumps(label))
                self._saved = cover.main_rows

    def _with_main(self, cover: Cover, view: View, rows: int, base: str) -> Cover:
        """A cover whose main index is over the first ``rows`` of the view, and whose young one is empty."""
        main = cover.main
        if main.engine != base or len(main) > rows:
            main = self._new(base)
        if len(main) < rows:
            main.extend(view.vectors[:rows])
        return replace(cover, main=main, main_rows=rows, young=self._new(base), young_rows=0)

    def _empty(self, view: View) -> Cover:
        return Cover(view.first_slot, self._new("exact"), 0, self._new("exact"))

    def _new(self, engine: str) -> Index:
        return indexes.engine(engine)(self._space.dimension, self._space.metric)

    def _load(self, view: View) -> Cover:
        """What was kept of these vectors. A built engine may be large, and is left for later."""
        cover = replace(self._empty(view), generation=self._next_generation())
        self._saved, self._seen = 0, 0.0
        known = self._record()
        if known is not None and known.first_slot == view.first_slot:
            cover = replace(cover, tuning=known.tuning)
        engine = self.base_engine(len(view.live))
        try:
            label = json.loads((self._folder / _LABEL).read_text())
            rows = int(label["count"])
            if not 0 < rows <= len(view.live) or label != self._label(engine, rows, view.first_slot):
                return cover
            file = self._folder / f"{engine}.index"
            main = indexes.engine(engine).load(file, view.vectors[:rows], self._space.metric)
        except FileNotFoundError:
            return cover
        except (OSError, ValueError, KeyError, TypeError, CollectionCorrupt, NotFound) as error:
            logger.warning("The index in %s cannot be used and is made again: %s", self._folder, error)
            return cover
        self._saved = rows
        return replace(cover, main=main, main_rows=rows, young=self._new(engine))

    def _label(self, engine: str, count: int, first_slot: int) -> dict[str, str | int]:
        return {"engine": engine, "space": self._space.id, "first_slot": first_slot, "count": count}

    # What is built

    def tune(
        self,
        view: View,
        recall: float,
        declared: float | None,
        engines: Sequence[str] | None,
        progress: builder.Progress | None,
    ) -> Tuning:
        """Measure engines, and take over the one that reaches the recall and answers soonest."""
        job = replace(self._job(view, recall, engines), declared=declared)
        tuning = builder.run(job, progress, self._started)
        self.tend(view)
        return tuning

    def build(self, view: View, recall: float) -> None:
        """Build and measure in the background; what comes of it is taken over when it is there."""
        if self.building or self._closed or not os.access(self._folder.parent, os.W_OK):
            return
        self.building = True
        half = max(1, (os.cpu_count() or 2) // 2)
        job = replace(self._job(view, recall, None), threads=half, background=True)

        def wait() -> None:
            try:
                builder.run(job, started=self._started)
                self.failed = 0
            except (SamespaceError, OSError) as error:
                self.failed += 1
                if not self._closed:
                    logger.warning("No index was built in %s: %s", self._folder, error)
            finally:
                self.building = False

        # A thread that reads a pipe may be left alone when the interpreter ends; the child is killed then.
        threading.Thread(target=wait, name="samespace-build", daemon=True).start()

    def later(self, task: Callable[[], None]) -> None:
        """Do something in the background, unless something is being done there."""
        if self._closed or (self._pending is not None and not self._pending.done()):
            return
        if time.monotonic() < self._not_before:
            return

        def guarded() -> None:
            try:
                task()
            except Exception:
                # Of a library, perhaps, or for want of memory: the same would happen again at once.
                logger.exception("Upkeep of %s failed; searches go on without it.", self._folder)
                self._not_before = time.monotonic() + _PAUSE

        with contextlib.suppress(RuntimeError):  # it was closed in this moment
            self._pending = self._pool.submit(guarded)

    def close(self) -> None:
        """Stop what is under way, and keep what is worth it."""
        self._closed = True
        self._stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.save()

    def _started(self, child: subprocess.Popen[str]) -> None:
        self._children[:] = [other for other in self._children if other.poll() is None] + [child]
        if self._closed:
            child.kill()

    def _job(self, view: View, recall: float, engines: Sequence[str] | None) -> builder.Job:
        fast = self.fast_engine
        if engines is None:
            engines = [self.base_engine(len(view.live)), *([] if fast is None else [fast])]
        return builder.Job(str(self._folder.parent), recall, tuple(engines), fast if fast == self.wished else None)

    def _record(self) -> builder.Record | None:
        """What was kept of the last job on this space, whatever its slots; and so the recall that is declared."""
        try:
            known = builder.load_record(self._folder)
        except CollectionCorrupt as error:
            logger.warning("%s", error)
            return None
        if known is None or known.space != self._space.id:
            return None
        self.declared = known.declared
        return known

    def _written(self) -> float:
        """When the record of the last tuning was written."""
        try:
            return (self._folder / builder.TUNING).stat().st_mtime
        except OSError:
            return 0.0

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def _adopted(self, cover: Cover, view: View) -> Cover:
        """Take over what was built and measured since the last look, by this process or another."""
        written = self._written()
        if written == self._seen:
            return cover
        known = self._record()
        if known is not None and known.first_slot == view.first_slot and known.rows > len(view.live):
            return cover  # an older view than that of the build; the next look has a newer one
        self._seen = written
        if known is None or known.first_slot != view.first_slot:
            return cover
        engine, fast, tuning = known.tuning.engine, None, known.tuning
        if known.file is not None and self._builds and self.wished in ("auto", engine):
            try:
                vectors = view.vectors[: known.rows]
                fast = indexes.engine(engine).load(self._folder / known.file, vectors, self._space.metric)
                cover = self._with_main(cover, view, known.rows, self.base_engine(known.rows))
            except (CollectionCorrupt, NotFound, ImportError, OSError) as error:
                logger.warning("What was built in %s cannot be used: %s", self._folder, error)
                return replace(cover, fast=None, tuning=None, generation=self._next_generation())
        return replace(cover, fast=fast, tuning=tuning, generation=self._next_generation())


def _kill(children: list[subprocess.Popen[str]]) -> None:
    for child in children:
        child.kill()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_FAREWELL)
