"""Nearest neighbours over a store's view: which index answers, at what effort, and whether it still answers well."""

from __future__ import annotations

import contextlib
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
_SLIGHT = 0.03  # of recall: what lies further below what was declared is not mended by more effort

logger = logging.getLogger("samespace.searcher")


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
        fast: setting of the built engine; None if it does not reach it, or is not there.
        main_seconds: of a search of the main index; infinite if it does not reach the recall.
    """

    fast: Point | None
    main_seconds: float
    exactly: bool


def _way(cover: Cover, recall: float, k: int) -> _Way:
    tuning = cover.tuning
    if recall == 1.0:
        return _Way(None, math.inf, exactly=True)
    if tuning is None:
        return _Way(None, 0.0, exactly=False)
    curves = {curve.engine: curve for curve in tuning.curves}
    fast = curves[cover.fast.engine].effort_for(recall, k) if cover.fast is not None else None
    if cover.main.engine not in curves:
        return _Way(fast, math.inf, exactly=False)
    # The main index widens its search by itself for more hits than were measured.
    main = curves[cover.main.engine].effort_for(recall, min(k, _MEASURED))
    if main is None:
        return _Way(fast, math.inf, exactly=True)
    return _Way(fast if fast is not None and fast.seconds < main.seconds else None, main.seconds, exactly=False)


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
        self._queries.load(folder / builder.QUERIES)
        self._unsaved = False  # queries
        self._ways: dict[tuple[float, int], _Way] = {}
        self._watch = Watch(self.declared)
        self._generation = 0  # of the upkeep, that the four below belong to
        self._spent = 0.0  # seconds of searching
        self._boost = 1
        self._trusted = {"fast": True, "main": True}
        self._failures = 0  # of the main index; it is made anew once
        self._warning = ""

    @property
    def declared(self) -> float:
        """The recall that searches shall reach."""
        if self._recall is not None:
            return self._recall
        tuning = None if self._upkeep.cover is None else self._upkeep.cover.tuning
        return DEFAULT_RECALL if tuning is None else tuning.recall

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
        if self._generation != upkeep.generation:
            self._begin_anew()
        if self._warning:
            self._warn()
        wanted = self.declared if recall is None else recall
        way, effort = self._way(cover, wanted, k), None
        if way.fast is not None and self._trusted["fast"]:
            effort = self._effort(way, view, allowed)
        began = time.perf_counter()
        if effort is None and (way.exactly or not self._trusted["main"]):
            found = search_exactly(queries, view.vectors, k, self._space.metric, allowed)
        else:
            found = cover.search(view, queries, k, allowed, effort)
        self._spent += time.perf_counter() - began
        due = self._watch.is_due(len(queries))
        if self._remember and (due or len(self._queries) < self._queries.capacity):
            self._queries.add(queries)
            self._unsaved = True
        if due and recall is None:
            last = Neighbours(found.positions[-1:], found.scores[-1:])
            engine = cover.main if cover.fast is None or effort is None else cover.fast
            metric = self._space.metric
            ready = self._watch.take(
                Sample(engine.engine, metric, effort is not None, view, queries[-1:].copy(), k, allowed, last)
            )
            if self._pays(cover, view):
                upkeep.build(view, self.declared)
            if upkeep.has_news():
                upkeep.later(lambda: upkeep.tend(view))
            elif ready:
                upkeep.later(self._look)
        return found

    def _way(self, cover: Cover, recall: float, k: int) -> _Way:
        """What was measured says how to reach a recall."""
        key = (recall, k)
        way = self._ways.get(key)
        if way is None:
            if len(self._ways) >= 256:
                self._ways.clear()
            way = self._ways[key] = _way(cover, recall, k)
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
        tuning = self._upkeep.tune(view, recall or self.declared, engines, progress)
        if recall is not None:
            self._recall = recall
        return tuning

    def describe(self, view: View) -> Description:
        """The indexes in figures."""
        upkeep = self._upkeep
        cover = upkeep.covering(view)
        held = [cover.main.memory, cover.young.memory, 0 if cover.fast is None else cover.fast.memory]
        return Description(
            self._answering(),
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
        guard = self._watch.guard
        return RecallReport(self.declared, guard.running, guard.checked, guard.alarms, self._answering())

    def save(self) -> None:
        """Keep the index and the queries for the next process."""
        self._save_queries()
        self._upkeep.save()

    def close(self) -> None:
        """Stop what is under way, and keep what is worth it."""
        self._save_queries()
        self._upkeep.close()

    def _answering(self) -> str:
        cover = self._upkeep.cover
        if cover is None or not self._trusted["main"]:
            return "exact"
        way = self._way(cover, self.declared, 10)
        if way.fast is not None and cover.fast is not None and self._trusted["fast"]:
            return cover.fast.engine
        return "exact" if way.exactly else cover.main.engine

    def _begin_anew(self) -> None:
        """Something else answers from now on, and nothing is held against it."""
        self._generation = self._upkeep.generation
        self._ways.clear()
        self._spent = 0.0
        self._boost = 1
        self._trusted = {"fast": True, "main": self._failures < 2}
        if self._watch.guard.declared == self.declared:
            self._watch.restart()
        else:
            self._watch = Watch(self.declared)

    def _save_queries(self) -> None:
        if self._unsaved:
            self._unsaved = False
            with contextlib.suppress(OSError):  # a full or read-only disk costs a measurement, and no row
                self._folder.mkdir(exist_ok=True)
                self._queries.save(self._folder / builder.QUERIES)

    # In the background

    def _look(self) -> None:
        """Check the live searches that were kept, and act on what comes of it."""
        bad = self._watch.check()
        if bad:
            self._act(bad[-1])
        if self._on_recall is not None:
            try:
                self._on_recall(self.report)
            except Exception:  # whatever the user's function raises must not end the guard
                logger.exception("on_recall failed.")

    def _act(self, sample: Sample) -> None:
        """Live searches fall short: raise the effort, or do without the engine, and have it made anew."""
        running = self._watch.guard.running
        seen = f"{running.recall:.3f} of {running.queries} checked searches" if running else ""
        short = f"Recall fell below the declared {self.declared:g} ({seen})"
        slight = running is not None and running.recall >= self.declared - _SLIGHT
        if not sample.is_built:
            self._trusted["main"] = False
            self._failures += 1
            if self._failures > 1:
                self._say(f"{short}: searching exactly.")
                return
            self._say(f"{short}: searching exactly until the index is made anew.")
            self._upkeep.make_anew(sample.view)
        elif slight and self._boost < _BOOST:
            self._boost *= 2
            self._say(f"{short}: searching with {self._boost} times the effort, and measuring anew.")
            self._watch.restart()
            self._upkeep.build(sample.view, self.declared)
        else:
            self._trusted["fast"] = False
            self._say(f"{short}: searching without {sample.engine}, which is built anew.")
            self._watch.restart()
            self._upkeep.build(sample.view, self.declared)

    def _say(self, message: str) -> None:
        logger.warning("%s", message)
        self._warning = message

    def _warn(self) -> None:
        message, self._warning = self._warning, ""
        warnings.warn(message, RecallWarning, stacklevel=5)

    def _pays(self, cover: Cover, view: View) -> bool:
        """Tell whether a build is due: when searching has cost as much time as the build will.

        So at most twice the time is spent that one would need who knew how many searches will come (the ski
        rental problem: Karlin, Manasse, Rudolph and Sleator 1988, "Competitive snoopy caching"). An engine
        that was asked for by name is built at once.
        """
        upkeep, count = self._upkeep, len(view.live)
        if upkeep.building or upkeep.fast_engine is None:
            return False
        wished = upkeep.fast_engine == upkeep.wished
        if count < (_WORTH_ASKED if wished else _WORTH_BUILDING):
            return False
        cost = 0.0 if wished else _BUILD_SECONDS * count * self._space.dimension
        if cover.tuning is None:
            return self._spent > cost
        measured = cover.tuning.curves[0].count
        return count - measured > measured // _STALE and self._spent > cost / _STALE
