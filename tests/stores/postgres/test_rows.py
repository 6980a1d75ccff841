"""Rows as bytes, and conditions as SQL."""

from __future__ import annotations

import contextlib
import json
import math
import struct

import numpy as np
import pytest

from samespace.errors import InvalidFilter, InvalidInput
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import Block, parsed
from samespace.stores.postgres.bulk import points
from samespace.stores.postgres.filters import as_sql, number
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse


@pytest.fixture
def store(place):
    with contextlib.closing(connect(place, space_of())) as made:
        yield made


def _row(name, content="text", metadata="{}"):
    plain = block_of(1)
    return Block([name], [content], [metadata], plain.vectors, plain.tokens)


def test_vectors_as_bytes():
    (point,) = points(np.array([[1.5, -0.0, 3e-45]], np.float32))
    assert point == struct.pack(">hhfff", 3, 0, 1.5, -0.0, 3e-45)
    assert points(np.empty((0, 3), np.float32)) == []


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        1.0,
        -2.5,
        0.1,
        1e16,
        1e22,
        1e23,
        -1e23,
        1e300,
        1.7976931348623157e308,
        5e-324,
        2.0**53,
        1e15,
        math.pi * 1e20,
    ],
)
def test_floats_stay_floats(store, value):
    """And keep every bit, within lists and objects too, where jsonb would drop an exponent."""
    fields = {"x": value, "deep": [{"y": [value]}], "text 1e5": '1e5 \\" 2E7', "e": 10**22}
    store.write(_row("1", metadata=json.dumps(fields)))
    (found,) = parsed(store.get(["1"]).metadata, ["1"])
    assert found == fields
    assert type(found["x"]) is type(found["deep"][0]["y"][0]) is float
    assert struct.pack("d", found["x"]) == struct.pack("d", value)
    assert store.count(parse({"x": value})) == store.count(parse({"x": {"$gte": value, "$lte": value}})) == 1
    if value == int(value):
        assert store.count(parse({"x": int(value)})) == 1
        assert store.count(parse({"x": {"$lt": int(value) + 1, "$gt": int(value) - 1}})) == 1
    assert store.count(parse({"e": 1e22})) == (1e22 == 10**22)


def test_numbers_as_digits():
    assert number(1e23) == "99999999999999991611392.0"
    assert (number(10**23), number(0.5), number(-1e16)) == ("1" + "0" * 23, "0.5", "-10000000000000000.0")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (_row("a", "x\0y"), "Row 'a': its content has a NUL"),
        (_row("a\0b"), r"Row 'a\\x00b': its id has a NUL"),
        (_row("a", metadata=json.dumps({"k": ["x\0"]})), "Row 'a': its metadata has a NUL"),
        (_row("a", metadata=json.dumps({"\0": 1})), "Row 'a': its metadata has a NUL"),
        (_row("a", metadata='{"k": "\\ud800"}'), "Row 'a': PostgreSQL cannot hold it: .*Unicode"),
        (_row("a", metadata="[1]"), "Row 'a': PostgreSQL cannot hold it: .*metadata_check"),
        (_row("a", metadata='{"k": '), "Row 'a': PostgreSQL cannot hold it: invalid input syntax for type json"),
        (_row("".join(map(chr, range(0x4E00, 0x4E00 + 3_000)))), "PostgreSQL cannot hold it: index row"),
    ],
)
def test_rows_that_cannot_be_held(store, row, says):
    """The row is named, wherever it stands, and none of its block is written."""
    good = block_of(5)
    store.write(block_of(2, contents=["old", "old"]))
    block = Block(
        [*good.ids, *row.ids],
        [*good.contents, *row.contents],
        [*good.metadata, *row.metadata],
        np.concatenate([good.vectors, row.vectors]),
        [*good.tokens, *row.tokens],
    )
    with pytest.raises(InvalidInput, match=says):
        store.write(block)
    assert store.count() == 2
    assert store.get(["0"]).contents == ["old"]


def test_a_backslash_is_not_a_nul(store):
    for name, fields in {"1": {"k": "\\u0000"}, "2": {"k": "\\\\u0000"}, "3": {"\\u0000": "\\"}}.items():
        store.write(_row(name, metadata=json.dumps(fields)))
        assert parsed(store.get([name]).metadata, [name]) == [fields]


FIELDS = [
    {"s": "a"}, {"s": "ab"}, {"s": "b"}, {"s": ""}, {"n": 1}, {"n": -1.5}, {"n": [[5], 2]}, {"n": {"n": 5}}, {"n": "x"},
    {"n": [True, "5"]}, {"n": 2**70}, {}, {"s": None}, {"n": []},
]  # fmt: skip


@pytest.mark.parametrize(
    "where",
    [
        {"s": {"$gt": "a\0"}},
        {"s": {"$gte": "a\0b"}},
        {"s": {"$lt": "a\0"}},
        {"s": {"$lte": "a\0\0"}},
        {"s": {"$lt": "\0"}},
        {"s": "a\0"},
        {"s": {"$in": ["a\0", "b"]}},
        {"s": {"$nin": []}},
        {"s": {"$in": []}},
        {"s\0": {"$exists": False}},
        {"s\0": "a"},
        {"n": {"$lt": math.inf}},
        {"n": {"$lte": math.inf}},
        {"n": {"$gt": math.inf}},
        {"n": {"$gte": -math.inf}},
        {"n": {"$lt": -math.inf}},
        {"n": math.inf},
        {"n": {"$gt": 4}},
        {"n": {"$not": {"$gt": 0}}},
        {"n": {"$gt": 2**69}},
        {"n": {"$gt": 1e300}},
        {"n": {"$gt": -1e-300}},
    ],
)
def test_conditions(store, where):
    """What no row of this store can have still means what it means."""
    store.write(block_of(len(FIELDS), metadata=FIELDS))
    condition = parse(where)
    found = {name for block, _ in store.scan(condition) for name in block.ids}
    assert found == {str(n) for n, fields in enumerate(FIELDS) if condition.matches(fields)}


@pytest.mark.parametrize(
    "where", [{"s": "\ud800"}, {"\ud800": 1}, {"s": {"$gt": "\udfff"}}, {"s": {"$in": ["\ud800"]}}]
)
def test_not_unicode(where):
    with pytest.raises(InvalidFilter, match="is not valid Unicode"):
        as_sql(parse(where))


def test_many_values_of_a_filter(store):
    store.write(block_of(100, metadata=[{"n": n} for n in range(100)]))
    assert store.count(parse({"n": {"$in": list(range(50, 30_000))}})) == 50
    deep = {"n": 1}
    for _ in range(60):
        deep = {"$not": deep}
    assert store.count(parse(deep)) == 1


def test_space_of_any_text(place):
    """What a space says of itself comes back as it was."""
    space = Space("größe 'x' \"y\" \\", 4, "dot", prompts={"query": "é%s{}: \\n", "document": "💡"}, layer="mean(1,2)")
    with contextlib.closing(connect(place, space, encoder="it's; --")):
        pass
    with contextlib.closing(connect(place)) as store:
        assert (store.space, store.space.id, store.encoder) == (space, space.id, "it's; --")
