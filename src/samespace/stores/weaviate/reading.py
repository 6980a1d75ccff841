"""Rows by their uuids, all rows in order, and how many: in as many queries as they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from weaviate.classes.query import Filter, Sort
from weaviate.collections.classes.filters import FilterReturn
from weaviate.exceptions import UnexpectedStatusCodeError

from samespace.errors import CollectionCorrupt
from samespace.stores.weaviate.failures import NOT_UNDERSTOOD, Failures, TooLarge, status_of
from samespace.stores.weaviate.rows import WHOLE

__all__ = ["AT_ONCE", "BEFORE_ALL", "MOST", "Reader", "configuration", "with_uuids"]

AT_ONCE = 1_000  # ids of a filter, rows of a page
MOST = 10_000  # results of a query, unless the server's QUERY_MAXIMUM_RESULTS says otherwise
BEFORE_ALL = -(2**53)  # less than any sequence number of ours

_SEQ = Filter.by_property("seq")


class Reader:
    """Reads whole objects of a collection. A page whose rows are too large for one answer is asked for in parts."""

    def __init__(self, rows: Any, errors: Failures) -> None:
        self._rows = rows
        self._errors = errors

    def count(self, where: FilterReturn | None) -> int:
        return self._rows.aggregate.over_all(total_count=True, filters=where).total_count or 0

    def newest(self, after: int) -> int | None:
        """The greatest sequence number beyond ``after``; None if no row has one. Quick where few have."""
        with self._errors:
            found = self._rows.query.fetch_objects(
                filters=_SEQ.greater_than(after),
                sort=Sort.by_property("seq", ascending=False),
                limit=1,
                return_properties=["seq"],
            ).objects
            return found[0].properties["seq"] if found else None

    def query(self, **asked: Any) -> list[Any]:
        with self._errors:
            found: list[Any] = self._rows.query.fetch_objects(
                include_vector=True, return_properties=WHOLE, **asked
            ).objects
            return found

    def fetch(self, uuids: list[str]) -> list[Any]:
        """The objects of these uuids that are there."""
        try:
            return self.query(filters=with_uuids(uuids), limit=len(uuids))
        except TooLarge:
            if len(uuids) == 1:
                raise
            half = len(uuids) // 2
            return self.fetch(uuids[:half]) + self.fetch(uuids[half:])

    def numbered(self, where: FilterReturn | None, after: int) -> Iterator[list[Any]]:
        """Pages of the objects with sequence numbers beyond ``after``, in their order.

        What is rewritten meanwhile goes to the end, which would never come: pages go to what is the end now.
        """
        end, size = self.newest(after), AT_ONCE
        if end is None:
            return
        also = [_SEQ.less_or_equal(end), *([] if where is None else [where])]
        while after < end:
            later = Filter.all_of([_SEQ.greater_than(after), *also])
            try:
                page = self.query(filters=later, sort=Sort.by_property("seq"), limit=size)
            except TooLarge:
                if size == 1:
                    raise
                size //= 2
                continue
            if not page:
                return
            if len(page) == size:  # two writers may have taken one number; its rows come together
                last = page[-1].properties["seq"]
                page = [one for one in page if one.properties["seq"] < last] or self.query(
                    filters=Filter.all_of([_SEQ.equal(last), *also]), limit=MOST
                )
            after = page[-1].properties["seq"]
            yield page

    def unnumbered(self, after: UUID) -> Iterator[list[Any]]:
        """Pages of the objects without, which something else wrote; Weaviate has no way to them but through all."""
        left, size = self.count(_SEQ.is_none(True)), AT_ONCE
        while left > 0:
            try:
                page = self.query(after=after, limit=size)
            except TooLarge:
                if size == 1:
                    raise
                size //= 2
                continue
            if not page:
                return
            after = page[-1].uuid
            found = [one for one in page if one.properties.get("seq") is None]
            left -= len(found)
            if found:
                yield found


def configuration(rows: Any) -> Any:
    """The configuration of a collection, as the client gives it; None if there is no collection.

    Raises:
        CollectionCorrupt: the client does not understand it.
    """
    try:
        return rows.config.get()
    except UnexpectedStatusCodeError as error:
        if status_of(error) == 404:
            return None
        raise
    except NOT_UNDERSTOOD as error:
        raise CollectionCorrupt(
            f"The configuration of {rows.name!r} is none that samespace made ({error!r}). Choose another name."
        ) from error


def with_uuids(uuids: Sequence[str]) -> FilterReturn:
    """The objects of these uuids, of which there is at least one."""
    return Filter.by_id().contains_any(list(uuids))
