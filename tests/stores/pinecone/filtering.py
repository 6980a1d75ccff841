"""The filter language of Pinecone, as its guide "Filter by metadata" has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Mapping[str, Any]], bool]

_RANGES: dict[str, Callable[[float, float], bool]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}
_MOST_VALUES = 10_000


class Refused(Exception):
    """A request that Pinecone answers with an error."""

    def __init__(self, message: str, status: int = 400, code: int = 3) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def compiled(condition: Any, missing: bool) -> Test:
    """A function that tells whether metadata matches.

    Args:
        condition: the filter, as JSON.
        missing: ``$ne`` and ``$nin`` match records without the field. The guide does not say, and Pinecone has done
            both in its time.
    """
    if not isinstance(condition, dict) or not condition:
        raise Refused(f"Invalid filter: expected an object with conditions, got {condition!r}")
    tests = [_part(key, value, missing) for key, value in condition.items()]
    return tests[0] if len(tests) == 1 else lambda fields: all(test(fields) for test in tests)


def _part(key: str, value: Any, missing: bool) -> Test:
    if key in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise Refused(f"{key} requires a non-empty list of conditions")
        tests = [compiled(each, missing) for each in value]
        if key == "$and":
            return lambda fields: all(test(fields) for test in tests)
        return lambda fields: any(test(fields) for test in tests)
    if key.startswith("$"):
        raise Refused(f"{key} is not a valid operator")
    if not isinstance(value, dict):
        return _leaf(key, "$eq", value, missing)
    if len(value) != 1:  # the guide has no example of several
        raise Refused(f"Invalid filter: {key} must have one operator, got {list(value)}")
    ((word, operand),) = value.items()
    return _leaf(key, word, operand, missing)


def _leaf(key: str, word: str, operand: Any, missing: bool) -> Test:
    if word == "$exists":
        if not isinstance(operand, bool):
            raise Refused("$exists requires a boolean")
        return lambda fields: (key in fields) == operand
    if word in _RANGES:
        if not _is_number(operand):
            raise Refused(f"the {word} operator must be followed by a number, got {operand!r} instead")
        holds = _RANGES[word]
        return lambda fields: _is_number(fields.get(key)) and holds(fields[key], operand)
    if word in ("$eq", "$ne"):
        if not isinstance(operand, str | bool | int | float):
            raise Refused(f"the {word} operator must be followed by a string, boolean or a number, got {operand!r}")
        members = {(_kind(operand), operand)}
    elif word in ("$in", "$nin"):
        if not isinstance(operand, list) or not all(isinstance(each, str) or _is_number(each) for each in operand):
            raise Refused(f"the {word} operator must be followed by a list of strings or a list of numbers")
        if len(operand) > _MOST_VALUES:
            raise Refused(f"the {word} operator takes at most {_MOST_VALUES} values")
        members = {(_kind(each), each) for each in operand}
    else:
        raise Refused(f"{word} is not a valid operator")

    def has(fields: Mapping[str, Any]) -> bool:
        value = fields[key]
        return any((_kind(each), each) in members for each in (value if isinstance(value, list) else [value]))

    if word in ("$eq", "$in"):
        return lambda fields: key in fields and has(fields)
    return lambda fields: not has(fields) if key in fields else missing


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "number" if _is_number(value) else type(value).__name__
