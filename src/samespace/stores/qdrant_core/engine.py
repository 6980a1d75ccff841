"""The few things that a store of rows asks of a Qdrant, in values that depend on no client."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from samespace.vectors import Matrix

__all__ = ["VECTOR", "Clock", "Dialect", "Engine", "Kind", "Point", "PointId", "State"]

VECTOR = "embedding"  # the name of our vectors; others may stand beside them

PointId = str | int
Kind = Literal["integer", "float", "keyword", "bool"]


class Point(NamedTuple):
    """A point as an engine gives it.

    Attributes:
        id: a number, or a UUID as text.
        vector: of the name :data:`VECTOR`; None if it has none, or none was asked for.
        score: of a search, higher is better; of :meth:`Engine.ordered`, the sequence number.
    """

    id: PointId
    payload: Mapping[str, Any]
    vector: Sequence[float] | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What an engine says of its collection.

    Attributes:
        dimension: of the vectors of the name :data:`VECTOR`; None if there is no such name.
        distance: ``"Dot"``, ``"Euclid"``, …
        exact: searches compare with every vector, since there is no graph or none is made.
        indexed: vectors in the graph.
        schema: the payload indexes, the name of the kind by the path.
        size: bytes, where the engine says.
        complaint: what is wrong, in the engine's words.
    """

    dimension: int | None
    distance: str
    exact: bool
    indexed: int
    schema: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    complaint: str = ""


class Dialect(Protocol):
    """Makes an engine's conditions and filters."""

    def match(self, path: str, value: str | int | bool) -> Any:
        """The value, or an element, is this."""

    def match_any(self, path: str, values: Sequence[str] | Sequence[int]) -> Any:
        """The value, or an element, is one of these, which are all texts or all whole numbers."""

    def range(self, path: str, **bounds: float) -> Any:
        """The value, or an element, is a number between ``gt``, ``gte``, ``lt`` and ``lte``."""

    def is_null(self, path: str) -> Any:
        """The value, or an element, is null."""

    def is_empty(self, path: str) -> Any:
        """There is no value, or it is null, or a list without elements."""

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """All of the first, one of the second if there are any, none of the third."""


class Clock:
    """Numbers that grow: microseconds, and never less than what was seen, though a clock be set back."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def see(self, number: int) -> None:
        """Begin beyond this one."""
        with self._lock:
            self._last = max(self._last, number)

    def take(self, count: int) -> int:
        """The first of ``count`` numbers that are given to nobody else."""
        with self._lock:
            first = max(self._last + 1, time.time_ns() // 1000)
            self._last = first + count - 1
            return first


class Engine(ABC):
    """One collection of points. Raises errors of :mod:`samespace.errors` only.

    Attributes:
        clock: gives the rows their numbers.
        shared: other processes may write too, so that the clock must look at what is there.
        wants_indexes: filters are quicker, and searches under filters better, with payload indexes.
        words: makes filters.
        batch_bytes: of vectors and payloads that one request may carry.
    """

    clock: Clock
    shared: bool
    wants_indexes: bool
    words: Dialect
    batch_bytes: int = 8 << 20

    @abstractmethod
    def upsert(
        self, ids: Sequence[str], vectors: Matrix | None, payloads: Sequence[dict[str, Any]], *, insert: bool = False
    ) -> None:
        """Write points, durably. With ``insert``, those that are there stay as they are."""

    @abstractmethod
    def retrieve(self, ids: Sequence[PointId], *, payload: bool | list[str], vectors: bool = False) -> list[Point]:
        """The points of these ids, in any order; those that are not there are left out."""

    @abstractmethod
    def ordered(self, filter: Any, start: int | None, limit: int, *, last: bool = False) -> list[Point]:  # noqa: A002 - Qdrant's word
        """Ids by sequence number, from ``start`` on, or from the last one back, without payloads."""

    @abstractmethod
    def scroll(self, filter: Any, start: PointId | None, limit: int) -> list[Point]:  # noqa: A002
        """Whole points by id, from this id on."""

    @abstractmethod
    def query(self, vectors: Matrix, limit: int, filter: Any, effort: int | None) -> list[list[Point]]:  # noqa: A002
        """The nearest points of each vector, with payloads."""

    @abstractmethod
    def count(self, filter: Any) -> int:  # noqa: A002
        """How many points meet a filter."""

    @abstractmethod
    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points, of which there is at least one."""

    @abstractmethod
    def delete_matching(self, filter: Any) -> None:  # noqa: A002
        """Delete the points that meet a filter."""

    @abstractmethod
    def index(self, path: str, kind: Kind) -> None:
        """Make a payload index."""

    @abstractmethod
    def state(self) -> State:
        """What the collection is."""

    @abstractmethod
    def build(self, exact: bool) -> None:
        """Make the graph, or drop it."""

    def compact(self) -> None:  # noqa: B027 - a server does it by itself
        """Give back the space of deleted points."""

    @abstractmethod
    def drop(self) -> None:
        """Delete the collection, and close."""

    @abstractmethod
    def close(self) -> None:
        """Close; what comes afterwards raises ``CollectionClosed``."""
