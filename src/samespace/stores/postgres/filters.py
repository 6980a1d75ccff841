"""A condition as SQL over the column ``metadata``: what ``Condition.matches`` says, in PostgreSQL's words.

``$eq`` and ``$in`` are containment (``@>``), which the GIN index on the column answers. An order is a path of SQL/JSON.
Both compare numbers exactly, of any size, and text by code point. Every value goes as a parameter, or as JSON text
inside one; what a user typed is never part of a statement.

No part is ever NULL, so ``NOT`` negates as Python's ``not``: the column is not NULL, and a path in the lax mode gives
an empty result where a field is missing.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from samespace.errors import InvalidFilter
from samespace.where import And, Compare, Condition, Exists, In, Leaf, Not, Or

__all__ = ["as_sql", "number"]

# Above this, a double is a whole number, which numeric holds exactly; below, its shortest decimal has its place among
# the doubles and the whole numbers.
_WHOLE = 2.0**53

_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

# The lax mode looks into a list, one level deep, and would do so again for a list in it: hence the kind is asked.
_PATH = '${} ? (@.type() == "{}" && @ {} {})'


def as_sql(condition: Condition | None) -> tuple[str, list[Any]]:
    """A condition as a boolean expression with ``%s`` for its parameters, and these.

    Raises:
        InvalidFilter: a text in it is not valid Unicode.
    """
    if condition is None:
        return "true", []
    parameters: list[Any] = []
    return _node(condition, parameters), parameters


def number(value: float) -> str:
    """A number as decimal digits, so that ``jsonb`` keeps its value and, by its point, its type.

    ``jsonb`` drops an exponent: ``1e+20`` would come back as an integer.
    """
    if isinstance(value, int) or abs(value) < _WHOLE:
        return repr(value)
    return f"{Decimal(value):f}.0"


def _node(condition: Condition, parameters: list[Any]) -> str:
    match condition:
        case And(conditions=parts):
            return f"({' AND '.join(_node(part, parameters) for part in parts)})"
        case Or(conditions=parts):
            return f"({' OR '.join(_node(part, parameters) for part in parts)})"
        case Not(condition=part):
            return f"(NOT {_node(part, parameters)})"
        case Leaf():
            return _leaf(condition, parameters)
    raise TypeError(f"There is no condition {type(condition).__name__}.")


def _leaf(leaf: Leaf, parameters: list[Any]) -> str:
    _check(leaf.field, leaf.field)
    if "\0" in leaf.field:
        return "false"  # no row of this store can have it
    match leaf:
        case Exists():
            parameters.append(leaf.field)
            return "metadata ? %s"
        case In(values=values):
            return _contains(leaf.field, list(values), parameters)
        case Compare(operator="$eq", value=value):
            return _contains(leaf.field, [value], parameters)
        case Compare(operator=operator, value=value):
            return _ordered(leaf.field, operator, value, parameters)
    raise TypeError(f"There is no condition {type(leaf).__name__}.")


def _contains(field: str, values: list[Any], parameters: list[Any]) -> str:
    """Equal to one of the values, or a list with one of them."""
    for value in values:
        if isinstance(value, str):
            _check(field, value)
    held = [_scalar(value) for value in values if _can_be_held(value)]
    if not held:
        return "false"
    key = json.dumps(field)
    parameters.append([f"{{{key}: {form}}}" for value in held for form in (value, f"[{value}]")])
    return "metadata @> ANY(%s::text[]::jsonb[])"


def _ordered(field: str, operator: str, value: Any, parameters: list[Any]) -> str:
    key = json.dumps(field, ensure_ascii=False)
    sign = _SIGNS[operator]
    if isinstance(value, str):
        _check(field, value)
        # No stored text has a NUL, so what comes after one decides nothing.
        head, nul, _ = value.partition("\0")
        if nul:
            sign = ">" if operator in ("$gt", "$gte") else "<="
        path = _PATH.format(f".{key}", "string", sign, json.dumps(head, ensure_ascii=False))
    elif isinstance(value, float) and math.isinf(value):
        if (value > 0) != (sign[0] == "<"):
            return "false"
        path = f'$.{key} ? (@.type() == "number")'
    else:
        path = _PATH.format(f".{key}", "number", sign, number(value))
    parameters.append(path)
    return "metadata @? %s::jsonpath"


def _can_be_held(value: Any) -> bool:
    """Whether a row of this store may have the value: ``jsonb`` has no NUL, and JSON has no infinity."""
    if isinstance(value, str):
        return "\0" not in value
    return not (isinstance(value, float) and math.isinf(value))


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return json.dumps(value)


def _check(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(f"where.{field!r}: {text!r} is not valid Unicode ({error.reason}).") from None
