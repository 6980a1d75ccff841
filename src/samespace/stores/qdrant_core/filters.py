"""Conditions in Qdrant's words, where it has words that mean the same.

Qdrant matches whole numbers, texts and booleans exactly, and compares numbers as float64. So a number that may be
written as 1 or 1.0 is found by a range from 1 to 1; and around whole numbers that float64 does not tell apart, from
2**53 on, those in between are listed. Stored numbers help: from 2**53 to 2**63 they are whole numbers, never floats
(see :mod:`~samespace.stores.qdrant_core.points`).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from typing import Any

from samespace.errors import Unsupported
from samespace.stores.qdrant_core.engine import Dialect, Kind
from samespace.stores.qdrant_core.points import EMPTY, survives
from samespace.where import And, Compare, Condition, Exists, In, Leaf, Not, Or

__all__ = ["indexes", "path_of", "translated"]

_EXACT = 2**53  # below, whole numbers and float64 are the same
_WHOLE = 2**63  # below, Qdrant holds whole numbers
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def path_of(field: str) -> str:
    """Where a field of the metadata stands in a payload.

    Raises:
        Unsupported: Qdrant's paths cannot say it.
    """
    if _PLAIN.fullmatch(field):
        return f"metadata.{field}"
    if '"' in field or "\\" in field:
        raise Unsupported(
            f"Qdrant cannot filter by the field {field!r}: a path in a payload cannot name it. Rename the field."
        )
    return f'metadata."{field}"'


def translated(condition: Condition, words: Dialect) -> Any:
    """The condition in an engine's words.

    Raises:
        Unsupported: Qdrant has none for a part of it.
    """
    match condition:
        case And():
            return words.filter(must=[translated(part, words) for part in condition.conditions])
        case Or():
            return words.filter(should=[translated(part, words) for part in condition.conditions])
        case Not():
            return words.filter(must_not=[translated(condition.condition, words)])
        case Exists():
            path = path_of(condition.field)
            there = words.filter(must_not=[words.is_empty(path)])
            return words.filter(should=[there, words.is_null(path), words.match(EMPTY, condition.field)])
        case In():
            return _either(words, list(_members(condition, words)))
        case Compare():
            return _either(words, list(_compared(condition, words)))
    raise Unsupported(f"Qdrant has no word for {type(condition).__name__}.")


def indexes(condition: Condition) -> dict[str, Kind]:
    """The payload indexes that the condition profits from. A path has one, so the first kind counts."""
    wanted: dict[str, Kind] = {}
    for leaf in condition.leaves():
        kind = _kind_of(leaf)
        if kind is not None:
            wanted.setdefault(path_of(leaf.field), kind)
    return wanted


def _kind_of(leaf: Leaf) -> Kind | None:
    values = leaf.values if isinstance(leaf, In) else (leaf.value,) if isinstance(leaf, Compare) else ()
    for value in values:
        if isinstance(value, bool):
            return "bool"
        if isinstance(value, str):
            return "keyword"
        if value is not None:
            return "float"  # an index of integers would not find 1.5
    return None


def _either(words: Dialect, parts: list[Any]) -> Any:
    return words.filter(should=parts) if parts else _nothing(words)


def _nothing(words: Dialect) -> Any:
    """What no point meets; an empty list of alternatives would be met by all."""
    return words.filter(must=[words.is_empty(EMPTY)], must_not=[words.is_empty(EMPTY)])


def _members(leaf: In, words: Dialect) -> Iterator[Any]:
    path = path_of(leaf.field)
    texts = [value for value in leaf.values if isinstance(value, str)]
    if texts:
        yield words.match_any(path, texts)
    for value in leaf.values:
        if not isinstance(value, str):
            yield from _compared(Compare(leaf.field, "$eq", value), words)


def _compared(leaf: Compare, words: Dialect) -> Iterator[Any]:
    """Conditions of which one must hold."""
    path, value = path_of(leaf.field), leaf.value
    if value is None:
        yield words.is_null(path)
    elif isinstance(value, bool):
        yield words.match(path, bool(value))
    elif isinstance(value, str):
        if leaf.operator != "$eq":
            raise Unsupported(
                f"Qdrant does not order texts, so {leaf.operator} on the field {leaf.field!r} with {value!r} is not "
                "possible there. Keep a number (a date as a timestamp), or use $in."
            )
        yield words.match(path, str(value))
    elif leaf.operator == "$eq":
        yield from _equal(leaf.field, path, value, words)
    else:
        yield from _beyond(path, leaf.operator, value, words)


def _equal(field: str, path: str, value: float, words: Dialect) -> Iterator[Any]:
    if isinstance(value, float) and not survives(value):
        raise Unsupported(
            f"Qdrant does not keep the last digit of {value!r}, so nothing can equal it in the field {field!r}. Use a "
            "range ($gte, $lte)."
        )
    if abs(value) < _EXACT:
        yield words.range(path, gte=float(value), lte=float(value))
    elif -_WHOLE <= value < _WHOLE:
        yield words.match(path, int(value))
    elif abs(near := _float(value)) > _WHOLE and near == value and math.isfinite(near):
        yield words.range(path, gte=near, lte=near)


def _beyond(path: str, operator: str, value: float, words: Dialect) -> Iterator[Any]:
    """Numbers above or below one."""
    above, itself = operator in ("$gt", "$gte"), operator in ("$gte", "$lte")
    if abs(value) < _EXACT:
        yield words.range(path, **{operator[1:]: float(value)})
    elif -_WHOLE <= value < _WHOLE:
        # Everything up to the next float is listed, since float64 may round it to either side; beyond, all agree.
        step = 1 if above else -1
        first = int(value) + (0 if itself else step)
        far = math.nextafter(float(first), math.inf if above else -math.inf)
        stop = max(min(int(far), _WHOLE), -_WHOLE - 1)
        if listed := list(range(first, stop, step)):
            yield words.match_any(path, listed)
        yield words.range(path, **{"gte" if above else "lte": far})
    else:
        near = _float(value)
        if math.isinf(near):
            # There is a number beyond any other, but infinity is no JSON.
            if (near > 0) != above:
                yield words.range(path, **{"gte" if above else "lte": math.copysign(sys.float_info.max, near)})
            return
        closed = (near > value) == above if near != value else itself
        # No stored number is 2**63, but the largest whole ones are rounded to it.
        if near == _WHOLE:
            closed = not above
        yield words.range(path, **{("gt" if above else "lt") + ("e" if closed else ""): near})


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
