"""The recall guard of live searches: some are answered again exactly, with their filters, in the background."""

from __future__ import annotations

import random
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
        engine: that answered.
        is_built: it is one that is built, beside the main index.
    """

    engine: str
    metric: Metric
    is_built: bool
    view: View
    query: Matrix
    k: int
    allowed: Mask | None
    found: Neighbours


class Watch:
    """Takes samples of live searches and compares them with exact answers.

    Args:
        declared: the recall that searches shall reach.
    """

    def __init__(self, declared: float) -> None:
        self.guard = Guard(declared)
        self._samples: list[Sample] = []
        self._until = random.randint(1, _EVERY)  # noqa: S311  # a sample, not a secret
        self._rest_until = 0.0

    def is_due(self, searches: int) -> bool:
        """Count searches, and tell whether the last of them is to be checked."""
        self._until -= searches
        return self._until <= 0

    def take(self, sample: Sample) -> bool:
        """Keep a search to be checked, and tell whether it is time to check those that are kept."""
        self._until = random.randint(1, 2 * _EVERY - 1)  # noqa: S311
        self._samples.append(sample)
        del self._samples[: -4 * _TOGETHER]  # while it rests, the latest are kept
        return len(self._samples) >= _TOGETHER and time.perf_counter() >= self._rest_until

    def check(self) -> list[Sample] | None:
        """Answer what is kept exactly; the samples if the recall is below what was declared, else None."""
        samples, self._samples = self._samples, []
        if not samples:
            return None
        began = time.perf_counter()
        alarm = self.guard.observe(_shares(samples))
        ended = time.perf_counter()
        running = self.guard.running
        calm = running is not None and running.recall >= self.guard.declared
        self._rest_until = ended + (_SHARE if calm else _SHARE_IN_DOUBT) * (ended - began)
        return samples if alarm else None

    def restart(self) -> None:
        """Forget what was seen: something else answers now."""
        self._samples = []
        self._rest_until = 0.0
        self.guard.reset()


def _shares(samples: list[Sample]) -> Shares:
    """The recall of each. Those that ask the same of the same rows are answered together, which costs hardly more."""
    shares = np.empty(len(samples))
    alike: dict[tuple[int, int, int], list[int]] = {}
    for row, sample in enumerate(samples):
        alike.setdefault((id(sample.view), sample.k, id(sample.allowed)), []).append(row)
    for rows in alike.values():
        view, k, allowed = samples[rows[0]].view, samples[rows[0]].k, samples[rows[0]].allowed
        queries = np.concatenate([samples[row].query for row in rows])
        truth = search_exactly(queries, view.vectors, k, samples[rows[0]].metric, allowed)
        for place, row in enumerate(rows):
            own = Neighbours(truth.positions[place : place + 1], truth.scores[place : place + 1])
            shares[row] = recalls(samples[row].found, own)[0]
    return shares
