"""Shards into a collection: what is still to do is cut into parts, and workers do these."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Literal

from samespace.encoders.base import Encoder
from samespace.encoders.providers.metering import Spent
from samespace.errors import InvalidInput
from samespace.opening import open as open_collection
from samespace.scale.cost import Tell, Treasury, expected, spent_of
from samespace.scale.files import Shard, find
from samespace.scale.ledger import Ledger
from samespace.scale.shards import Extent, Fields, Part, cut, measure, rows_of
from samespace.scale.work import Bad, Job, Outcome, Worker, spare_cache
from samespace.stores import is_url

__all__ = ["EmbedReport", "Progress", "embed"]

Progress = Callable[[int, int | None], None]
"""Called with how many more rows are done, and how many there are to do in all, or None where nobody knows yet."""

_LOOKS = 16  # shards that are looked at side by side


@dataclass
class EmbedReport:
    """What a run did.

    Attributes:
        shards: that were found.
        rows: that were read.
        added, replaced, unchanged: what became of them. Of a part that was done anew since its worker died, rows that
            were committed before are unchanged.
        truncated: of the rows written, those longer than the encoder reads.
        remembered: shards that an earlier run had done, and that were not read again.
        bad: rows that were passed over.
        repeated: parts that were done again, since the worker died that did them.
        workers: that shared the work.
        spent: in this run, by this process and all workers; None of an encoder that costs nothing. It is the least that
            was spent where workers died, or were still at work when an error ended the run.
        seconds: that it took.
    """

    shards: int = 0
    rows: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    truncated: int = 0
    remembered: int = 0
    bad: Bad = field(default_factory=Bad)
    repeated: int = 0
    workers: int = 1
    spent: Spent | None = None
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Count what became of a part."""
        self.rows += outcome.rows
        self.added += outcome.added
        self.replaced += outcome.replaced
        self.unchanged += outcome.unchanged
        self.truncated += outcome.truncated
        self.repeated += outcome.attempt > 1
        self.bad.tell(*outcome.bad.rows, count=outcome.bad.count)
        self.pay(outcome.spent)

    def pay(self, spent: Spent | None) -> None:
        """Count what was spent."""
        if spent is not None:
            self.spent = spent if self.spent is None else self.spent + spent


def embed(
    shards: Iterable[str | Path],
    into: str | Path,
    encoder: str | Encoder | None = None,
    *,
    text: str,
    id: str | None = None,  # noqa: A002 - as the ids of add
    metadata: Sequence[str] | None = None,
    on: Literal["local", "ray"] = "local",
    workers: int | None = None,
    cpus: int | None = None,
    address: str | None = None,
    skip_bad: bool = False,
    again: bool = False,
    timeout: float | None = None,
    max_cost: float | None = None,
    tell_cost: Tell | None = None,
    progress: Progress | None = None,
) -> EmbedReport:
    """Embed the rows of shards, and add them to a collection.

    What is done is kept with the collection: the same call goes on after a stop, of whatever kind, and does nothing
    where all is done. A row is written by its id, so what was done twice is there once.

    Args:
        shards: files, folders, patterns or URLs of Parquet or JSON lines (:func:`samespace.scale.files.find`).
        into: the collection's folder or URL; made if it is not there. A folder takes workers of this machine only.
        encoder: of a new collection. Workers open the collection's own by its name.
        text: the column to embed.
        id: the column of ids, each of which stands once in all shards; None makes ids of the texts.
        metadata: columns to keep beside the text; None keeps all others.
        on: ``"local"`` in this process; ``"ray"`` on the workers of a cluster.
        workers: on Ray; None for one to every four CPUs.
        cpus: of each worker, which are the threads of its encoder; None shares what there is.
        address: of a Ray cluster that runs already; None starts one on this machine, and ends it.
        skip_bad: pass over rows and shards that cannot be used, and tell of them at the end.
        again: compare all rows with the collection, also those that an earlier run did.
        timeout: seconds to wait for another writer or a server's answer; None for 600 in a folder, 60 elsewhere.
        max_cost: of a paid encoder: the most that may be spent. On Ray the workers draw it in slices as they need
            them, and a slice that a dead one held is not given out again, so that the whole is never exceeded.
        tell_cost: of a paid encoder: see :class:`samespace.scale.cost.Tell`. The estimate comes before anything is
            sent, but for what opening the encoder may send: of a model without a row the request for its dimension,
            of one that is to serve a collection of another name its canaries.
        progress: see :data:`Progress`.

    Raises:
        NotFound, InvalidInput: a shard is not there, or torn; a row cannot be used, and ``skip_bad`` is False.
        CostExceeded: more would be spent than ``max_cost``; what was paid for is kept.
        SpaceMismatch: the encoder, here or on a worker, makes vectors of another space.
        MissingExtra: Ray or pyarrow is not installed.
        EncoderError: workers died over one part again and again, or Ray cannot go on.
        StorageError: the collection or the cluster cannot be used.
    """
    if on not in ("local", "ray"):
        raise InvalidInput(f"on must be 'local' or 'ray', got {on!r}.")
    if on == "local" and (workers or cpus or address):
        raise InvalidInput("workers=, cpus= and address= are for on='ray'; on='local' works in this process.")
    is_remote = isinstance(into, str) and is_url(into)
    wait = (60.0 if is_remote else 600.0) if timeout is None else timeout
    fields = Fields(text, id, metadata)
    report = EmbedReport()
    tell = progress or (lambda _rows, _total: None)
    begun = time.perf_counter()
    found = find(map(str, shards))
    report.shards = len(found)
    earlier = spent_of(encoder) if isinstance(encoder, Encoder) else None
    with open_collection(into, encoder, timeout=wait, max_cost=max_cost) as collection:
        made = collection.require_encoder()
        if made is not encoder:
            spare_cache(made)
        job = Job(str(into) if is_remote else str(Path(into).absolute()), fields, skip_bad, wait)
        with (
            _billed(made, earlier, report, tell_cost, is_shared=on == "ray"),
            _kept(Ledger(collection.store, fields, again=again)) as ledger,
        ):
            todo = _todo(found, ledger, job, report)
            parts = list(cut(todo, 1))
            if tell_cost and parts and made.paid and hasattr(made, "estimate"):
                tell_cost.expected(expected(made, parts, fields))
            # Before any worker begins, so that each of them has something to prove itself by.
            collection.keep_canaries(made.prove())
            by_path = {shard.path: shard for shard in found}

            def done(outcome: Outcome) -> None:
                report.count(outcome)
                outcome.raise_error()
                if not outcome.bad.count:  # what was passed over is told again by the next run
                    ledger.add(by_path[outcome.part.path], outcome.part)

            if on == "local":
                _locally(Worker(job, collection), parts, done, tell)
            elif todo:
                from samespace.scale.ray import cluster, run

                with cluster(address, workers, cpus, is_remote=is_remote) as shape:
                    report.workers = shape.workers
                    parts = list(cut(todo, shape.workers))
                    total = rows_of(parts)
                    tell(0, total)
                    treasury = _treasury(made, max_cost, min(shape.workers, len(parts)))
                    for outcome in run(job, parts, shape, treasury):
                        done(outcome)
                        tell(outcome.rows, total)
    report.seconds = time.perf_counter() - begun
    return report


@contextmanager
def _billed(
    encoder: Encoder, earlier: Spent | None, report: EmbedReport, tell_cost: Tell | None, *, is_shared: bool
) -> Iterator[None]:
    """Count what this process spends, and tell what all did; after an error and Ctrl-C too.

    Args:
        encoder: of this process.
        earlier: what that had spent before.
        report: counts what the workers spend.
        tell_cost: is told.
        is_shared: there are workers, of whom some may be at work still when an error ends the run.
    """
    is_over = False
    try:
        yield
        is_over = True
    finally:
        if spent := spent_of(encoder):
            report.pay(spent - earlier if earlier else spent)
        if tell_cost and report.spent:
            tell_cost.spent(report.spent, at_least=is_shared and (not is_over or report.repeated > 0))


@contextmanager
def _kept(ledger: Ledger) -> Iterator[Ledger]:
    """Keep what is done, however it ends."""
    try:
        yield ledger
    finally:
        ledger.keep()


def _treasury(encoder: Encoder, max_cost: float | None, workers: int) -> Treasury | None:
    """What is left for workers."""
    if max_cost is None or not encoder.paid:
        return None
    spent = spent_of(encoder)
    return Treasury(max_cost, (spent.cost or 0.0) if spent else 0.0, workers)


def _todo(found: list[Shard], ledger: Ledger, job: Job, report: EmbedReport) -> list[tuple[Extent, int, int]]:
    """The ranges of shards that are still to be done."""
    todo = []
    for extent in _extents(found, job, report.bad):
        missing = ledger.missing(extent)
        report.remembered += not missing and extent.size > 0
        todo += [(extent, begin, end) for begin, end in missing]
    return todo


def _extents(found: list[Shard], job: Job, bad: Bad) -> Iterator[Extent]:
    def look(shard: Shard, fields: Fields) -> Extent | InvalidInput:
        try:
            return measure(shard, fields)
        except InvalidInput as error:
            return error

    with ThreadPoolExecutor(_LOOKS) as pool:
        for extent in pool.map(look, found, repeat(job.fields)):
            if isinstance(extent, Extent):
                yield extent
            elif job.skip_bad:
                bad.tell(str(extent))
            else:
                raise extent


def _locally(worker: Worker, parts: list[Part], done: Callable[[Outcome], None], tell: Progress) -> None:
    total = rows_of(parts)
    tell(0, total)
    for part in parts:
        outcome = Outcome(part)
        worker.embed(part, outcome, lambda rows: tell(rows, total))
        done(outcome)
