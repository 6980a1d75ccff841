"""All rows in order of insertion, from an engine that sorts nothing and pages in no order.

Each row has a growing number, and a filter may ask for a window of numbers. A window whose records come in one page is
known whole and can be sorted. One that has more is cut: the page is a sample of it, and its numbers are where to cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from pinecone.models.vectors.vector import ScoredVector, Vector

from samespace.stores.pinecone.fields import SEQ
from samespace.stores.pinecone.filters import Filter
from samespace.stores.pinecone.namespace import Namespace, between, exists

__all__ = ["LAST", "foreign", "number", "ordered"]

LAST = 2**52
"""Microseconds, in the year 2112: what is beyond is not a number that samespace gave."""

_FOREIGN: Filter = {"$or": [exists(SEQ, False), {SEQ: {"$gt": LAST}}, {SEQ: {"$lte": 0}}]}


def ordered(
    records: Namespace, condition: Filter | None, start: int, end: int, expected: int
) -> Iterator[list[Vector]]:
    """Records that have numbers above ``start`` and up to ``end``, in their order, page by page.

    Args:
        records: the namespace.
        condition: a filter.
        start: number after which to begin.
        end: number at which to end.
        expected: records in all, roughly; decides how finely a window is cut.
    """
    cuts = [end]  # the ends of windows, the next one last
    step = 1  # windows taken at once, where they turn out nearly empty
    while cuts:
        end = cuts[-step] if step < len(cuts) else cuts[0]
        window = between(start, end)
        whole = window if condition is None else {"$and": [window, condition]}
        page = records.page(whole)
        found = list(page.vectors.values())
        if page.pagination is not None and page.pagination.next is not None:
            inner = _cuts(found, start, end, max(1, len(found) * records.page_size // max(1, 2 * expected)))
            if inner:
                cuts = [each for each in cuts if each >= end] + inner
                step = 1
                continue
            found += _rest(records, whole, page.pagination.next)  # they all have one number
        while cuts and cuts[-1] <= end:
            cuts.pop()
        start = end
        step = 2 * step if len(found) < records.page_size // 4 else 1
        if found:
            yield sorted(found, key=lambda record: (number(record), record.id))


def foreign(records: Namespace, token: str | None) -> Iterator[tuple[list[Vector], str]]:
    """Records without a number of ours: something else wrote them. With the next page's token, empty at the end."""
    while True:
        page = records.page(_FOREIGN, token)
        token = None if page.pagination is None else page.pagination.next
        if page.vectors:
            yield list(page.vectors.values()), token or ""
        if token is None:
            return


def number(record: Vector | ScoredVector) -> int:
    """The number of a record; 0 if something else wrote it."""
    found = (record.metadata or {}).get(SEQ)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else 0


def _cuts(sample: list[Vector], start: int, end: int, every: int) -> list[int]:
    """Where to cut a window, the first cut last."""
    numbers = sorted({number(record) for record in sample})
    inside = [each for each in numbers if start < each < end]
    return (inside[every - 1 :: every] or inside[:1])[::-1]


def _rest(records: Namespace, condition: Filter, token: str | None) -> list[Vector]:
    found: list[Vector] = []
    while token is not None:
        page = records.page(condition, token)
        found += page.vectors.values()
        token = None if page.pagination is None else page.pagination.next
    return found
