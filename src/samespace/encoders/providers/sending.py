"""Requests side by side, each insisted on with patience; one clock for all when the server asks for time."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

from samespace.encoders.providers.failures import Failure, Stopped

__all__ = ["Calm", "GaveUp", "Patience", "insist", "side_by_side"]

_Job = TypeVar("_Job")
_T = TypeVar("_T")

_chance = random.Random()  # noqa: S311  no secret; its own, so that a user's seed stays theirs
_TICK = 0.2  # seconds; where a wait cannot be interrupted, Ctrl-C waits as long


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to insist.

    Attributes:
        attempts: of a request whose failures may pass.
        wrong: attempts whose answers were wrong.
        waiting: seconds that a request may wait in all because the server asked for time.
        first, longest: seconds of the back-off at the first failure, which doubles, and at the last.
        obeyed: the longest ``Retry-After`` that is waited for at once.
        timeout: seconds for one answer.
        grace: seconds that requests under way, which cost, may have to finish after Ctrl-C.
    """

    attempts: int = 6
    wrong: int = 3
    waiting: float = 600.0
    first: float = 0.5
    longest: float = 30.0
    obeyed: float = 60.0
    timeout: float = 60.0
    grace: float = 2.0

    def backoff(self, failures: int) -> float:
        """Seconds to wait: exponential, with full jitter, so that many clients do not come back together.

        See Brooker, "Exponential Backoff And Jitter", 2015.
        """
        # A fraction of the wait is kept, since a server that just failed gains nothing from an answer at once.
        longest = min(self.longest, self.first * 2.0 ** (failures - 1))
        return _chance.uniform(0.05, 1.0) * longest


class Calm:
    """The time before which nobody sends: when one request is told to wait, all do."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until = 0.0

    def extend(self, seconds: float) -> None:
        """Let nobody send for so long."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def wait(self, stop: Event) -> None:
        """Wait until sending is allowed.

        Raises:
            Stopped: the run was stopped meanwhile.
        """
        while (left := self._until - time.monotonic()) > 0:
            pause(left, stop)
        if stop.is_set():
            raise Stopped


class GaveUp(Exception):
    """A request that was insisted on in vain.

    Args:
        last: what happened last.
        attempts: that were made.
        seconds: that they took.
    """

    def __init__(self, last: Failure, attempts: int, seconds: float) -> None:
        super().__init__(str(last))
        self.last, self.attempts, self.seconds = last, attempts, seconds

    @property
    def story(self) -> str:
        """What was tried, as the end of a sentence."""
        tried = f"{self.attempts} attempts in {self.seconds:.1f} s" if self.attempts > 1 else "one attempt"
        return f"failed after {tried}; the last: {self.last}"


def insist(attempt: Callable[[], _T], patience: Patience, calm: Calm, stop: Event) -> _T:
    """Attempt until it succeeds or patience ends.

    Raises:
        GaveUp: patience ended, or the failure is one that does not pass.
        Stopped: the run was stopped while this one waited.
    """
    began = time.monotonic()
    attempts = passing = wrong = waits = 0
    waited = 0.0
    while True:
        calm.wait(stop)
        attempts += 1
        try:
            return attempt()
        except Failure as error:
            failure = error
        delay = 0.0
        if failure.remedy == "wait":
            waits += 1
            delay = patience.backoff(waits) if failure.delay is None else min(failure.delay, patience.obeyed)
            waited += delay
            calm.extend(delay)
        elif failure.remedy == "wrong":
            wrong += 1
        else:
            passing += 1
        spent = waited > patience.waiting or wrong >= patience.wrong or passing >= patience.attempts
        if failure.remedy == "no" or spent:
            raise GaveUp(failure, attempts, time.monotonic() - began)
        if failure.remedy != "wait":
            asked = min(failure.delay or 0.0, patience.obeyed)
            pause(max(asked, patience.backoff(passing + wrong)), stop)


def pause(seconds: float, stop: Event) -> None:
    """Sleep, but not past a stop.

    Raises:
        Stopped: there was one.
    """
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if stop.wait(min(left, _TICK)):
            raise Stopped


def side_by_side(
    jobs: Sequence[_Job], work: Callable[[_Job, Event], int], width: int, progress: Callable[[int], None], grace: float
) -> None:
    """Do all jobs, at most ``width`` at a time.

    The first error stops what has not begun; what is under way is waited for, since it costs, and then the error
    is raised. After Ctrl-C it is waited for ``grace`` seconds.

    Args:
        jobs: to do.
        work: does a job and returns the items that it was; called in threads.
        width: jobs at a time.
        progress: called with the items of a job, in the thread that called this.
        grace: seconds.
    """
    stop = Event()
    if len(jobs) == 1:  # a query, or what a cache left over
        progress(work(jobs[0], stop))
        return
    todo, done = deque(jobs), SimpleQueue[int | BaseException | None]()

    def serve() -> None:
        while todo and not stop.is_set():
            try:
                job = todo.popleft()
            except IndexError:
                break
            try:
                done.put(work(job, stop))
            except BaseException as error:  # noqa: BLE001  it is raised in the thread that asked
                stop.set()
                done.put(error)
        done.put(None)

    # Daemons: an answer that never comes must not keep the process from ending.
    threads = [Thread(target=serve, name="samespace-provider", daemon=True) for _ in range(min(width, len(jobs)))]
    first: BaseException | None = None
    running, ends = len(threads), float("inf")
    try:
        for thread in threads:
            thread.start()
        while running and time.monotonic() < ends:
            try:
                try:
                    result = done.get(timeout=_TICK)
                except Empty:
                    continue
                if result is None:
                    running -= 1
                elif isinstance(result, int):
                    progress(result)
                elif first is None or isinstance(first, Stopped):
                    first = result
            except KeyboardInterrupt as interrupt:
                if isinstance(first, KeyboardInterrupt):
                    break  # once more: at once
                first = interrupt
                stop.set()
                ends = time.monotonic() + grace
    finally:
        stop.set()  # wherever an interrupt fell: nothing more is begun that costs
    if first is not None:
        raise first
