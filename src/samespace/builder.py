"""Builds and measures engines in a process of its own: ``python -m samespace.builder FOLDER``.

A build is minutes of native code that cannot be interrupted, and needs much memory for a while. In a child it can
be stopped at once, runs at a low priority, and leaves the memory to those who search. What it makes lies in the
collection's index folder, where any process finds it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from samespace import indexes
from samespace.errors import CollectionCorrupt, InvalidInput, SamespaceError, StorageError
from samespace.indexes.base import Index
from samespace.recall.queries import QueryLog
from samespace.recall.tune import Curve, Point, Pool, Tuning, enough, measure, own_pool, past_pool, pick
from samespace.space import Metric
from samespace.stores.local import LocalStore, View

__all__ = ["QUERIES", "TUNING", "Job", "Progress", "Stopped", "built", "load_tuning", "run", "work"]

Progress = Callable[[str, float], None]
"""Told what is done now, and which part of the whole is done, from 0 to 1."""

TUNING = "tuning.json"
QUERIES = "queries.index"

_SEED = 20_240_229  # of the sample; the same vectors give the same queries
_FEWEST_PAST, _ENOUGH_PAST = 100, 1_000  # queries of the past from which on they say something, or all
_FEWEST_OWN = 200


class Stopped(SamespaceError):
    """The build was stopped by the one who asked for it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to build and measure.

    Attributes:
        folder: the collection's.
        recall: that is declared.
        engines: to measure. The one that reaches the recall and answers soonest is kept.
        threads: of the build; None uses all cores.
        background: leave the processor to others.
    """

    folder: str
    recall: float
    engines: tuple[str, ...]
    threads: int | None = None
    background: bool = False


def built(engine: str, folder: Path) -> Path:
    """Where an engine's file is in an index folder."""
    return folder / f"{engine}.index"


def load_tuning(folder: Path, space: str, first_slot: int) -> tuple[Tuning, int] | None:
    """What was measured last, and over how many rows; None if it is not of these vectors.

    Raises:
        CollectionCorrupt: the file is not what was written.
    """
    try:
        record = json.loads((folder / TUNING).read_text(encoding="utf-8"))
        if (record["space"], record["first_slot"]) != (space, first_slot):
            return None
        return Tuning.from_dict(record["tuning"]), int(record["count"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CollectionCorrupt(f"Cannot read {folder / TUNING}: {error!r}. Run samespace tune again.") from error


def run(
    job: Job, progress: Progress | None = None, started: Callable[[subprocess.Popen[str]], None] | None = None
) -> Tuning:
    """Do a job in a child process, and wait for it.

    Args:
        job: what to do.
        progress: told how far it is.
        started: given the process, which may be killed at any moment; nothing is lost but its work.

    Raises:
        Stopped: the process was killed.
        StorageError: it failed; the message is its own.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise StorageError("An index is built by a Python of its own, and this program has none beside it.")
    command = [sys.executable, "-m", "samespace.builder", json.dumps(asdict(job))]
    last: dict[str, Any] = {}
    with subprocess.Popen(  # noqa: S603  # our own module
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as child:
        try:
            if started is not None:
                started(child)
            assert child.stdout is not None  # noqa: S101  # it is a pipe
            assert child.stderr is not None  # noqa: S101
            for line in child.stdout:
                last = json.loads(line)
                if progress is not None and "label" in last:
                    progress(last["label"], last["part"])
            complaint = child.stderr.read().strip()
        except BaseException:
            child.kill()
            raise
    if "tuning" in last:
        return Tuning.from_dict(last["tuning"])
    if child.returncode < 0 or (not last.get("error") and not complaint):
        raise Stopped("The build was stopped.")
    raise StorageError(f"The index could not be built: {last.get('error') or complaint.splitlines()[-1]}")


def work(job: Job, progress: Progress) -> Tuning:
    """Do a job here: build each engine, measure its curve, keep the best and what was found out."""
    folder = Path(job.folder) / "index"
    store = LocalStore(Path(job.folder))
    try:
        view, space = store.view(), store.space
        if view.count == 0:
            raise InvalidInput(f"{job.folder} is empty; there is nothing to measure.")
        log = QueryLog(space.dimension)
        log.load(folder / QUERIES)
        pools = _pools(view, space.metric, log, job.recall, _part(progress, "answering exactly", 0.0, 0.1))
        live = None if view.count == len(view.live) else view.live
        curves: list[Curve] = []
        best: Index | None = None
        chosen: tuple[str, Point] | None = None
        for number, name in enumerate(job.engines):
            start, end = (0.1 + 0.89 * (number + step) / len(job.engines) for step in (0, 1))
            middle = (start + end) / 2
            progress(f"building {name}", start)
            began = time.perf_counter()
            index = indexes.engine(name)(space.dimension, space.metric)
            index.extend(view.vectors, job.threads)
            seconds = time.perf_counter() - began
            # An engine without a setting says what a search costs that needs no build: no other may cost more.
            slowest = min((c.points[0].seconds for c in curves if c.points[0].effort == 0), default=math.inf)
            measuring = _part(progress, f"measuring {name}", middle, end)
            curves.append(measure(index, pools, live, measuring, slowest=slowest, build_seconds=seconds))
            chosen = pick(curves, job.recall)
            if chosen is not None and chosen[0] == name:
                best = index
            del index
        engine, effort = ("exact", None) if chosen is None else (chosen[0], chosen[1].effort or None)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sizes = {pool.name: len(pool) for pool in pools}
        tuning = Tuning(job.recall, engine, effort, tuple(curves), sizes, view.sequence, now)
        progress("saving", 0.99)
        _keep(folder, best, tuning, view, space.id)
        progress("done", 1.0)
    finally:
        store.close()
    return tuning


def _part(progress: Progress, label: str, start: float, end: float) -> Callable[[float], None]:
    return lambda part: progress(label, start + (end - start) * part)


def _pools(view: View, metric: Metric, log: QueryLog, recall: float, progress: Callable[[float], None]) -> list[Pool]:
    """What to measure on: queries of the past where they are many, else made ones, and both where they are some."""
    past = np.unique(log.recent(), axis=0)  # a query that is asked again and again counts once
    pools = []
    if len(past) >= _FEWEST_PAST:
        pools.append(past_pool(past, view.vectors, view.live, metric, progress))
    if len(past) < _ENOUGH_PAST:
        count = max(_FEWEST_OWN, min(enough(recall), view.count // 4))
        pools.append(own_pool(view.vectors, view.live, metric, count, _SEED, progress))
    return pools


def _keep(folder: Path, index: Index | None, tuning: Tuning, view: View, space: str) -> None:
    """Write the engine's file first, and then the record that names it."""
    folder.mkdir(exist_ok=True)
    if index is not None and indexes.ENGINES[index.engine].builds:
        index.save(built(index.engine, folder))
    record = {
        "space": space,
        "first_slot": view.first_slot,
        "count": len(view.live),
        "tuning": tuning.to_dict(),
    }
    draft = folder / f".{TUNING}.{os.getpid()}"
    draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    draft.replace(folder / TUNING)
    for row in indexes.ENGINES.values():
        if row.builds and row.name != tuning.engine:
            built(row.name, folder).unlink(missing_ok=True)


def _main(arguments: Sequence[str]) -> int:
    values = json.loads(arguments[0])
    job = Job(**values | {"engines": tuple(values["engines"])})
    if job.background:
        with contextlib.suppress(OSError, AttributeError):
            os.nice(10)
    parent = os.getppid()

    def report(**values: Any) -> None:
        if os.getppid() != parent:
            sys.exit("The process that asked for this is gone.")
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()

    try:
        tuning = work(job, lambda label, part: report(label=label, part=part))
    except SamespaceError as error:
        report(error=str(error))
        return 1
    report(tuning=tuning.to_dict())
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
