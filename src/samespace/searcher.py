"""Nearest neighbours over a store's view: which index answers, at what effort, and whether it still answers well."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samespace import builder
from samespace.cover import Cover
from samespace.errors import RecallWarning
from samespace.indexes.base import Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.recall.queries import QueryLog
from samespace.recall.tune import Point, Tuning
from samespace.space import Space
from samespace.stores.local import View
from samespace.upkeep import Upkeep
from samespace.vectors import Matrix
from samespace.watch import RecallReport, Sample, Watch

__all__ = ["DEFAULT_RECALL", "Description", "RecallReport", "Searcher"]

DEFAULT_RECALL = 0.99

_WORTH_BUILDING = 50_000  # rows below which the scan is about as fast as a graph
_WORTH_ASKED = 1_000  # the same for an engine that was asked for by name
_BUILD_SECONDS = 1.2e-6  # for each number in the vectors: a graph built and measured on half of two cores
_STALE = 8  # what was built is made anew when one in so many of its rows came later
_BOOST = 8  # times the effort that was measured to be enough, before the built engine is given up
_MEASURED = 100  # hits, at most
_UNMEASURED = 0.999  # recall up to which the main index is trusted before it was measured
_PATIENCE = 2  # times that an engine may fall short before it is given up for good
_SLIGHT = 0.03  # of recall: what lies further below what was declared is not mended by more effort

logger = logging.getLogger("samespace.searcher")
_PACKAGE = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Description:
    """The indexes of a collection in figures.

    Attributes:
        engine: that answers searches without a filter.
        rows: of the view that are indexed.
        memory: bytes that all indexes hold.
        tuning: what was measured; None before.
        building: a build is under way in the background.
        note: what is not as it was wished for, and why.
        report: of the guard.
    """

    engine: str
    rows: int
    memory: int
    tuning: Tuning | None
    building: bool
    note: str
    report: RecallReport


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach a recall.

    Attributes:
        fast: setting of the built engine; None if it does not reach it, or is not there, or is the slower way.
        main_seconds: of a search of the main index; infinite if it does not reach the recall.
        exactly: where the built engine does not answer, neither does the main index.
    """

    fast: Point | None
    main_seconds: float
    exactly: bool


def _way(cover: Cover, recall: float, k: int, wished: str) -> _Way:
    if recall == 1.0:
        return _Way(None, math.inf, exactly=True)
    curves = {} if cover.tuning is None else {curve.engine: curve for curve in cover.tuning.curves}
    fast = None
    if cover.fast is not None and cover.fast.engine in curves:
        fast = curves[cover.fast.engine].effort_for(recall, k)
    if cover.main.engine not in curves:
        return _Way(fast, math.inf, exactly=recall > _UNMEASURED)
    # The main index widens its search by itself for more hits than were measured.
    main = curves[cover.main.engine].effort_for(recall, min(k, _MEASURED))
    if main is None:
        return _Way(fast, math.inf, exactly=True)
    pays = fast is not None and (fast.seconds < main.seconds or wished != "auto")
    return _Way(fast if pays else None, main.seconds, exactly=False)


class Searcher:
    """Answers searches at the declared recall. Safe to use from several threads.

    Args:
        space: of the vectors.
        folder: where indexes are kept between processes.
        engine: an engine's name, or ``"auto"``.
        recall: what is declared; None takes what ``tune`` was told last, or else .99.
        builds: engines that are built, and need more memory, may be used.
        remember: keep some of the queries, to measure with.
        on_recall: told after each check of live searches, from another thread.

    Raises:
        NotFound: there is no engine of that name.
    """

    def __init__(
        self,
        space: Space,
        folder: Path,
        engine: str = "auto",
        *,
        recall: float | None = None,
        builds: bool = True,
        remember: bool = True,
        on_recall: Callable[[RecallReport], None] | None = None,
    ) -> None:
        self._space = space
        self._folder = folder
        self._recall = recall
        self._remember = remember
        self._on_recall = on_recall
        self._upkeep = Upkeep(space, folder, engine, builds)
        self._queries = QueryLog(space.dimension)
        if remember:
            self._queries.load(folder / builder.QUERIES)
        self._unsaved = False  # queries
        self._watch = Watch(self.declared, space.metric)
        self._ways: dict[tuple[int, float, int], _Way] = {}
        self._generation = 0  # of the newest cover that was used, which the next three belong to
        self._boost = 1
        self._trusts_fast = self._trusts_main = True
        self._failures = {True: 0, False: 0}  # of built engines, and of the main index, that checks have shown
        self._spent = 0.0  # seconds of searching since something was built
        self._warning = ""
        self._asked = False  # for the engine that was wished for by name

    @property
    def declared(self) -> float:
        """The recall that searches shall reach."""
        return self._recall or self._upkeep.declared or DEFAULT_RECALL

    def nearest(
        self, view: View, queries: Matrix, k: int, allowed: Mask | None, recall: float | None = None
    ) -> Neighbours:
        """The ``k`` best allowed positions of the view for each comparable query.

        Args:
            view: what to search.
            queries: comparable, float32 of shape (q, dimension).
            k: at least 1.
            allowed: bool of shape (n,); None if all rows are there.
            recall: for this search; 1 compares with every vector.
        """
        cover, upkeep = self._upkeep.cover, self._upkeep
        if cover is None or cover.first_slot != view.first_slot or upkeep.is_behind(cover, view):
            cover = upkeep.covering(view)
        if cover.generation > self._generation or self._watch.declared != self.declared:
            self._begin_anew(cover)
        if self._warning:
            self._warn()
        way, effort = self._way(cover, self.declared if recall is None else recall, k), None
        if way.fast is not None and self._trusts_fast:
            effort = self._effort(way, view, allowed)
        began = time.perf_counter()
        if effort is None and (way.exactly or not self._trusts_main):
            found = search_exactly(queries, view.vectors, k, self._space.metric, allowed)
        else:
            found = cover.search(view, queries, k, allowed, effort)
        self._spent += time.perf_counter() - began
        due = self._watch.is_due(len(queries))
        if self._remember and (due or len(self._queries) < self._queries.capacity):
            self._queries.add(queries)
            self._unsaved = True
        if due:
            ready = False
            if recall is None:
                last = Neighbours(found.positions[-1:], found.scores[-1:])
                index = cover.main if cover.fast is None or effort is None else cover.fast
                built = index is not cover.main
                sample = Sample(cover.generation, index.engine, built, view, queries[-1:].copy(), k, allowed, last)
                ready = self._watch.take(sample)
            if self._pays(cover, view):
                self._build(view)
            if ready or upkeep.has_news():
                upkeep.later(lambda: self._look(view))
        return found

    def _way(self, cover: Cover, recall: float, k: int) -> _Way:
        """What was measured says how to reach a recall."""
        key = (cover.generation, recall, k)
        way = self._ways.get(key)
        if way is None:
            if len(self._ways) >= 256:
                self._ways.clear()
            way = self._ways[key] = _way(cover, recall, k, self._upkeep.wished)
        return way

    def _effort(self, way: _Way, view: View, allowed: Mask | None) -> int | None:
        """The effort at which the built engine reaches the recall, if it is the faster way; None if it is not.

        Where only a part of the rows is allowed, the engine must look at more candidates in proportion, while
        the main index reads all its codes whatever is allowed.
        """
        assert way.fast is not None  # noqa: S101
        effort = way.fast.effort * self._boost
        if allowed is None:
            return effort
        count = view.count if allowed is view.live else int(np.count_nonzero(allowed))
        factor = len(view.live) / max(count, 1)
        return math.ceil(effort * factor) if way.fast.seconds * factor < way.main_seconds else None

    # Upkeep

    def keep_up(self, view: View) -> None:
        """Cover the view and keep the index for the next process, so that no search has to do without it."""
        self._upkeep.tend(view)
        self._upkeep.save()

    def tune(
        self, view: View, recall: float | None, engines: Sequence[str] | None, progress: builder.Progress | None
    ) -> Tuning:
        """Measure engines, and keep the one that reaches the recall and answers soonest."""
        self._save_queries()
        self._upkeep.covering(view)
        tuning = self._upkeep.tune(view, recall or self.declared, recall, engines, progress)
        if recall is not None:
            self._recall = recall
        self._failures = {True: 0, False: 0}
        return tuning

    def describe(self, view: View) -> Description:
        """The indexes in figures."""
        upkeep = self._upkeep
        cover = upkeep.covering(view)
        if upkeep.is_behind(cover, view) and upkeep.base_engine(len(view.live)) == "exact":
            upkeep.tend(view)  # which costs next to nothing
            cover = upkeep.covering(view)
        held = [cover.main.memory, cover.young.memory, 0 if cover.fast is None else cover.fast.memory]
        return Description(
            self._answering(cover),
            min(cover.rows, len(view.live)),
            sum(held),
            cover.tuning,
            upkeep.building,
            upkeep.note,
            self.report,
        )

    @property
    def report(self) -> RecallReport:
        """What the guard knows."""
        watch, cover = self._watch, self._upkeep.cover
        engine = "exact" if cover is None else self._answering(cover)
        running = watch.running(cover is not None and cover.fast is not None and cover.fast.engine == engine)
        return RecallReport(self.declared, running, watch.checked, watch.alarms, engine)

    def close(self) -> None:
        """Stop what is under way, and keep what is worth it."""
        self._save_queries()
        self._upkeep.close()

    def _answering(self, cover: Cover) -> str:
        """The engine that answers a search for ten without a filter."""
        way = self._way(cover, self.declared, 10)
        if way.fast is not None and cover.fast is not None and self._trusts_fast:
            return cover.fast.engine
        return "exact" if way.exactly or not self._trusts_main else cover.main.engine

    def _begin_anew(self, cover: Cover) -> None:
        """Something else answers from now on, and little is held against it."""
        self._generation = cover.generation
        self._ways.clear()
        self._boost = 1
        self._trusts_fast = self._failures[True] < _PATIENCE
        self._trusts_main = self._failures[False] < _PATIENCE
        self._watch.restart(self.declared, cover.generation)

    def _save_queries(self) -> None:
        if self._unsaved:
            self._unsaved = False
            with contextlib.suppress(OSError):  # a full or read-only disk costs a measurement, and no row
                self._folder.mkdir(exist_ok=True)
                self._queries.save(self._folder / builder.QUERIES)

    # In the background

    def _look(self, view: View) -> None:
        """Take over what was built; check the live searches that were kept, and act on what comes of it."""
        if self._upkeep.has_news():
            self._upkeep.tend(view)
        checked = self._watch.checked
        bad = self._watch.check()
        if bad is not None:
            self._act(bad)
        if self._on_recall is not None and self._watch.checked > checked:
            try:
                self._on_recall(self.report)
            except Exception:  # whatever the user's function raises must not end the guard
                logger.exception("on_recall failed.")

    def _act(self, sample: Sample) -> None:
        """Live searches fall short: raise the effort, or do without the engine, and have it made anew."""
        running = self._watch.running(sample.is_built)
        seen = f"{running.recall:.3f} of {running.queries} checked searches" if running else ""
        short = f"Recall fell below the declared {self.declared:g} ({seen})"
        slight = running is not None and running.recall >= self.declared - _SLIGHT
        if sample.is_built and slight and self._boost < _BOOST:
            self._boost *= 2
            self._say(f"{short}: searching with {self._boost} times the effort, and measuring anew.")
            self._watch.restart(self.declared, self._generation)
            self._build(sample.view)
            return
        self._failures[sample.is_built] += 1
        given_up = self._failures[sample.is_built] >= _PATIENCE
        if sample.is_built:
            self._trusts_fast = False
            self._say(f"{short}: searching without {sample.engine}{'.' if given_up else ', which is built anew.'}")
            self._watch.restart(self.declared, self._generation)
            if not given_up:
                self._build(sample.view)
        else:
            self._trusts_main = False
            self._say(f"{short}: searching exactly{'.' if given_up else ' until the index is made anew.'}")
            if not given_up:
                self._upkeep.make_anew(sample.view)

    def _build(self, view: View) -> None:
        self._spent = 0.0
        self._asked = True
        self._save_queries()
        self._upkeep.build(view, self.declared)

    def _say(self, message: str) -> None:
        logger.warning("%s", message)
        self._warning = message

    def _warn(self) -> None:
        message, self._warning = self._warning, ""
        if message:
            warnings.warn(message, RecallWarning, stacklevel=_frames_to_caller())

    def _pays(self, cover: Cover, view: View) -> bool:
        """Tell whether a build is due: when searching has cost as much time as the build will.

        So at most twice the time is spent that one would need who knew how many searches will come (the ski
        rental problem: Karlin, Manasse, Rudolph and Sleator 1988, "Competitive snoopy caching"). An engine
        that was asked for by name is built at once.
        """
        upkeep, count, engine = self._upkeep, len(view.live), self._upkeep.fast_engine
        if upkeep.building or engine is None or self.declared == 1.0 or self._failures[True] >= _PATIENCE:
            return False
        wished = engine == upkeep.wished
        if count < (_WORTH_ASKED if wished else _WORTH_BUILDING):
            return False
        cost = 0.0 if wished else _BUILD_SECONDS * count * self._space.dimension
        if upkeep.failed:
            cost = max(cost, 1.0) * 2.0**upkeep.failed
        if cover.tuning is None:
            return self._spent > cost
        if wished and not self._asked and all(curve.engine != engine for curve in cover.tuning.curves):
            return True
        measured = cover.tuning.curves[0].count
        return count - measured > measured // _STALE and self._spent > cost / _STALE


def _frames_to_caller() -> int:
    """How many calls up the line is that called the library, as seen from the function that asks."""
    frame, count = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, count = frame.f_back, count + 1
    return count
