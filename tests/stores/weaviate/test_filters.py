"""Ranges of any number and text select what Python's comparison does, and what cannot be compared is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weaviate.collections.filters import _FilterToGRPC

from samespace.errors import Unsupported
from samespace.stores import connect
from samespace.stores.weaviate.filters import tokens, translate
from samespace.stores.weaviate.schema import Record, definition
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.weaviate.engine import Class

_numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.integers(-(10**400), 10**400),
    st.sampled_from([2**53, 2**53 + 1, 2**53 + 2, float(2**53), 0, -0.0, 1e308, -1e308, 5e-324, float("inf")]),
)
_texts = st.one_of(st.text(max_size=6), st.text(alphabet="ab\0\uffff\U0001f600", max_size=3), st.just("x" * 80))
_values = st.one_of(_numbers, _texts, st.lists(st.one_of(_numbers, _texts), max_size=3))
_ranges = st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte"])


def _found(rows: list[dict], where: dict) -> set[int]:
    """The rows that the server's inverted index finds for a filter."""
    index = Class(definition("Notes", Record.new(space_of(), None)))
    for number, row in enumerate(rows):
        fields, ranges = tokens(row)
        index.put(f"{number:032x}", {"fields": fields, "ranges": ranges, "seq": number}, None)
    return set(index.alive(index.matching(_FilterToGRPC.convert(translate(parse(where))))))


@settings(max_examples=80, deadline=None, database=None)
@given(st.lists(_values, max_size=8), _ranges, st.one_of(_numbers, _texts))
def test_compares_as_python_does(values, operator, bound):
    rows = [{"a": value} for value in [*values, bound]]
    where = {"a": {operator: bound}}
    try:
        found = _found(rows, where)
    except Unsupported:
        assert operator != "$eq"
        assert (bound == "x" * 80) if isinstance(bound, str) else abs(bound) > 2**53
        return
    assert found == {n for n, row in enumerate(rows) if parse(where).matches(row)}


@settings(max_examples=25, deadline=None, database=None)
@given(st.text(max_size=5), st.text(max_size=5), st.one_of(_texts, st.integers()))
def test_keys_do_not_meet(one, other, value):
    """Wildcards, quotation marks and colons in a key stay in it."""
    rows = [{one: value}, {other: value}, {f"{one}*": value}, {f'{one}":': value}]
    for where in ({one: value}, {one: {"$exists": True}}, {one: {"$gte": value}}, {one: {"$not": {"$lt": value}}}):
        try:
            assert _found(rows, where) == {n for n, row in enumerate(rows) if parse(where).matches(row)}
        except Unsupported:
            assert isinstance(value, int) or len(value) > 60


def test_tokens_are_read_by_people():
    fields, _ = tokens({"year": 2024.0, "tags": ["new", None, True, {"no": 1}], "größe": 0.5})
    assert fields == ['"year"', '"year":2024', '"tags"', '"tags":"new"', '"tags":null', '"tags":true',
                      '"gr\\u00f6\\u00dfe"', '"gr\\u00f6\\u00dfe":0.5']  # fmt: skip


@pytest.mark.parametrize("value", ["word " * 5_000, 10**4_000, "k"])
def test_long_keys_and_values_have_short_tokens(value):
    row = {"k" * 5_000: value, "a": value}
    fields, ranges = tokens(row)
    assert max(map(len, fields + ranges)) < 600
    for where in ({"a": value}, {"k" * 5_000: value}, {"k" * 5_000: {"$exists": True}}):
        assert _found([row, {}], where) == {0}
    assert _found([row, {}], {"a": f"{value}?"}) == set()


def test_a_negation_counts_no_deleted_row(fresh):
    """Weaviate takes deleted documents along where a filter negates, and counts them."""
    store = connect(fresh, space_of())
    store.write(block_of(10, metadata=[{"n": n} for n in range(10)]))
    store.delete(["1", "2", "3"])
    store.write(block_of(2, metadata=[{"n": 0}, {"n": 5}]))
    condition = parse({"n": {"$ne": 0}})
    assert store.count(condition) == 7 - 1 + 1
    assert store.delete_where(condition) == 7
    assert (store.count(condition), store.count()) == (0, 1)
    assert json.loads(store.get(["0"]).metadata[0]) == {"n": 0}
    store.drop()
