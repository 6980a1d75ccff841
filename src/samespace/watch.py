"""The recall guard of live searches: some are answered again exactly, with their filters, in the background."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

import numpy as np

from samespace.indexes.base import Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.recall.estimate import Estimate, Shares, recalls
from samespace.recall.guard import Guard
from samespace.space import Metric
from samespace.stores.local import View
from samespace.vectors import Matrix

__all__ = ["RecallReport", "Sample", "Watch"]

_EVERY = 25  # searches, on average, of which one is checked
_chance = random.Random()  # noqa: S311 a sample, not a secret; its own, so that a user's seed stays theirs
_TOGETHER = 8  # checked in one go, which costs little more than one
_SHARE = 32  # checking takes at most one part in so many of the time,
_SHARE_IN_DOUBT = 1  # or in so many while what was seen last is below what was declared


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What the guard knows.

    Attributes:
        declared: the recall that searches shall reach.
        running: recall of the live searches that were checked last, at most 1,000; None before the first.
        checked: live searches that were checked since the collection was opened.
        alarms: how often the recall was found to be below what was declared.
        engine: that answers now.
    """

    declared: float
    running: Estimate | None
    checked: int
    alarms: int
    engine: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A live search of one query, and its answer.

    Attributes:
        generation: of the cover that answered.
        engine: that answered.
        is_built: it is one that is built, beside the main index.
    """

    generation: int
    engine: str
    is_built: bool
    view: View
    query: Matrix
    k: int
    allowed: Mask | None
    found: Neighbours


class Watch:
    """Takes samples of live searches and compares them with exact answers. Safe to use from several threads.

    The built engine and the main index are watched apart, so that an alarm is about the one that fell short.

    Args:
        declared: the recall that searches shall reach.
        metric: how to score.

    Attributes:
        checked: live searches that were checked.
        alarms: how often an engine was found to fall short.
    """

    def __init__(self, declared: float, metric: Metric) -> None:
        self.declared = declared
        self.checked = self.alarms = 0
        self._metric = metric
        self._guards = {is_built: Guard(declared) for is_built in (True, False)}
        self._generation = 0
        self._samples: list[Sample] = []
        self._until = _chance.randint(1, _EVERY)
        self._rest_until = 0.0
        self._lock = threading.Lock()

    def is_due(self, searches: int) -> bool:
        """Count searches, and tell whether it is time to look at one."""
        self._until -= searches
        if self._until > 0:
            return False
        self._until = _chance.randint(1, 2 * _EVERY - 1)
        return True

    def take(self, sample: Sample) -> bool:
        """Keep a search to be checked, and tell whether it is time to check those that are kept."""
        with self._lock:
            if sample.generation == self._generation:
                self._samples.append(sample)
                del self._samples[: -4 * _TOGETHER]  # while it rests, the latest are kept
            return len(self._samples) >= _TOGETHER and time.perf_counter() >= self._rest_until

    def check(self) -> Sample | None:
        """Answer what is kept exactly; a sample of the engine that falls short of what was declared, if one does."""
        with self._lock:
            samples, self._samples, generation = self._samples, [], self._generation
        if not samples:
            return None
        began = time.perf_counter()
        shares = _shares(samples, self._metric)
        ended = time.perf_counter()
        bad, doubt = None, False
        with self._lock:
            if generation != self._generation:
                return None  # something else answers by now
            for is_built, guard in self._guards.items():
                rows = [row for row, sample in enumerate(samples) if sample.is_built is is_built]
                if not rows:
                    continue
                self.checked += len(rows)
                if guard.observe(shares[rows]):
                    self.alarms += 1
                    bad = samples[rows[-1]]
                running = guard.running
                doubt |= running is not None and running.recall < self.declared
            self._rest_until = ended + (_SHARE_IN_DOUBT if doubt else _SHARE) * (ended - began)
        return bad

    def restart(self, declared: float, generation: int) -> None:
        """Forget what was seen: something else answers from now on, or another recall is declared."""
        with self._lock:
            self.declared = declared
            self._guards = {is_built: Guard(declared) for is_built in (True, False)}
            self._generation = generation
            self._samples = []
            self._rest_until = 0.0

    def running(self, is_built: bool) -> Estimate | None:
        """Recall of the searches of an engine that were checked last; None before the first."""
        return self._guards[is_built].running


def _shares(samples: list[Sample], metric: Metric) -> Shares:
    """The recall of each. Those that ask the same of the same rows are answered together, which costs hardly more."""
    shares = np.empty(len(samples))
    alike: dict[tuple[int, int, int], list[int]] = {}
    for row, sample in enumerate(samples):
        alike.setdefault((id(sample.view), sample.k, id(sample.allowed)), []).append(row)
    for rows in alike.values():
        view, k, allowed = samples[rows[0]].view, samples[rows[0]].k, samples[rows[0]].allowed
        queries = np.concatenate([samples[row].query for row in rows])
        truth = search_exactly(queries, view.vectors, k, metric, allowed)
        for place, row in enumerate(rows):
            own = Neighbours(truth.positions[place : place + 1], truth.scores[place : place + 1])
            shares[row] = recalls(samples[row].found, own)[0]
    return shares
