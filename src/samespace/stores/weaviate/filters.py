"""Metadata and filters over it, in what Weaviate's inverted index compares exactly: whole tokens, and their beginnings.

Weaviate's own properties have one type each, no null, and names of their own; JSON's do not. So a row's metadata is
indexed as tokens, in two properties of type ``text[]`` that Weaviate does not split (tokenization ``field``):

``fields`` has a token for each key and each of its values, which are the elements of a list. They are JSON, so that
other programs read and ask them too: ``{"year": 2024, "tags": ["new"]}`` has ``"year"``, ``"year":2024``, ``"tags"``
and ``"tags":"new"``. Numbers that are equal have one token. What is long is replaced by its SHA-256.

``ranges`` has a token for each number and text, in hexadecimal digits whose order is theirs. One that is greater has
the same digits up to some place, and there a greater one, so a range is a list of beginnings, which ``Like`` finds:
from ``5a`` on are ``5a*``, ``5b*`` … ``5f*`` and ``6*`` … ``f*``. Unlike two bounds of Weaviate's on one property,
that keeps to the key.

``Not`` is the complement in all document numbers that Weaviate ever gave, deleted ones included, which its counts then
count (https://github.com/weaviate/weaviate/issues/10260); a filter that has one says too that the row is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from typing import Any

from weaviate.classes.query import Filter
from weaviate.collections.classes.filters import FilterReturn

from samespace.errors import Unsupported
from samespace.where import And, Compare, Condition, Exists, In, Not, Or

__all__ = ["FIELDS", "RANGES", "THERE", "tokens", "translate"]

FIELDS, RANGES = "fields", "ranges"

THERE: FilterReturn = Filter.by_property("seq").is_none(False) | Filter.by_property("seq").is_none(True)
"""Every row that is there."""

_NOTHING = "nothing"  # no token of ours: they begin with a quotation mark
_LONGEST = 256  # characters of a key or value that stands in a token as it is
_COMPARED = 64  # bytes of a text that have digits
_DIGITS = "0123456789abcdef"


def tokens(metadata: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """A row's ``fields`` and ``ranges``."""
    fields: dict[str, None] = {}
    ranges: dict[str, None] = {}
    for field, value in metadata.items():
        key = _key(field)
        fields[key] = None
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, list | dict):
                continue
            fields[f"{key}:{_value(one)}"] = None
            if isinstance(one, str):
                ranges[_place(field, one) + _digits_of_text(one)] = None
            elif isinstance(one, int | float) and not isinstance(one, bool):
                ranges[_place(field, one) + _digits_of_number(one)[0]] = None
    return list(fields), list(ranges)


def translate(condition: Condition) -> FilterReturn:
    """The filter that means the same.

    Raises:
        Unsupported: a bound of a range has more digits than rows have; the message names the field.
    """
    found = _translate(condition)
    return Filter.all_of([THERE, found]) if _negates(condition) else found


def _negates(condition: Condition) -> bool:
    match condition:
        case Not():
            return True
        case And() | Or():
            return any(map(_negates, condition.conditions))
    return False


def _translate(condition: Condition) -> FilterReturn:
    match condition:
        case And():
            return Filter.all_of([_translate(part) for part in condition.conditions])
        case Or():
            return Filter.any_of([_translate(part) for part in condition.conditions])
        case Not():
            return Filter.not_(_translate(condition.condition))
        case Exists():
            return _any_token([_key(condition.field)])
        case Compare(field=field, operator="$eq", value=value):
            return _any_token([f"{_key(field)}:{_value(value)}"])
        case In():
            return _any_token([f"{_key(condition.field)}:{_value(value)}" for value in condition.values])
        case Compare():
            return _range(condition)
    raise TypeError(f"{type(condition).__name__} is no condition of samespace.where.")


def _any_token(wanted: list[str]) -> FilterReturn:
    return Filter.by_property(FIELDS).contains_any(wanted or [_NOTHING])


def _range(leaf: Compare) -> FilterReturn:
    """The rows with a token whose digits stand on the asked side of the bound's."""
    bound, is_whole = _bound(leaf)
    if not is_whole:
        raise Unsupported(
            f"where.{leaf.field}.{leaf.operator}: Weaviate's index of samespace orders texts by their first "
            f"{_COMPARED} bytes, and numbers as float64; the bound has more. Use a shorter text, or a number that "
            "float64 holds."
        )
    place = _place(leaf.field, leaf.value)
    is_upward = leaf.operator in ("$gt", "$gte")
    beginnings = [
        f"{place}{bound[:at]}{digit}*"
        for at, own in enumerate(bound)
        for digit in _DIGITS
        if (digit > own if is_upward else digit < own)
    ]
    ends = []
    if is_upward:
        beginnings.append(f"{place}{bound}{'*' if leaf.operator == '$gte' else '?*'}")
    else:  # what ends before the bound does is less
        ends = [place + bound[:at] for at in range(len(bound) + (leaf.operator == "$lte"))]
    filters = [Filter.by_property(RANGES).like(beginning) for beginning in beginnings]
    if ends:
        filters.append(Filter.by_property(RANGES).contains_any(ends))
    return Filter.any_of(filters) if filters else _any_token([])


def _bound(leaf: Compare) -> tuple[str, bool]:
    """The digits of a range's bound, and whether they are all that it has."""
    if isinstance(leaf.value, str):
        return _digits_of_text(leaf.value), len(_utf8(leaf.value)) < _COMPARED
    assert isinstance(leaf.value, int | float)  # noqa: S101 - where.py lets nothing else be ordered
    return _digits_of_number(leaf.value)


def _key(field: str) -> str:
    return _short(json.dumps(field))


def _value(value: Any) -> str:
    """A scalar as JSON: one text for all numbers that are equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return _short(int.__repr__(value))
        except ValueError:  # Python writes no number of more than some thousand digits
            return _short(hex(value))
    return _short(json.dumps(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _place(field: str, value: Any) -> str:
    """What stands before the digits: the key, without what ``Like`` reads as a wildcard, and the kind."""
    key = _utf8(field).hex()
    if len(key) > _LONGEST:
        key = f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"
    return f"{key}>{'t' if isinstance(value, str) else 'n'}"


def _digits_of_text(text: str) -> str:
    # The order of UTF-8's bytes is that of code points.
    return _utf8(text)[:_COMPARED].hex()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digits_of_number(value: float) -> tuple[str, bool]:
    """The digits of a number without the zeros at their end, and whether float64 holds the number.

    They are the bits of the greatest float64 that is not greater, turned so that they have its order, and a last
    digit that tells whether something is left: so that an integer of any size stands on the right side of every float.
    """
    try:
        below = float(value)
    except OverflowError:
        below = math.inf if value > 0 else -math.inf
    if below > value:
        below = math.nextafter(below, -math.inf)
    (bits,) = struct.unpack(">Q", struct.pack(">d", below + 0.0))  # -0.0 + 0.0 is 0.0
    bits ^= 2**64 - 1 if bits >> 63 else 1 << 63
    is_whole = below == value
    return f"{bits:016x}{'0' if is_whole else '1'}".rstrip("0"), is_whole
