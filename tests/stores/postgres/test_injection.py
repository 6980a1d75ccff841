"""Nothing that a user types is ever read as SQL, or as a path of JSON, or as a query of words."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samespace.errors import InvalidInput, NotFound
from samespace.stores import connect
from samespace.stores.base import Block, parsed
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.postgres.server import fresh, run, with_options

SPACE = space_of()
_settings = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))

_PARTS = (
    "'", "''", '"', "\\", "\\'", ";", "--", "/*", "*/", "$$", "$1", "%s", "%(x)s", "%", "{", "}", "{table}", "$", "$.",
    "@", "?", "||", "&&", ")", "(", "]", "[", "E'", "\n", "\x01", "\x7f", "\u202e", "\ufeff", "\U0010ffff", "\\u0027",
    "DROP TABLE ", "SELECT pg_sleep(9)", " OR 1=1", " OR true", "UNION SELECT", "NULL", "true", "COPY", "\\.",
    "\t", ",",
    "); DROP SCHEMA samespace CASCADE; --", '" ? (true) || $."', "<->", "a", "é", " ",
)  # fmt: skip
nasty = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=5).map("".join)


@pytest.fixture(scope="module")
def url(database):
    return fresh(database)


@pytest.fixture(scope="module")
def store(url):
    """A store with a row that must stay, which has no field that a filter here can name."""
    made = connect(url, SPACE)
    made.write(block_of(1, contents=["stays"]))
    yield made
    made.drop()


@pytest.fixture(scope="module")
def tables(url):
    """Which tables, columns and rows there are in all schemas."""

    def look():
        bare = url.partition("&schema=")[0]
        ((columns,),) = run(
            bare,
            "SELECT string_agg(concat_ws('.', table_schema, table_name, column_name, data_type), ' ' ORDER BY "
            "table_schema, table_name, ordinal_position) FROM information_schema.columns "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
        )
        return columns

    return look


def _row(name, content, fields):
    plain = block_of(1, seed=3)
    return Block([name], [content], [json.dumps(fields)], plain.vectors, plain.tokens)


@_settings
@given(nasty, nasty, nasty, nasty)
def test_rows(store, tables, name, content, key, value):
    """Ids, contents, keys and values come back as they were, and touch nothing else."""
    before = tables()
    fields = {key: value, "list": [value, {key: value}]}
    store.write(_row(name, content, fields))
    try:
        found = store.get([name])
        assert (found.ids, found.contents, parsed(found.metadata, found.ids)) == ([name], [content], [fields])
        field = "list" if key.startswith("$") else key  # the language of filters has its words there
        wheres = ({field: value}, {field: {"$in": [value, 1]}}, {field: {"$gte": value}}, {"list": {"$lte": value}})
        for where in wheres:
            assert [hit.id for hit in store.nearest(found.vectors, 5, parse(where))[0]] == [name], where
        assert store.count(parse({field: {"$exists": True}})) == 1
        store.match_text(content, 5)
        store.keep_note("n", content.encode())
    finally:
        assert store.delete([name]) == 1
    assert tables() == before
    assert store.get(["0"]).contents == ["stays"]


@_settings
@given(nasty, nasty, st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte"]))
def test_filters(store, tables, key, value, operator):
    """A filter on a field that no row has finds nothing, whatever its name and value are."""
    before = tables()
    condition = parse(
        {key: {operator: value}, f"{key} ": {"$nin": [value]}} if not key.startswith("$") else {"x": value}
    )
    assert store.nearest(block_of(1).vectors, 5, condition) == [[]]
    assert store.match_text("stays", 5, condition) == []
    assert store.delete_where(condition) == store.count(condition) == 0
    assert list(store.scan(condition)) == []
    assert store.match_text(f"{key} {value}", 5, condition) == []
    assert store.count() == 1
    assert tables() == before


@settings(_settings, max_examples=25)
@given(nasty)
def test_names_of_collections(store, tables, url, name):
    """A collection may be called anything; it is that one that is made, found and dropped."""
    before = tables()
    place = with_options(url.partition("&collection=")[0], collection=name)
    with pytest.raises(NotFound):
        connect(place)
    with contextlib.closing(connect(place, SPACE)) as made:
        made.write(block_of(2))
        made.build("ivf")
        assert made.problems() == []
        with contextlib.closing(connect(place)) as again:
            assert again.count() == 2
        made.drop()
    assert tables() == before
    assert store.count() == 1


@settings(_settings, max_examples=25)
@given(nasty)
def test_other_parts_of_the_url(store, tables, url, text):
    """Users, passwords, databases, schemas and options: an error of ours, or a schema of that very name."""
    bare = url.partition("&schema=")[0]
    before = tables()
    for place in (
        with_options(bare, collection=f"{text}x", schema=text),
        with_options(bare, collection="x", dbname=f"{text}x"),
        with_options(bare, collection="x", user=f"{text}x"),
        with_options(bare, collection="x", sslmode=text),
    ):
        with pytest.raises((NotFound, InvalidInput, OSError)):
            connect(place)
    assert tables() == before


@_settings
@given(nasty)
def test_cursors_and_notes(store, text):
    with pytest.raises(InvalidInput, match="is not a cursor"):
        list(store.scan(after=f"{text}x"))
    store.keep_note(text, b"1")
    assert store.note(text) == b"1"
    assert store.note(f"{text}x") is None
