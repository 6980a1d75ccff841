"""The filter language against an evaluator that knows nothing of its tree, and every error."""

from __future__ import annotations

import enum
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samespace.where
from samespace.errors import InvalidFilter, InvalidInput
from samespace.testing.strategies import metadata, wheres
from samespace.where import And, Compare, Exists, In, Leaf, Not, Or, parse


def naive(where: dict[str, Any], row: dict[str, Any]) -> bool:
    """The dialect read straight off the mapping, one sentence of its documentation a branch."""
    for key, value in where.items():
        if key == "$and":
            good = all(naive(part, row) for part in value)
        elif key == "$or":
            good = any(naive(part, row) for part in value)
        elif key == "$not":
            good = not naive(value, row)
        elif isinstance(value, dict):
            good = naive_field(row, key, value)
        else:
            good = naive_field(row, key, {"$eq": value})
        if not good:
            return False
    return True


def naive_field(row, key, operators):
    absent = object()
    value = row.get(key, absent)
    elements = [] if value is absent else value if isinstance(value, list) else [value]

    def same(a, b):
        if isinstance(a, bool) or isinstance(b, bool):
            return a is b
        if isinstance(a, int | float) and isinstance(b, int | float):
            return a == b
        if isinstance(a, str) and isinstance(b, str):
            return a == b
        return a is None and b is None

    def sign(a, b):
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
        if numbers:
            return (a > b) - (a < b)
        if isinstance(a, str) and isinstance(b, str):
            a, b = [ord(c) for c in a], [ord(c) for c in b]
            return (a > b) - (a < b)
        return None

    for word, operand in operators.items():
        match word:
            case "$eq":
                good = any(same(x, operand) for x in elements)
            case "$ne":
                good = not any(same(x, operand) for x in elements)
            case "$gt":
                good = any(sign(x, operand) == 1 for x in elements)
            case "$gte":
                good = any(sign(x, operand) in (0, 1) for x in elements)
            case "$lt":
                good = any(sign(x, operand) == -1 for x in elements)
            case "$lte":
                good = any(sign(x, operand) in (0, -1) for x in elements)
            case "$in":
                good = any(same(x, y) for x in elements for y in operand)
            case "$nin":
                good = not any(same(x, y) for x in elements for y in operand)
            case "$exists":
                good = (value is not absent) == operand
            case "$not":
                good = not naive_field(row, key, operand)
        if not good:
            return False
    return True


@settings(max_examples=1_000, deadline=None)
@given(wheres(), st.lists(metadata(), max_size=12))
def test_matches_and_evaluate_agree_with_the_naive_evaluator(where, rows):
    condition = parse(where)
    expected = [naive(where, row) for row in rows]
    assert [condition.matches(row) for row in rows] == expected

    def leaf(one: Leaf):
        return np.array([one.test(row.get(one.field), one.field in row) for row in rows], bool)

    assert condition.evaluate(leaf).tolist() == expected


@given(wheres())
def test_trees_are_values(where):
    condition = parse(where)
    assert condition == parse(where)
    assert hash(condition) == hash(parse(where))
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert condition.fields == {leaf.field for leaf in condition.leaves()}


def test_the_tree():
    assert parse(None) is None
    assert parse({"a": 1}) == Compare("a", "$eq", 1)
    assert parse({"a": {"$ne": 1}}) == Not(Compare("a", "$eq", 1))
    assert parse({"a": {"$nin": ["x"]}}) == Not(In("a", ("x",)))
    assert parse({"a": {"$exists": False}}) == Not(Exists("a"))
    assert parse({"a": {"$gt": 1, "$lt": 3}}) == And((Compare("a", "$gt", 1), Compare("a", "$lt", 3)))
    assert parse({"$or": [{"a": 1}, {"b.c": 2}]}) == Or((Compare("a", "$eq", 1), Compare("b.c", "$eq", 2)))
    assert parse({"$or": [{"a": 1}]}) == parse({"$and": [{"a": 1}]}) == parse({"a": 1})
    assert parse({"$not": {"a": 1}}) == parse({"a": {"$not": {"$eq": 1}}}) == parse({"a": {"$ne": 1}})


def test_nodes_that_mean_different_things_differ():
    assert parse({"a": 1}) == parse({"a": 1.0})
    assert parse({"a": 1}) != parse({"a": True})
    assert parse({"a": {"$in": [1]}}) != parse({"a": {"$in": [True]}})
    both = (Exists("a"), Exists("b"))
    assert And(both) != Or(both)


@pytest.mark.parametrize(
    ("where", "row", "expected"),
    [
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": {"$in": [0, 1]}}, {"a": False}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 2**53}, {"a": 2**53 + 1}, False),
        ({"a": float(2**53)}, {"a": 2**53 + 1}, False),
        ({"a": 10**400}, {"a": 10**400}, True),
        ({"a": {"$gt": 1.5}}, {"a": 10**400}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": {"$gt": "a"}}, {"a": 5}, False),
        ({"a": {"$gt": 0}}, {"a": True}, False),
        ({"a": {"$lt": "\U0001f600"}}, {"a": "\uffff"}, True),  # by code point; UTF-16 has it the other way
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {}, False),
        ({"a": {"$ne": None}}, {}, True),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$nin": [1]}}, {"b": 1}, True),
        ({"a": {"$in": []}}, {"a": 1}, False),
        ({"a": {"$nin": []}}, {}, True),
        ({"a": {"$exists": True}}, {"a": None}, True),
        ({"a": {"$exists": True}}, {"a": []}, True),
        ({"a": "x"}, {"a": ["y", "x"]}, True),
        ({"a": {"$ne": "x"}}, {"a": ["y", "x"]}, False),
        ({"a": {"$gt": 1, "$lt": 3}}, {"a": [0, 4]}, True),  # 4 is above 1, 0 is below 3
        ({"a": 1}, {"a": [[1]]}, False),
        ({"a": 1}, {"a": []}, False),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({"a": {"$lt": 3}}, {"a": float("nan")}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
        ({"a.b": 1}, {"a.b": 1}, True),
        ({"year": {"$not": {"$gt": 3}}}, {}, True),
        ({"year": {"$not": {"$gt": 3, "$lt": 9}}}, {"year": 5}, False),
        ({"year": {"$lt": float("inf")}}, {"year": 3}, True),
    ],
)
def test_meaning(where, row, expected):
    assert parse(where).matches(row) is expected
    assert naive(where, row) is expected


def test_python_values_that_stand_for_json_ones():
    class Colour(enum.StrEnum):
        RED = "red"

    assert parse({"a": Colour.RED}).matches({"a": "red"})
    assert parse({"a": np.int64(3)}) == parse({"a": 3})
    assert parse({"a": {"$gte": np.float32(0.5)}}) == parse({"a": {"$gte": 0.5}})
    assert parse({"a": {"$exists": np.True_}}) == Exists("a")
    assert parse({"a": {"$in": np.array([1, 2])}}) == parse({"a": {"$in": (1, 2)}}) == parse({"a": {"$in": {2, 1}}})
    assert parse({"a": (1, 2)[0]}).matches({"a": (5, 1)})


FIELD_WORDS = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            [("a", 1)],
            """where: expected a mapping such as {"year": {"$gte": 2024}}, got [('a', 1)] (list).""",
        ),
        ("a = 1", """where: expected a mapping such as {"year": {"$gte": 2024}}, got 'a = 1' (str)."""),
        ({}, "where: an empty mapping has no condition. To match everything, leave it out."),
        (
            {"$and": [{"a": 1}, {}]},
            "where.$and[1]: an empty mapping has no condition. To match everything, leave it out.",
        ),
        ({1: 2}, "where: expected field names that are text, got the key 1 (int)."),
        ({"$gt": 1}, 'where.$gt: $gt compares a field; write {"field": {"$gt": …}}.'),
        (
            {"$nor": []},
            "where.$nor: unknown word '$nor'. Did you mean $or? The words here are $and, $or, $not.",
        ),
        (
            {"a": {"$gtt": 1}},
            f"where.a.$gtt: unknown word '$gtt'. Did you mean $gt? The words here are {FIELD_WORDS}.",
        ),
        (
            {"a": {"gte": 1}},
            f"where.a.gte: unknown word 'gte'. Did you mean $gte? The words here are {FIELD_WORDS}.",
        ),
        (
            {"a": {"$contains": "x"}},
            f"where.a.$contains: unknown word '$contains'. The words here are {FIELD_WORDS}.",
        ),
        ({"a": {1: 2}}, f"where.a.1: unknown word 1. The words here are {FIELD_WORDS}."),
        (
            {"a": {"b": 1}},
            (
                f"where.a.b: a field is compared with operators ({FIELD_WORDS}); 'b' is none of them. "
                "A field is a top-level key; what is inside an object cannot be filtered."
            ),
        ),
        ({"a": {}}, f"where.a: expected at least one operator ({FIELD_WORDS}), got none."),
        (
            {"a": {"$or": [1, 2]}},
            ('where.a.$or: $or joins conditions and stands outside a field; write {"$or": [{"a": …}, {"a": …}]}.'),
        ),
        ({"$and": []}, "where.$and: $and takes a list of one or more conditions, got [] (list)."),
        ({"$or": {1: 2}}, "where.$or: $or takes a list of one or more conditions, got {1: 2} (dict)."),
        (
            {"$and": [{"a": 1}, {"year": {"$bad": 1}}]},
            f"where.$and[1].year.$bad: unknown word '$bad'. The words here are {FIELD_WORDS}.",
        ),
        ({"$or": [3]}, 'where.$or[0]: expected a mapping such as {"year": {"$gte": 2024}}, got 3 (int).'),
        ({"$not": 3}, 'where.$not: expected a mapping such as {"year": {"$gte": 2024}}, got 3 (int).'),
        (
            {"a": {"$not": 3}},
            'where.a.$not: $not takes operators such as {"$gt": 3}, got 3 (int). For a single value, use $ne.',
        ),
        ({"a": {"$gt": True}}, "where.a.$gt: $gt takes a number or a string, got True (bool)."),
        ({"a": {"$lt": None}}, "where.a.$lt: $lt takes a number or a string, got None (NoneType)."),
        (
            {"a": {"$eq": [1]}},
            (
                "where.a.$eq: expected a string, number, boolean or null, got [1] (list). "
                "For any of several values, use $in."
            ),
        ),
        (
            {"a": ["x"]},
            (
                "where.a: expected a string, number, boolean or null, got ['x'] (list). "
                "For any of several values, use $in."
            ),
        ),
        (
            {"a": {"$eq": {"b": 1}}},
            "where.a.$eq: expected a string, number, boolean or null, got {'b': 1} (dict).",
        ),
        ({"a": b"x"}, "where.a: expected a string, number, boolean or null, got b'x' (bytes)."),
        ({"a": {"$in": "abc"}}, "where.a.$in: $in takes a list of values, got 'abc' (str)."),
        (
            {"a": {"$nin": [1, {"b": 2}]}},
            "where.a.$nin[1]: expected a string, number, boolean or null, got {'b': 2} (dict).",
        ),
        ({"a": {"$exists": 1}}, "where.a.$exists: $exists takes true or false, got 1 (int)."),
        (
            {"a": float("nan")},
            "where.a: NaN equals nothing and has no order. Use $exists to find what is missing.",
        ),
        (
            {"a": {"$in": [1, np.float32("nan")]}},
            "where.a.$in[1]: NaN equals nothing and has no order. Use $exists to find what is missing.",
        ),
    ],
)
def test_errors(where, message):
    with pytest.raises(InvalidFilter) as caught:
        parse(where)
    assert str(caught.value) == message
    assert isinstance(caught.value, InvalidInput)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("word", ["$and", "$or", "$not", "field $not"])
def test_depth_has_a_limit_below_the_stack(word):
    def wrap(inner, depth):
        for _ in range(depth):
            inner = {"$not": inner} if "$not" in word else {word: [inner]}
        return {"a": inner} if word == "field $not" else inner

    leaf = {"$gt": 1} if word == "field $not" else {"a": 1}
    assert parse(wrap(leaf, 60)).fields == {"a"}
    for depth in (70, 5_000):
        with pytest.raises(InvalidFilter, match="more than 64 deep"):
            parse(wrap(leaf, depth))


def test_a_filter_that_holds_itself_is_refused():
    where: dict[str, Any] = {}
    where["$and"] = [where, where]
    with pytest.raises(InvalidFilter, match="more than 64 deep"):
        parse(where)


def test_long_values_are_shortened_in_messages():
    with pytest.raises(InvalidFilter) as caught:
        parse({"a": {"$gt": ["x" * 10_000]}})
    assert len(str(caught.value)) < 250


def test_public_names_are_there():
    assert all(hasattr(samespace.where, name) for name in samespace.where.__all__)
