"""A worker: reads parts of shards, embeds their rows, and adds them to the collection."""

from __future__ import annotations

import json
import socket
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Self

from samespace import errors
from samespace.collection import Collection
from samespace.encoders.base import Encoder
from samespace.encoders.providers.metering import Meter, Spent
from samespace.errors import (
    EncoderError,
    ForeignVectorsWarning,
    InvalidInput,
    InvalidVectors,
    SamespaceError,
    TruncationWarning,
)
from samespace.opening import open as open_collection
from samespace.scale.cost import Purse, spent_of
from samespace.scale.shards import Fields, Part, read
from samespace.sources import Record
from samespace.stores import is_url

__all__ = ["Bad", "Job", "Outcome", "RemoteWorker", "Worker", "spare_cache"]

_BATCH = 1_024  # rows that are held at a time; they are committed in smaller batches
_NAMED = 20  # bad rows that are told of, one by one


@dataclass(frozen=True)
class Job:
    """What every worker knows.

    Attributes:
        into: the collection's folder, absolute, or its URL.
        fields: what the shards' columns are.
        skip_bad: pass over rows that cannot be used.
        timeout: seconds to wait for other writers, or a server's answer.
    """

    into: str
    fields: Fields
    skip_bad: bool = False
    timeout: float = 600.0

    def open(self, threads: int | None, max_cost: float | None = None) -> Collection:
        """Open the collection on a worker, with an encoder of its own, which may spend so much.

        Raises:
            SpaceMismatch: the encoder of the collection's name makes other vectors here.
        """
        # In a folder every worker would index the rows of all; whoever searches does that, once.
        engine = "auto" if is_url(self.into) else "exact"
        return open_collection(
            self.into, engine=engine, create=False, timeout=self.timeout, threads=threads, max_cost=max_cost
        )


@dataclass
class Bad:
    """Rows that cannot be used: how many, and the first of them in words."""

    count: int = 0
    rows: list[str] = field(default_factory=list)

    def tell(self, *rows: str, count: int | None = None) -> None:
        """Count rows; ``count`` where there are more than are told of."""
        self.count += len(rows) if count is None else count
        self.rows += rows[: _NAMED - len(self.rows)]


@dataclass
class Outcome:
    """What became of a part. As JSON it goes from worker to driver.

    Attributes:
        part: that was done.
        rows: that it has.
        added, replaced, unchanged, truncated: as of :class:`~samespace.reports.AddReport`.
        bad: rows that were passed over.
        spent: by the worker's own encoder, since it told of it last; None if that costs nothing.
        attempt: how often it was begun, this time included; more than once where workers died over it.
        error: name and message of the error at which the worker gave up, and its machine; None if it did not.
    """

    part: Part
    rows: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    truncated: int = 0
    bad: Bad = field(default_factory=Bad)
    spent: Spent | None = None
    attempt: int = 1
    error: tuple[str, str, str] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        spent = values["spent"] and Spent(**values["spent"])
        return cls(**{**values, "part": Part(**values["part"]), "bad": Bad(**values["bad"]), "spent": spent})

    def raise_error(self) -> None:
        """Raise the worker's error, if there was one.

        Raises:
            SamespaceError: as it was raised on the worker.
        """
        if self.error is not None:
            name, message, host = self.error
            if host != socket.gethostname():
                message += f" (On the worker {host}.)"
            kind = getattr(errors, name, EncoderError)
            error = kind.__new__(kind, message)  # an error's own arguments stayed with the worker
            error.args = (message,)
            raise error


def spare_cache(encoder: Encoder) -> None:
    """Keep what is embedded in bulk out of the user's cache, which all processes of a machine would wait for.

    The collection has these vectors, and others would have to leave the cache for them. What was paid for is kept.
    """
    if not encoder.paid:
        encoder.cache = None


class Worker:
    """Does parts of a job, one after another.

    Args:
        job: to do.
        collection: to add to, with its encoder.
    """

    def __init__(self, job: Job, collection: Collection) -> None:
        self._job, self._collection = job, collection

    def embed(self, part: Part, outcome: Outcome, progress: Callable[[int], None] | None = None) -> None:
        """Embed a part. Doing so again does no harm: rows that are there unchanged are passed over.

        Args:
            part: of a shard.
            outcome: counts the rows.
            progress: called with the number of rows just made durable.

        Raises:
            SamespaceError: a row or the shard cannot be used, the encoder is another one, a store fails.
        """
        bad = outcome.bad.tell if self._job.skip_bad else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # they are counted
            encoder = self._collection.require_encoder()
            size = max(_BATCH, encoder.window) if encoder.paid else _BATCH
            try:
                with closing(read(part, self._job.fields, bad)) as rows:
                    while batch := list(islice(rows, size)):
                        outcome.rows += len(batch)
                        self._add(batch, outcome, progress)
            except InvalidInput as error:
                if bad is None:
                    raise
                bad(str(error))  # the rest of the shard cannot be read

    def _add(self, rows: list[Record], outcome: Outcome, progress: Callable[[int], None] | None) -> None:
        try:
            done = self._collection.add(
                [row.content for row in rows],
                ids=[str(row.id) for row in rows],
                metadata=[row.metadata for row in rows],
                progress=progress,
            )
        except (InvalidInput, InvalidVectors) as error:
            if not self._job.skip_bad:
                raise
            if len(rows) == 1:
                outcome.rows -= 1
                outcome.bad.tell(f"{outcome.part.path}: {error}")
                return
            middle = len(rows) // 2  # what the engine or the encoder refuses is found by halving
            self._add(rows[:middle], outcome, None)
            self._add(rows[middle:], outcome, None)
        else:
            outcome.added += done.added
            outcome.replaced += done.replaced
            outcome.unchanged += done.unchanged
            outcome.truncated += done.truncated


class RemoteWorker:
    """A worker in a process of its own. The collection is opened, and its model loaded, with the first part.

    Args:
        job: to do.
        threads: of the encoder; None for all cores.
        purse: that a paid encoder draws on; None for no cap.
    """

    def __init__(self, job: Job, threads: int | None = None, purse: Purse | None = None) -> None:
        self._job, self._threads, self._purse = job, threads, purse
        self._collection: Collection | None = None
        self._told: Spent | None = None  # of what was spent

    def report(self, part: Part) -> Outcome:
        """Embed a part; an error is told in the outcome, since it must cross to another process."""
        outcome = Outcome(part)
        try:
            collection = self._opened()
            try:
                Worker(self._job, collection).embed(part, outcome)
            finally:
                self._account(collection.require_encoder(), outcome)
        except SamespaceError as error:
            outcome.error = (type(error).__name__, str(error), socket.gethostname())
        return outcome

    def close(self) -> None:
        """Close the collection, if it was opened."""
        if self._collection is not None:
            self._collection.close()

    def _opened(self) -> Collection:
        if self._collection is None:
            drawn = None if self._purse is None else self._purse.draw()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ForeignVectorsWarning)  # the driver opens it too, and tells of these
                self._collection = self._job.open(self._threads, drawn)
            encoder = self._collection.require_encoder()  # now, since a missing model is not the fault of a row
            spare_cache(encoder)
            if self._purse is not None and (meter := _meter_of(encoder)):
                meter.purse = self._purse.draw
        return self._collection

    def _account(self, encoder: Encoder, outcome: Outcome) -> None:
        """Tell what was spent since the last part, and give back what was not."""
        earlier, self._told = self._told, spent_of(encoder)
        outcome.spent = self._told - earlier if self._told and earlier else self._told
        if self._purse is not None and (meter := _meter_of(encoder)):
            self._purse.give_back(meter.release())


def _meter_of(encoder: Encoder) -> Meter | None:
    meter = getattr(encoder, "meter", None)
    return meter if isinstance(meter, Meter) else None
