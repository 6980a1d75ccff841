"""Conditions in Pinecone's filter language, meaning the same.

It has no ``$not``, so negations go down to the leaves; there they are ``$nin``, or the opposite comparison. Every leaf
but a range reads the tokens that each row has (:mod:`.fields`), so that nothing hangs on what Pinecone makes of
missing fields, of kinds that differ from row to row, or of a boolean beside a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from samespace.errors import Unsupported
from samespace.stores.pinecone.fields import ALL, TOKENS, bounds, is_plain_name, number_token, token
from samespace.where import And, Compare, Condition, Exists, In, Not, Or

__all__ = ["Filter", "translate"]

Filter = dict[str, Any]

_MOST_VALUES = 10_000
_OPPOSITE = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}


def translate(condition: Condition) -> Filter:
    """The filter that selects the rows which meet the condition. Rows that something else wrote meet none.

    Raises:
        Unsupported: Pinecone cannot express it.
    """
    return {"$and": [_tokens([ALL]), _filter(condition, False)]}


def _filter(condition: Condition, negated: bool) -> Filter:
    match condition:
        case Not(inner):
            return _filter(inner, not negated)
        case And(conditions) | Or(conditions):
            word = "$and" if isinstance(condition, And) != negated else "$or"
            return {word: [_filter(each, negated) for each in conditions]}
        case Exists(field):
            return _tokens([token(field)], negated)
        case In(field, values):
            return _tokens([token(field, value) for value in values], negated)
        case Compare(field, "$eq", value):
            return _tokens([token(field, value)], negated)
        case Compare(field, operator, int() | float() as value):
            return _range(field, operator, value, negated)
        case Compare(field, operator, _):
            raise Unsupported(
                f"Pinecone cannot compare texts by order: {field!r} {operator} {condition.value!r}. "
                "Keep a number to compare by, such as a year or a time stamp."
            )
    raise Unsupported(f"Pinecone has no filter for {condition!r}.")


def _tokens(texts: Sequence[str], negated: bool = False) -> Filter:
    # An empty list is not worth trying on a server: nothing is among no values, which a token of no row says too.
    texts = list(dict.fromkeys(texts)) or ["-"]
    if len(texts) > _MOST_VALUES:
        raise Unsupported(
            f"Pinecone takes {_MOST_VALUES:,} values in a filter, got {len(texts):,}. Ask in several parts."
        )
    return {TOKENS: {"$nin" if negated else "$in": texts}}


def _range(field: str, operator: str, value: float, negated: bool) -> Filter:
    bound = _as_float(field, operator, value)
    word = _OPPOSITE[operator] if negated else operator
    compared: list[Filter] = [{bounds(field, operator): {word: bound}}]
    if is_plain_name(field):
        compared.append({field: {word: bound}})
    if negated:  # what is no number is neither above nor below
        compared.append(_tokens([number_token(field)], negated=True))
    return {"$or": compared} if len(compared) > 1 else compared[0]


def _as_float(field: str, operator: str, value: float) -> float:
    try:
        if float(value) == value and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise Unsupported(
        f"Pinecone compares finite float64 numbers, and {value} is none: {field!r} {operator}. Use a bound that is."
    )
