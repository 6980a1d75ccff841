"""Hypothesis strategies for metadata and for filters over it. Needs hypothesis, which the library never does.

The values come from a small pool on purpose: a filter that matches nothing tests little. The pool holds what
goes wrong between languages: numbers that are equal across types or only nearly, booleans beside 0 and 1,
strings whose order differs between code points and UTF-16, keys with dots, dollars and quotes in them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["metadata", "wheres"]

_FIELDS = ("year", "lang", "tags", "a.b", 'it\'s "so" \\', "größe", "", "x$")
_NUMBERS = (
    0,
    1,
    -1,
    2,
    1.0,
    0.5,
    -0.0,
    1e300,
    2**53,
    2**53 + 1,
    float(2**53),
    2**63,
    2**64 + 1,
    -(2**63) - 1,
)
_STRINGS = (
    "",
    "a",
    "A",
    "b",
    "ab",
    "é",
    "e\u0301",
    "1",
    "true",
    "null",
    "\uffff",
    "\U0001f600",
    "it's",
    "a\x00b",
)
_SCALARS = (*_NUMBERS, *_STRINGS, True, False, None)

_fields = st.sampled_from(_FIELDS)
_scalars = st.sampled_from(_SCALARS)
_ordered = st.sampled_from((*_NUMBERS, *_STRINGS))


def metadata() -> st.SearchStrategy[dict[str, Any]]:
    """Make metadata of a row: JSON values, mostly scalars, with lists, objects and gaps among them."""
    element = st.one_of(_scalars, st.just([1]), st.just({"year": 1}))
    value = st.one_of(_scalars, _scalars, st.lists(element, max_size=3), st.just({"year": 1}))
    return st.dictionaries(_fields, value, max_size=5)


def wheres(max_leaves: int = 8) -> st.SearchStrategy[dict[str, Any]]:
    """Make filters in the dialect, over the fields that :func:`metadata` has."""
    operators = _operators()
    leaf = st.dictionaries(_fields, st.one_of(_scalars, operators), min_size=1, max_size=2)

    def grow(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        several = st.lists(inner, min_size=1, max_size=3)
        joined = st.one_of(
            st.fixed_dictionaries({"$and": several}),
            st.fixed_dictionaries({"$or": several}),
            st.fixed_dictionaries({"$not": inner}),
            st.fixed_dictionaries({"$or": several, "$not": inner}),
        )
        return st.one_of(joined, st.builds(lambda some, more: {**some, **more}, leaf, joined))

    return st.recursive(leaf, grow, max_leaves=max_leaves)


def _operators() -> st.SearchStrategy[dict[str, Any]]:
    """Make a mapping of operators, as it stands under a field."""
    words: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("$eq", "$ne"), _scalars),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _ordered),
        **dict.fromkeys(("$in", "$nin"), st.lists(_scalars, max_size=4)),
        "$exists": st.booleans(),
    }
    pair = st.one_of([st.tuples(st.just(word), operand) for word, operand in words.items()])
    few = st.lists(pair, min_size=1, max_size=2).map(dict)
    return st.one_of(few, st.fixed_dictionaries({"$not": few}))
