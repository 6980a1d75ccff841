"""Metadata fields as columns, so that a filter is arithmetic on arrays and not a walk over JSON.

A field is read the first time that a filter names it, and from then on only where rows were added. Its values
are kept once each (dictionary encoding): a leaf of a filter is tested on the distinct values in plain Python,
which is what keeps the meaning of ``where`` in one place, and spread over the rows by one array look-up.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.where import Condition, Leaf

__all__ = ["Columns"]

_MISSING = 0  # the code of a row that has no such field
_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]*")  # what SQLite's JSON paths can quote


class _Column:
    def __init__(self, field: str) -> None:
        self.field = field
        self.codes: NDArray[np.int32] = np.empty(0, np.int32)
        self.values: list[Any] = [None]
        self.lookup: dict[str | None, int] = {None: _MISSING}

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
        passes = np.fromiter(
            (leaf.test(value, code != _MISSING) for code, value in enumerate(self.values)), np.bool_, len(self.values)
        )
        mask: NDArray[np.bool_] = passes[self.codes[:count]]
        return mask


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
