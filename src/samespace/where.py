"""The filter language over metadata: parsed once into a small frozen tree, which any store can evaluate.

    {"year": {"$gte": 2024, "$lt": 2026}, "$or": [{"lang": "en"}, {"tags": {"$in": ["draft", "note"]}}]}

What a condition means:

- A field is a top-level key of the metadata, taken literally (``"a.b"`` is the key ``"a.b"``). Several keys
  in one mapping, and several operators on one field, must all hold. ``{"field": value}`` means ``$eq``.
- ``$eq`` and ``$in`` compare within a kind: null, boolean, number, string. So ``True`` is not 1 and ``"1"`` is
  not 1, but 1 equals 1.0; integers of any size compare exactly. None equals a null that is there.
- ``$gt $gte $lt $lte`` compare numbers with numbers, and strings with strings by code point.
- A field that is missing, or whose value is of another kind, does not match. An object never matches.
- A list matches if any of its elements does; what holds for its elements' elements does not count.
- ``$ne`` and ``$nin`` are the negations of ``$eq`` and ``$in``, so they match rows without the field.
- ``$exists`` asks whether the field is there, even as null. ``$not`` negates a condition or a field's
  operators, ``$and`` and ``$or`` join conditions.
- An empty mapping is refused: leave ``where`` out to match everything.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidFilter

__all__ = ["And", "Compare", "Condition", "Exists", "In", "Leaf", "Not", "Or", "parse"]

Bools = NDArray[np.bool_]
Scalar = str | int | float | bool | None
Kind = Literal["null", "boolean", "number", "string"]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_ON_FIELD = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not")
_ON_CONDITIONS = ("$and", "$or", "$not")
_WORDS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$and", "$or", "$not")

_MAX_DEPTH = 64  # far beyond what anybody writes, far below where Python's own stack ends


class Condition(ABC):
    """A node of the tree. Frozen, hashable, and equal to another that is written with the same parts."""

    __slots__ = ()

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields that the condition reads."""
        return frozenset(leaf.field for leaf in self.leaves())

    @abstractmethod
    def leaves(self) -> Iterator[Leaf]:
        """Go through the conditions on single fields, from left to right."""

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether a row with this metadata matches. Every other evaluation must agree with this one."""

    @abstractmethod
    def evaluate(self, leaf: Callable[[Leaf], Bools]) -> Bools:
        """Evaluate over many rows at once.

        Args:
            leaf: answers one leaf for all rows, bool of shape (n,).

        Returns:
            bool of shape (n,): the rows that match. May be an array that ``leaf`` returned.
        """


class Leaf(Condition):
    """A condition on one field."""

    __slots__ = ()
    field: str

    @abstractmethod
    def test(self, value: Any, present: bool = True) -> bool:
        """Tell whether a row matches whose field has this JSON ``value``; ``present``: it has the field."""

    def leaves(self) -> Iterator[Leaf]:
        yield self

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return self.test(metadata.get(self.field), self.field in metadata)

    def evaluate(self, leaf: Callable[[Leaf], Bools]) -> Bools:
        return leaf(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Compare(Leaf):
    """``$eq``, ``$gt``, ``$gte``, ``$lt`` or ``$lte`` with one value."""

    field: str
    operator: str
    value: Scalar
    kind: Kind | None = dataclasses.field(init=False, repr=False)  # compared too: Compare(…, 1) is not Compare(…, True)
    _holds: Callable[[Any, Any], bool] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _kind(self.value))
        object.__setattr__(self, "_holds", _COMPARISONS[self.operator])

    def test(self, value: Any, present: bool = True) -> bool:
        if not present:
            return False
        if isinstance(value, list | tuple):
            return any(_kind(one) == self.kind and self._holds(one, self.value) for one in value)
        return _kind(value) == self.kind and self._holds(value, self.value)


@dataclasses.dataclass(frozen=True, slots=True)
class In(Leaf):
    """``$in``: equal to any of some values."""

    field: str
    values: tuple[Scalar, ...] = dataclasses.field(compare=False)
    _members: frozenset[tuple[Kind | None, Scalar]] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_members", frozenset((_kind(value), value) for value in self.values))

    def test(self, value: Any, present: bool = True) -> bool:
        if not present:
            return False
        if isinstance(value, list | tuple):
            return any(self._has(one) for one in value)
        return self._has(value)

    def _has(self, value: Any) -> bool:
        kind = _kind(value)
        return kind is not None and (kind, value) in self._members


@dataclasses.dataclass(frozen=True, slots=True)
class Exists(Leaf):
    """``$exists: true``: the field is there, whatever its value."""

    field: str

    def test(self, value: Any, present: bool = True) -> bool:  # noqa: ARG002 - any value will do
        return present


@dataclasses.dataclass(frozen=True, slots=True)
class _Joined(Condition):
    conditions: tuple[Condition, ...]

    def leaves(self) -> Iterator[Leaf]:
        for condition in self.conditions:
            yield from condition.leaves()


class And(_Joined):
    """All of the conditions hold; there are two or more."""

    __slots__ = ()

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return all(condition.matches(metadata) for condition in self.conditions)

    def evaluate(self, leaf: Callable[[Leaf], Bools]) -> Bools:
        first, *others = self.conditions
        mask = first.evaluate(leaf)
        for condition in others:
            mask = mask & condition.evaluate(leaf)
        return mask


class Or(_Joined):
    """At least one of the conditions holds; there are two or more."""

    __slots__ = ()

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return any(condition.matches(metadata) for condition in self.conditions)

    def evaluate(self, leaf: Callable[[Leaf], Bools]) -> Bools:
        first, *others = self.conditions
        mask = first.evaluate(leaf)
        for condition in others:
            mask = mask | condition.evaluate(leaf)
        return mask


@dataclasses.dataclass(frozen=True, slots=True)
class Not(Condition):
    """The condition does not hold."""

    condition: Condition

    def leaves(self) -> Iterator[Leaf]:
        return self.condition.leaves()

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return not self.condition.matches(metadata)

    def evaluate(self, leaf: Callable[[Leaf], Bools]) -> Bools:
        return ~self.condition.evaluate(leaf)


def parse(where: Mapping[str, Any] | None) -> Condition | None:
    """Turn a ``where`` mapping into its tree; None stays None.

    Raises:
        InvalidFilter: the mapping is not in the dialect. The message begins with the place inside the tree,
            such as ``where.$and[1].year``.
    """
    return None if where is None else _conditions(where, "where", 1)


def _conditions(where: Any, path: str, depth: int) -> Condition:
    """Read a mapping of fields and joining words, all of which must hold."""
    if not isinstance(where, Mapping):
        raise InvalidFilter(f'{path}: expected a mapping such as {{"year": {{"$gte": 2024}}}}, got {_shown(where)}.')
    if not where:
        raise InvalidFilter(f"{path}: an empty mapping has no condition. To match everything, leave it out.")
    if depth > _MAX_DEPTH:
        raise InvalidFilter(f"{path[:60]}…: nested more than {_MAX_DEPTH} deep. Flatten it, or use $in.")
    parts: list[Condition] = []
    for key, value in where.items():
        here = f"{path}.{key}"
        if not isinstance(key, str):
            raise InvalidFilter(f"{path}: expected field names that are text, got the key {_shown(key)}.")
        if key in ("$and", "$or"):
            parts.append(_joined(key, value, here, depth))
        elif key == "$not":
            parts.append(Not(_conditions(value, here, depth + 1)))
        elif key in _WORDS:
            raise InvalidFilter(f'{here}: {key} compares a field; write {{"field": {{"{key}": …}}}}.')
        elif key.startswith("$"):
            raise InvalidFilter(_unknown(here, key, _ON_CONDITIONS))
        elif isinstance(value, Mapping):
            parts.append(_operators(key, value, here, depth + 1))
        else:
            parts.append(Compare(key, "$eq", _scalar(value, here)))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _joined(word: str, value: Any, path: str, depth: int) -> Condition:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidFilter(f"{path}: {word} takes a list of one or more conditions, got {_shown(value)}.")
    parts = tuple(_conditions(part, f"{path}[{at}]", depth + 1) for at, part in enumerate(value))
    if len(parts) == 1:
        return parts[0]
    return And(parts) if word == "$and" else Or(parts)


def _operators(name: str, operators: Any, path: str, depth: int) -> Condition:
    """Read a mapping of operators on the field ``name``, all of which must hold."""
    if not isinstance(operators, Mapping):
        raise InvalidFilter(
            f'{path}: $not takes operators such as {{"$gt": 3}}, got {_shown(operators)}. For a single value, use $ne.'
        )
    if not operators:
        raise InvalidFilter(f"{path}: expected at least one operator ({', '.join(_ON_FIELD)}), got none.")
    if depth > _MAX_DEPTH:
        raise InvalidFilter(f"{path[:60]}…: nested more than {_MAX_DEPTH} deep. Flatten it, or use $in.")
    parts = tuple(_operator(name, word, operand, path, depth) for word, operand in operators.items())
    return parts[0] if len(parts) == 1 else And(parts)


def _operator(name: str, word: Any, operand: Any, path: str, depth: int) -> Condition:
    here = f"{path}.{word}"
    match word:
        case "$eq":
            return Compare(name, word, _scalar(operand, here))
        case "$ne":
            return Not(Compare(name, "$eq", _scalar(operand, here)))
        case "$gt" | "$gte" | "$lt" | "$lte":
            bound = _scalar(operand, here)
            if _kind(bound) not in ("number", "string"):
                raise InvalidFilter(f"{here}: {word} takes a number or a string, got {_shown(operand)}.")
            return Compare(name, word, bound)
        case "$in" | "$nin":
            member = In(name, _scalars(operand, word, here))
            return member if word == "$in" else Not(member)
        case "$exists":
            if not isinstance(operand, bool | np.bool_):
                raise InvalidFilter(f"{here}: $exists takes true or false, got {_shown(operand)}.")
            return Exists(name) if operand else Not(Exists(name))
        case "$not":
            return Not(_operators(name, operand, here, depth + 1))
        case "$and" | "$or":
            raise InvalidFilter(
                f"{here}: {word} joins conditions and stands outside a field; "
                f'write {{"{word}": [{{"{name}": …}}, {{"{name}": …}}]}}.'
            )
    if isinstance(word, str) and not word.startswith("$") and f"${word}" not in _WORDS:
        raise InvalidFilter(
            f"{here}: a field is compared with operators ({', '.join(_ON_FIELD)}); {word!r} is none of them. "
            "A field is a top-level key; what is inside an object cannot be filtered."
        )
    raise InvalidFilter(_unknown(here, word, _ON_FIELD))


def _scalars(operand: Any, word: str, path: str) -> tuple[Scalar, ...]:
    # A set in Python has no order, but $in asks for none; a string is a sequence too, and never meant as one.
    if isinstance(operand, np.ndarray):
        operand = operand.tolist()
    if not isinstance(operand, list | tuple | AbstractSet):
        raise InvalidFilter(f"{path}: {word} takes a list of values, got {_shown(operand)}.")
    return tuple(_scalar(value, f"{path}[{at}]") for at, value in enumerate(operand))


def _scalar(value: Any, path: str) -> Scalar:
    """Read a value to compare with; a numpy scalar becomes Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        raise InvalidFilter(f"{path}: NaN equals nothing and has no order. Use $exists to find what is missing.")
    if _kind(value) is None:
        hint = " For any of several values, use $in." if isinstance(value, list | tuple | AbstractSet) else ""
        raise InvalidFilter(f"{path}: expected a string, number, boolean or null, got {_shown(value)}.{hint}")
    scalar: Scalar = value
    return scalar


# What json.loads makes, and so nearly every value that is ever tested.
_KINDS: Mapping[type, Kind] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _kind(value: Any) -> Kind | None:
    """Name the kind within which a value is compared; None for what is not a scalar."""
    kind = _KINDS.get(type(value))
    if kind is None:  # an enum, say
        kind = next((kind for base, kind in _KINDS.items() if isinstance(value, base)), None)
    return kind


def _unknown(path: str, word: Any, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(word), words, 1, cutoff=0.7)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"{path}: unknown word {word!r}.{meant} The words here are {', '.join(words)}."


def _shown(value: Any) -> str:
    """Show a value and its type, short enough for a message."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"
