"""A collection in Weaviate, as a store.

Weaviate has no transactions: a write is one or more batches of whole rows, and after an error the same write again
mends what is missing. Rows have a sequence number, which is the clock's microseconds unless that stands behind what the
collection has already; it is what their order is.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NoReturn, TypeVar
from uuid import UUID

from weaviate import WeaviateClient
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.collections.classes.filters import FilterReturn
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from samespace.errors import InvalidInput, NotFound, StorageError, Unsupported
from samespace.hits import Hit
from samespace.stores.base import EXACT, Block, Feature, Figures, Store, Written
from samespace.stores.weaviate.failures import Failures, refusal
from samespace.stores.weaviate.filters import THERE, translate
from samespace.stores.weaviate.notes import Notes
from samespace.stores.weaviate.reading import AT_ONCE, BEFORE_ALL, MOST, Reader, configuration, with_uuids
from samespace.stores.weaviate.rows import (
    HIT,
    batches,
    block_of,
    foreign_uuids,
    metadata_of,
    name_of,
    objects,
    uuid_of,
)
from samespace.stores.weaviate.schema import VECTOR, Record, index_of, problems
from samespace.vectors import Matrix
from samespace.where import Condition

__all__ = ["WeaviateStore"]

_THREADS = 8  # requests of one call that are under way together

S = TypeVar("S")
T = TypeVar("T")

_FOREIGN = Filter.by_property("row_id").is_none(True)


class WeaviateStore(Store):
    """Rows in a collection of Weaviate.

    Args:
        client: connected; the store closes it.
        record: of the collection.
        largest: bytes that the server takes in a message.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {
        "tuning": "Weaviate's index has one effort for all searches, a setting of the collection (ef)"
    }

    def __init__(
        self, client: WeaviateClient, name: str, record: Record, address: str, errors: Failures, largest: int
    ) -> None:
        self.address = address
        self.space = record.space
        self.encoder = record.encoder
        self._client = client
        self._name = name
        self._record = record
        self._errors = errors
        self._largest = largest
        self._notes = Notes(client, name, record.made, largest)
        self._rows = client.collections.use(name)
        self._reader = Reader(self._rows, errors)
        self._clock = threading.Lock()
        self._last = 0  # the greatest number that was given to a row here
        with errors:  # the first call over gRPC, which may be shut off while REST is not
            self._rows.query.fetch_objects(limit=1, return_properties=[])

    # Rows

    def _write(self, block: Block) -> Written:
        with self._errors:
            sized = list(objects(block, self._take_numbers(len(block))))
            parts = list(batches(sized, self._largest))
            uuids = _parts([uuid_of(name) for name in block.ids])
            replaced = sum(_together(lambda part: self._reader.count(with_uuids(part)), uuids))
            _together(self._insert, parts)
        return Written(len(block) - replaced, replaced)

    def _take_numbers(self, n: int) -> int:
        """The first of ``n`` sequence numbers that come after all that the collection has.

        Another writer's clock may stand before this one, now or later. So rows from the future are looked for each
        time, of which there are none as a rule.
        """
        now = max(self._last + 1, time.time_ns() // 1_000)
        newest = self._reader.newest(now - 1) or 0
        with self._clock:
            first = max(now, newest + 1, self._last + 1)
            self._last = first + n - 1
            return first

    def _insert(self, part: Sequence[Any]) -> None:
        try:
            done = self._rows.data.insert_many(part)
        except WeaviateInsertManyAllFailedError as error:
            self._refuse_row(part[0], str(error), error)
        for at, failed in done.errors.items():
            self._refuse_row(part[at], failed.message, None)

    def _refuse_row(self, row: Any, said: str, cause: BaseException | None) -> NoReturn:
        name = row.properties["row_id"]
        raise refusal(self.address, f"row {name!r} was not written: {' '.join(said.split())[:500]}") from cause

    def delete(self, ids: Sequence[str]) -> int:
        with self._errors:
            deleted = 0
            for part in _parts(ids):
                where = with_uuids([uuid_of(name) for name in part])
                if foreign := foreign_uuids(part):
                    where = Filter.any_of([where, Filter.all_of([with_uuids(foreign), _FOREIGN])])
                deleted += self._delete(where)
            return deleted

    def delete_where(self, condition: Condition) -> int:
        with self._errors:
            return self._delete(translate(condition))

    def _delete(self, where: FilterReturn) -> int:
        """Delete in as many calls as it takes: each deletes up to the server's QUERY_MAXIMUM_RESULTS."""
        deleted = 0
        while True:
            done = self._rows.data.delete_many(where=where)
            deleted += done.successful
            if done.failed or (done.matches and not done.successful):
                raise StorageError(
                    f"{self.address} deleted {deleted:,} rows and failed at {max(done.failed, done.matches):,}. "
                    "Delete again."
                )
            if not done.matches:
                return deleted

    def get(self, ids: Sequence[str]) -> Block:
        found: dict[str, Any] = {}
        with self._errors:
            for part in _parts(list(dict.fromkeys(ids))):
                uuids = [*map(uuid_of, part), *foreign_uuids(part)]
                found.update((name_of(one), one) for one in self._reader.fetch(uuids))
            return block_of([found[name] for name in ids if name in found], self.space.dimension)

    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        with self._errors:
            where = None if condition is None else translate(condition)
            last, uuid = self._cursor(after)
            for page in () if last is None else self._reader.numbered(where, last):
                yield block_of(page, self.space.dimension), f"seq:{page[-1].properties['seq']}"
            for page in self._reader.unnumbered(uuid):
                found = [one for one in page if condition is None or condition.matches(metadata_of(one))]
                if found:
                    yield block_of(found, self.space.dimension), f"uuid:{found[-1].uuid}"

    def _cursor(self, after: str | None) -> tuple[int | None, UUID]:
        """The sequence number after which to go on, None where those are done, and the uuid."""
        kind, _, place = (f"seq:{BEFORE_ALL}" if after is None else after).partition(":")
        if kind == "seq" and re.fullmatch(r"-?[0-9]{1,19}", place) and -(2**63) <= int(place) < 2**63:
            return int(place), UUID(int=0)
        with contextlib.suppress(ValueError):
            if kind == "uuid":
                return None, UUID(place)
        raise InvalidInput(f"{after!r} is not a cursor that a scan of {self.address} gave. Begin without one.")

    def count(self, condition: Condition | None = None) -> int:
        with self._errors:
            return self._reader.count(None if condition is None else translate(condition))

    # Searching

    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        if effort not in (None, EXACT):
            raise self.unsupported("tuning", f"A search with effort {effort}")
        with self._errors:
            where = None if condition is None else translate(condition)
            if effort == EXACT:
                where = self._few(where)

        def search(query: list[float]) -> list[Hit]:
            def ask(limit: int) -> list[Any]:
                found: list[Any] = self._rows.query.near_vector(
                    query,
                    limit=limit,
                    filters=where,
                    target_vector=VECTOR,
                    return_metadata=MetadataQuery(distance=True),
                    return_properties=HIT,
                ).objects
                return found

            with self._errors:
                return self._best(ask, k, score)

        score = _minus_root if self.space.metric == "euclidean" else _minus
        return _together(search, queries.tolist())

    def match_text(self, words: str, k: int, condition: Condition | None = None) -> list[Hit]:
        if not any(map(str.isalnum, words)):
            return []

        def ask(limit: int) -> list[Any]:
            found: list[Any] = self._rows.query.bm25(
                words,
                query_properties=["content"],
                limit=limit,
                filters=where,
                return_metadata=MetadataQuery(score=True),
                return_properties=HIT,
            ).objects
            return found

        with self._errors:
            where = None if condition is None else translate(condition)
            return self._best(ask, k, lambda one: float(one.metadata.score))

    def _best(self, ask: Callable[[int], list[Any]], k: int, score: Callable[[Any], float]) -> list[Hit]:
        """The ``k`` best of what Weaviate finds; of equal ones those that were written first.

        One more is asked for, and more while the last of them is as good as the last that is wanted.
        """
        limit = min(k + 1, MOST)
        while True:
            found = sorted(((-score(one), _number(one), one) for one in ask(limit)), key=lambda each: each[:2])
            is_all = len(found) < limit
            if is_all or limit == MOST or found[k - 1][0] < found[-1][0]:
                break
            limit = min(2 * limit, MOST)
        if k > MOST and not is_all:
            raise Unsupported(f"{self.address} finds up to {MOST:,} rows in a search; got k={k:,}.")
        return [
            Hit(name_of(one), -negated, _text(one.properties.get("content")), metadata_of(one))
            for negated, _, one in found[:k]
        ]

    def _few(self, where: FilterReturn | None) -> FilterReturn:
        """A filter with which Weaviate compares every row that meets it: that it does for few of them only.

        Raises:
            Unsupported: more meet it. It is found by a count, which is cheapest without a filter, before any search.
        """
        n, most = self._reader.count(where), getattr(index_of(self._config()), "flat_search_cutoff", 0)
        if n >= most:
            raise Unsupported(
                f"Weaviate compares every vector where a filter leaves less than {most:,} (flatSearchCutoff); in "
                f"{self.address} there are {n:,}. Search at a recall below 1, with a narrower filter, or after setting "
                "the collection's flatSearchCutoff higher."
            )
        return THERE if where is None else where

    # What the collection knows of itself

    def note(self, name: str) -> bytes | None:
        with self._errors:
            return self._notes.read(name)

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        with self._errors:
            self._notes.keep(name, value, replace=replace)

    def figures(self) -> Figures:
        with self._errors:
            truncated = self._reader.count(Filter.by_property("truncated").equal(True))
            return Figures("hnsw", self._reader.count(None), None, truncated)

    def problems(self) -> list[str]:
        with self._errors:
            found = problems(self._config(), self._record)
            one = self._reader.query(limit=1)
            length = len(one[0].vector.get(VECTOR, ())) if one else self.space.dimension
            if length != self.space.dimension:
                found.append(f"Vectors have {length} numbers, not {self.space.dimension}; something else wrote them.")
            return found

    def unsealed(self) -> int:
        with self._errors:
            return self._reader.count(Filter.by_property("seal").is_none(True))

    def _config(self) -> Any:
        config = configuration(self._rows)
        if config is None:
            raise NotFound(f"The collection {self.address} is gone; something else deleted it.")
        return config

    def drop(self) -> None:
        with self._errors:
            self._notes.drop()
            self._client.collections.delete(self._name)
        self.close()

    def close(self) -> None:
        self._errors.is_closed = True
        self._client.close()


def _together(do: Callable[[S], T], parts: Sequence[S]) -> list[T]:
    """Do the same for each part, several at once: most of the time is the server's."""
    if len(parts) < 2:
        return [do(part) for part in parts]
    with ThreadPoolExecutor(min(_THREADS, len(parts))) as pool:
        return list(pool.map(do, parts))


def _parts(whole: Sequence[str]) -> list[list[str]]:
    return [list(whole[start : start + AT_ONCE]) for start in range(0, len(whole), AT_ONCE)]


def _minus(one: Any) -> float:
    return -float(one.metadata.distance)


def _minus_root(one: Any) -> float:
    return -math.sqrt(max(one.metadata.distance, 0.0))


def _number(one: Any) -> float:
    number = one.properties.get("seq")
    return math.inf if number is None else number


def _text(content: Any) -> str | None:
    return content if isinstance(content, str) else None
