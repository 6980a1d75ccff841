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
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from samespace import indexes
from samespace.errors import CollectionCorrupt, InvalidInput, SamespaceError, StorageError
from samespace.indexes import sealed
from samespace.indexes.base import Index
from samespace.recall.queries import QueryLog
from samespace.recall.tune import Curve, Point, Pool, Tuning, enough, measure, own_pool, past_pool, pick
from samespace.space import Metric
from samespace.stores.local import LocalStore, View

__all__ = ["QUERIES", "TUNING", "Job", "Progress", "Record", "Stopped", "load_record", "run", "work"]

Progress = Callable[[str, float], None]
"""Told what is done now, and which part of the whole is done, from 0 to 1."""

TUNING = "tuning.json"
QUERIES = "queries.index"

_SEED = 20_240_229  # of the sample; the same vectors give the same queries
_FEWEST_PAST, _ENOUGH_PAST = 100, 1_000  # queries of the past from which on they say something, or all
_FEWEST_OWN = 200
_ABANDONED = 600.0  # seconds after which nobody is at work on a file any more


class Stopped(SamespaceError):
    """The build was stopped by the one who asked for it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to build and measure.

    Attributes:
        folder: the collection's.
        recall: that is declared.
        engines: to measure. The one that reaches the recall and answers soonest is kept.
        wished: the engine to keep if it reaches the recall, be another faster or not.
        declared: the recall to keep as that of the collection; None leaves what is kept.
        threads: of the build; None uses all cores.
        background: leave the processor to others.
    """

    folder: str
    recall: float
    engines: tuple[str, ...]
    wished: str | None = None
    declared: float | None = None
    threads: int | None = None
    background: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a job.

    Attributes:
        space, first_slot, rows: of which vectors it speaks.
        declared: the recall of the collection; None if nobody declared one.
        file: of the engine that was built, in the index folder; None if none was chosen that is built.
        tuning: what was found out.
    """

    space: str
    first_slot: int
    rows: int
    declared: float | None
    file: str | None
    tuning: Tuning


def load_record(folder: Path) -> Record | None:
    """Read what was kept last; None if nothing was.

    Raises:
        CollectionCorrupt: the file is not what was written.
    """
    try:
        values = json.loads((folder / TUNING).read_text(encoding="utf-8"))
        return Record(**values | {"tuning": Tuning.from_dict(values["tuning"])})
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
    # Not from the folder that the user happens to be in, where a file may be called numpy.py.
    command = [sys.executable, "-P", "-m", "samespace.builder", json.dumps(asdict(job))]
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    last: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(  # noqa: S603  # our own module
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": paths},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # of Windows
        ) as child,
    ):
        try:
            if started is not None:
                started(child)
            assert child.stdout is not None  # noqa: S101  # it is a pipe
            for line in child.stdout:
                with contextlib.suppress(ValueError):  # cut off, or written by a library
                    last = json.loads(line)
                if progress is not None and "label" in last:
                    progress(last["label"], last["part"])
            child.wait()
            complaints.seek(0)
            complaint = complaints.read().strip()
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
    _sweep(folder)  # makes it too, and finds out early whether it may be written
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
            chosen = pick([c for c in curves if c.engine == job.wished], job.recall) or pick(curves, job.recall)
            if chosen is not None and chosen[0] == name:
                best = index
            del index
        engine, effort = ("exact", None) if chosen is None else (chosen[0], chosen[1].effort or None)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sizes = {pool.name: len(pool) for pool in pools}
        tuning = Tuning(job.recall, engine, effort, tuple(curves), sizes, view.sequence, now)
        progress("saving", 0.99)
        _keep(folder, best, tuning, view, space.id, job.declared)
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


def _keep(folder: Path, index: Index | None, tuning: Tuning, view: View, space: str, declared: float | None) -> None:
    """Write the engine's file first, under a name of its own, and then the record that names it."""
    file = None
    if index is not None and indexes.ENGINES[index.engine].builds:
        file = f"{index.engine}-{uuid.uuid4().hex[:12]}.index"
        index.save(folder / file)
    if declared is None:
        with contextlib.suppress(CollectionCorrupt):
            known = load_record(folder)
            declared = None if known is None else known.declared
    values = asdict(Record(space, view.first_slot, len(view.live), declared, file, tuning))
    sealed.write_text(folder / TUNING, json.dumps(values | {"tuning": tuning.to_dict()}, indent=1))
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Delete what builds left that were stopped, and built engines that the record does not name."""
    try:
        folder.mkdir(exist_ok=True)
        known = load_record(folder)
    except CollectionCorrupt:
        known = None
    except OSError as error:
        raise StorageError(f"Cannot write into {folder}: {error}.") from error
    for file in folder.iterdir():
        engine = file.name.rpartition("-")[0]
        left = file.name.startswith(".") or (engine in indexes.ENGINES and (known is None or file.name != known.file))
        with contextlib.suppress(OSError):  # in use, on Windows; or deleted by another
            if left and time.time() - file.stat().st_mtime > _ABANDONED:
                file.unlink()


def _main(arguments: Sequence[str]) -> int:
    values = json.loads(arguments[0])
    job = Job(**values | {"engines": tuple(values["engines"])})
    if job.background:
        with contextlib.suppress(OSError, AttributeError):
            os.nice(10)
    parent = os.getppid()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no report

    def report(**values: Any) -> None:
        if os.getppid() != parent:
            sys.exit("The process that asked for this is gone.")
        out.write(json.dumps(values) + "\n")
        out.flush()

    try:
        tuning = work(job, lambda label, part: report(label=label, part=part))
    except SamespaceError as error:
        report(error=str(error))
        return 1
    report(tuning=tuning.to_dict())
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
