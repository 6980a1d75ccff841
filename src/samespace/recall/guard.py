"""Watches the recall of live searches, and knows when to believe what it sees."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.recall.estimate import Estimate, Shares, estimate

__all__ = ["Guard"]

_RUNNING = 1_000  # checked searches that the running recall is the mean of
_BETS = 8  # from half the largest possible one down to a 256th of it
_LEAST_ALLOWANCE = 1e-6  # of missed hits: recall declared as 1 allows none, and a bet against none is infinite


class Guard:
    """Tells when the recall of searches has fallen below what was declared.

    A test after every search would, by chance alone, find something sooner or later. This one may look as often as
    it likes. It bets that searches miss more than the declared recall allows: money λ is put on each, and the
    capital is multiplied by 1 + λ (missed - allowed). As long as every search's recall is on average as declared,
    whatever came before it, such a capital does not grow on average, and nothing else need be known of the shares
    (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86, 2024). Recall may
    fall at any time, so a new gambler starts at every search, and their capitals are added: an e-detector of
    Shiryaev-Roberts type (Shin, Ramdas and Rinaldo, "E-detectors", New England Journal of Statistics in Data Science
    2, 2024). The alarm is given when the sum reaches 1 / ``false_alarms``, and takes on average at least so many
    searches to come while recall is as declared.

    How much to bet depends on what went wrong, which nobody knows, so several stakes are played and averaged.
    Safe to use from several threads.

    Args:
        declared: the recall that searches must have on average, above 0 and at most 1.
        false_alarms: for each checked search, at most.
    """

    def __init__(self, declared: float, false_alarms: float = 1e-4) -> None:
        if not 0.0 < declared <= 1.0:
            raise InvalidInput(f"recall must be above 0 and at most 1, got {declared!r}.")
        if not 0.0 < false_alarms < 1.0:
            raise InvalidInput(f"false_alarms must lie between 0 and 1, got {false_alarms!r}.")
        self.declared = declared
        self.false_alarms = false_alarms
        self.checked = 0
        self.alarms = 0
        self._allowed = max(1.0 - declared, _LEAST_ALLOWANCE)
        # A stake of 1 / allowed would lose everything at the first search that finds all.
        self._stakes = 2.0 ** -np.arange(1, _BETS + 1) / self._allowed
        self._capital: NDArray[np.float64] = np.zeros(_BETS)
        self._recent: deque[float] = deque(maxlen=_RUNNING)
        self._lock = threading.Lock()

    def observe(self, shares: Shares | Iterable[float]) -> bool:
        """Take in the recalls of checked searches, in their order. True gives the alarm; the evidence starts anew."""
        values = np.atleast_1d(np.asarray(shares if isinstance(shares, np.ndarray) else list(shares), np.float64))
        factors = 1.0 + self._stakes * ((1.0 - values)[:, None] - self._allowed)
        alarm = False
        with self._lock:
            self.checked += len(values)
            self._recent.extend(values.tolist())
            for factor in factors:
                self._capital = (self._capital + 1.0) * factor
                if self._capital.sum() * self.false_alarms >= _BETS:
                    self._capital = np.zeros(_BETS)
                    self.alarms += 1
                    alarm = True
        return alarm

    @property
    def running(self) -> Estimate | None:
        """The recall of the last 1,000 checked searches; None before the first."""
        with self._lock:
            recent = list(self._recent)
        return estimate(recent) if recent else None

    def reset(self) -> None:
        """Forget the evidence and the running recall, since searches are answered in another way from now on."""
        with self._lock:
            self._capital = np.zeros(_BETS)
            self._recent.clear()
