"""Metadata fields as columns, so that a filter is arithmetic on arrays and not a walk over JSON.

A field is read the first time that a filter names it, and from then on only where rows were added. Its values
are kept once each (dictionary encoding): a leaf of a filter is tested on the distinct values in plain Python,
which is what keeps the meaning of ``where`` in one place, and spread over the rows by one array look-up.
"""

from __future__ import annotations

import json
import re
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.where import Compare, Condition, Leaf

__all__ = ["Columns"]

_MISSING = 0  # the code of a row that has no such field
_MANY = 256  # distinct values from which a comparison is looked up in sorted values, and not tested on each
_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]*")  # what SQLite's JSON paths can quote


_ORDERED: dict[type, type] = {int: float, float: float, str: str}  # kinds of values, and who stands for each


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The distinct values of one kind in order, their codes, and the codes of lists, which may hold any kind."""

    count: int
    values: list[Any]
    codes: NDArray[np.int64]
    lists: list[int]

    @classmethod
    def of(cls, values: list[Any], kind: type) -> _Sorted:
        chosen = [code for code, value in enumerate(values) if _ORDERED.get(type(value)) is kind]
        chosen.sort(key=values.__getitem__)
        lists = [code for code, value in enumerate(values) if isinstance(value, list)]
        return cls(len(values), [values[code] for code in chosen], np.array(chosen, np.int64), lists)


class _Column:
    def __init__(self, field: str) -> None:
        self.field = field
        self.codes: NDArray[np.int32] = np.empty(0, np.int32)
        self.values: list[Any] = [None]
        self.lookup: dict[str | None, int] = {None: _MISSING}
        self._sorted: dict[type, _Sorted] = {}

    def extend(self, connection: sqlite3.Connection, first_slot: int, count: int) -> None:
        """Read the rows from where the column ends to ``count`` positions."""
        start = len(self.codes)
        if start >= count:
            return
        codes = np.full(count - start, _MISSING, np.int32)
        span = (first_slot + start, first_slot + count)
        if _PLAIN_FIELD.fullmatch(self.field):
            rows = connection.execute(
                "SELECT slot, metadata -> ? FROM rows WHERE slot >= ? AND slot < ?", (f'$."{self.field}"', *span)
            ).fetchall()
        else:
            rows = [
                (slot, json.dumps(fields[self.field]) if self.field in fields else None)
                for slot, fields in (
                    (slot, json.loads(metadata))
                    for slot, metadata in connection.execute(
                        "SELECT slot, metadata FROM rows WHERE slot >= ? AND slot < ?", span
                    )
                )
            ]
        if rows:
            slots = np.fromiter((slot for slot, _ in rows), np.int64, len(rows))
            codes[slots - span[0]] = [self._code(text) for _, text in rows]
        self.codes = np.concatenate([self.codes, codes])

    def _code(self, text: str | None) -> int:
        code = self.lookup.get(text)
        if code is None:
            code = self.lookup[text] = len(self.values)
            self.values.append(json.loads(text))  # type: ignore[arg-type]  # None always has a code
        return code

    def mask(self, leaf: Leaf, count: int) -> NDArray[np.bool_]:
        if isinstance(leaf, Compare) and type(leaf.value) in _ORDERED and len(self.values) > _MANY:
            passes = self._compare(leaf)
        else:
            passes = self._test(leaf, range(len(self.values)))
        mask: NDArray[np.bool_] = passes[self.codes[:count]]
        return mask

    def _test(self, leaf: Leaf, codes: Iterable[int]) -> NDArray[np.bool_]:
        passes = np.zeros(len(self.values), np.bool_)
        passes[[code for code in codes if leaf.test(self.values[code], code != _MISSING)]] = True
        return passes

    def _compare(self, leaf: Compare) -> NDArray[np.bool_]:
        """What compares so with one value is a stretch of the sorted values, and perhaps some lists."""
        kind = _ORDERED[type(leaf.value)]
        known = self._sorted.get(kind)
        if known is None or known.count != len(self.values):
            known = self._sorted[kind] = _Sorted.of(self.values, kind)
        passes = self._test(leaf, known.lists)
        first, last = bisect_left(known.values, leaf.value), bisect_right(known.values, leaf.value)
        stretch = {
            "$eq": slice(first, last),
            "$lt": slice(first),
            "$lte": slice(last),
            "$gt": slice(last, None),
            "$gte": slice(first, None),
        }[leaf.operator]
        passes[known.codes[stretch]] = True
        return passes


class Columns:
    """The fields of one generation of slots that filters have named so far. Not thread-safe by itself."""

    def __init__(self, first_slot: int) -> None:
        self.first_slot = first_slot
        self._columns: dict[str, _Column] = {}

    def mask(self, condition: Condition, connection: sqlite3.Connection, count: int) -> NDArray[np.bool_]:
        """Where the condition holds, bool of shape (count,). Deleted rows may be either."""

        def leaf_mask(leaf: Leaf) -> NDArray[np.bool_]:
            column = self._columns.setdefault(leaf.field, _Column(leaf.field))
            column.extend(connection, self.first_slot, count)
            return column.mask(leaf, count)

        return condition.evaluate(leaf_mask)
