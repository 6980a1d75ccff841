"""One namespace of an index: the calls that a store makes, within Pinecone's limits, and their freshness.

Pinecone shows a write some time after it took it. It numbers the writes of a namespace (log sequence numbers), an
upsert's answer carries its number, and a query's answer how far the index has come; so a writer asks until its write
is in. Deletions carry no number through the SDK, and some servers send none; there the rows themselves are asked for.
Source: Pinecone's guide "Check data freshness".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from typing import Any, TypeVar

import httpx
from pinecone import Index
from pinecone.errors.exceptions import PineconeConnectionError
from pinecone.models.namespaces.models import NamespaceDescription
from pinecone.models.vectors.responses import (
    FetchByMetadataResponse,
    FetchResponse,
    QueryResponse,
    UpdateResponse,
)
from pinecone.models.vectors.vector import Vector

from samespace.errors import AccessDenied, CollectionClosed, NotFound, StoreUnavailable
from samespace.stores.pinecone.failures import Failures
from samespace.stores.pinecone.fields import SEQ
from samespace.stores.pinecone.filters import Filter

__all__ = ["MOST_HITS", "Namespace", "Workers", "between", "exists"]

T = TypeVar("T")
S = TypeVar("S")

MOST_HITS = 10_000  # of a query
_MOST_RECORDS = 1_000  # of an upsert, or a deletion by id
_MOST_BYTES = 2_000_000  # of an upsert
_NUMBER_BYTES = 24  # at most, of a float32 as JSON, with its comma
_MOST_IDS = 100  # of a fetch, which has them in its URL
_MOST_URL = 4_000  # bytes of ids there
_PAGE_BYTES = 4_000_000  # about as much as shall come at once
_WORKERS = 8  # as the SDK has for bulk; Pinecone allows 100 requests a second on a namespace


def exists(field: str, there: bool = True) -> Filter:
    """The filter that selects records which have a field."""
    return {field: {"$exists": there}}


def between(start: int, end: int) -> Filter:
    """The filter that selects rows with numbers above ``start`` and up to ``end``."""
    return {"$and": [{SEQ: {"$gt": start}}, {SEQ: {"$lte": end}}]}


class Workers:
    """Threads that make several requests at once."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, "samespace-pinecone")

    def all(self, do: Callable[[T], S], parts: Iterable[T]) -> list[S]:
        """Do it to each, and wait for all, even after one has failed: what is under way may write."""
        waiting = list(parts)
        if len(waiting) < 2:
            return [do(part) for part in waiting]
        try:
            futures = [self._pool.submit(do, part) for part in waiting]
        except RuntimeError as error:
            raise CollectionClosed("The collection was closed while it was used. Open it again.") from error
        wait(futures)
        return [future.result() for future in futures]

    def close(self) -> None:
        self._pool.shutdown()


class Namespace:
    """The records of one namespace. Safe to use from several threads.

    Args:
        index: client of the data plane.
        name: of the namespace.
        dimension: of the index.
        failures: says what goes wrong in samespace's words.
        workers: for calls in several parts; those parts may not use it again.
        timeout: seconds to wait until a write is shown.
    """

    def __init__(
        self, index: Index, name: str, dimension: int, failures: Failures, workers: Workers, timeout: float
    ) -> None:
        self.name = name
        self._index = index
        self._dimension = dimension
        self._failures = failures
        self._workers = workers
        self._timeout = timeout
        self._probe = [1.0] + [0.0] * (dimension - 1)  # Pinecone takes no vector of zeros
        self.page_size = max(20, min(1_000, _PAGE_BYTES // (dimension * 12 + 2_000)))

    def call(self, method: Callable[..., T], **arguments: Any) -> T:
        """Make one request, all of which may be made twice."""
        with self._failures:
            try:
                return method(**arguments)
            except PineconeConnectionError as error:
                # The SDK asks again where no answer begins. This one broke off in the middle.
                if not isinstance(error.__cause__, httpx.RemoteProtocolError | httpx.ReadError):
                    raise
                return method(**arguments)

    def reach(self, method: Callable[..., T], nothing: T, **arguments: Any) -> T:
        """Make one request of the namespace; ``nothing`` while there is none, which the first upsert makes."""
        try:
            return self.call(method, namespace=self.name, **arguments)
        except NotFound as error:
            if "namespace" not in str(error.__cause__).lower():
                raise
            return nothing

    def upsert(self, records: Sequence[tuple[str, list[float], dict[str, Any]]], sizes: Sequence[int]) -> int | None:
        """Write records; ``sizes`` are the bytes of each one's metadata. The log sequence number, if any."""

        def send(part: list[tuple[str, list[float], dict[str, Any]]]) -> int | None:
            done = self.call(self._index.upsert, vectors=part, namespace=self.name)
            return None if done.response_info is None else done.response_info.lsn_committed

        rest = self._dimension * _NUMBER_BYTES + 64
        whole = [size + 2 * len(name) + rest for (name, *_), size in zip(records, sizes, strict=True)]
        numbers = self._workers.all(send, _parts(records, whole, _MOST_RECORDS, _MOST_BYTES))
        known = [number for number in numbers if number is not None]
        return max(known) if known and len(known) == len(numbers) else None

    def fetch(self, ids: Sequence[str]) -> dict[str, Vector]:
        """The records of these ids that are there."""
        parts = _parts(ids, [3 * len(name) + 5 for name in ids], min(_MOST_IDS, self.page_size), _MOST_URL)
        found = self._workers.all(lambda part: self.reach(self._index.fetch, FetchResponse(), ids=part).vectors, parts)
        return dict(chain.from_iterable(part.items() for part in found))

    def query(
        self,
        vector: list[float] | None,
        k: int,
        condition: Filter | None = None,
        *,
        metadata: bool = False,
        values: bool = False,
    ) -> QueryResponse:
        """The ``k`` best records; those of no vector in particular where it is None."""
        return self.reach(
            self._index.query,
            QueryResponse(),
            vector=self._probe if vector is None else vector,
            top_k=k,
            filter=condition,
            include_metadata=metadata,
            include_values=values,
        )

    def page(self, condition: Filter, token: str | None = None) -> FetchByMetadataResponse:
        """Some records that meet a condition, in no order; ``pagination`` says where there are more."""
        return self.reach(
            self._index.fetch_by_metadata,
            FetchByMetadataResponse(),
            filter=condition,
            limit=self.page_size,
            pagination_token=token,
        )

    def count(self, condition: Filter) -> int:
        """How many records meet a condition: those that an update would change, which is not made.

        Raises:
            AccessDenied: the key may only read, and there are more than a query counts.
        """
        try:
            done = self.reach(self._index.update, UpdateResponse(), filter=condition, dry_run=True)
        except AccessDenied as error:
            found = len(self.query(None, MOST_HITS, condition).matches)
            if found < MOST_HITS:
                return found
            raise AccessDenied(
                f"At least {MOST_HITS:,} rows in the namespace {self.name!r} meet the condition. Pinecone counts more "
                "by an update that is not made, for which the key in PINECONE_API_KEY needs the role to write."
            ) from error
        return done.matched_records or 0

    def describe(self) -> NamespaceDescription:
        """Records and bytes. No record makes no namespace."""
        try:
            return self.call(self._index.describe_namespace, name=self.name)
        except NotFound:
            return NamespaceDescription(name=self.name)

    def delete(self, ids: Sequence[str]) -> None:
        parts = [list(ids[start : start + _MOST_RECORDS]) for start in range(0, len(ids), _MOST_RECORDS)]
        self._workers.all(lambda part: self.reach(self._index.delete, None, ids=part), parts)

    def delete_where(self, condition: Filter) -> None:
        self.reach(self._index.delete, None, filter=condition)

    def drop(self) -> None:
        """Delete the namespace, if it is there."""
        with contextlib.suppress(NotFound):
            self.call(self._index.delete_namespace, name=self.name)

    # Freshness

    def until(self, is_shown: Callable[[], bool], what: str) -> None:
        """Ask until a write is shown.

        Raises:
            StoreUnavailable: it was not, within the timeout.
        """
        end, pause = time.monotonic() + self._timeout, 0.02
        while not is_shown():
            if time.monotonic() > end:
                raise StoreUnavailable(
                    f"{what} in the namespace {self.name!r}, and Pinecone does not show it after {self._timeout:g} "
                    "seconds. It will; look again, or raise timeout=."
                )
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def until_written(self, number: int | None, seqs: Sequence[int]) -> None:
        """Wait until an upsert is shown: all up to its log sequence number, or else the rows of these ``seqs``."""

        def is_reached() -> bool:
            reached = self.query(None, 1).response_info
            if reached is None or reached.lsn_reconciled is None or number is None:
                return are_there()
            return reached.lsn_reconciled >= number

        def are_there() -> bool:
            parts = [list(seqs[start : start + MOST_HITS]) for start in range(0, len(seqs), MOST_HITS)]
            return all(len(self.query(None, len(part), {SEQ: {"$in": part}}).matches) == len(part) for part in parts)

        self.until(are_there if number is None else is_reached, "Rows were written")

    def until_gone(self, condition: Filter) -> None:
        """Wait until a deletion is shown."""
        self.until(lambda: not self.query(None, 1, condition).matches, "Rows were deleted")


def _parts(items: Sequence[T], sizes: Sequence[int], most: int, room: int) -> list[list[T]]:
    """Items in parts of at most ``most``, whose sizes add up to at most ``room``."""
    parts: list[list[T]] = []
    left = 0
    for item, size in zip(items, sizes, strict=True):
        if not parts or size > left or len(parts[-1]) == most:
            parts.append([])
            left = room
        parts[-1].append(item)
        left -= size
    return parts
