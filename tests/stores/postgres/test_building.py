"""Indexes that something else made, cut off, or is making."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from samespace.errors import CollectionBusy, Unsupported
from samespace.stores import connect
from samespace.stores.postgres import store as stores
from samespace.testing.store_contract import block_of, space_of
from stores.postgres.server import run


@pytest.fixture
def made(place):
    """A store of a few rows, a function that runs SQL with {table}, and the table's name."""
    bare, _, rest = place.partition("&schema=")
    schema, _, relation = rest.partition("&collection=")

    def sql(*statements):
        return run(bare, *(each.format(table=f"{schema}.{relation}") for each in statements))

    with contextlib.closing(connect(place, space_of())) as store:
        store.write(block_of(200))
        yield store, sql, relation


def _definitions(sql):
    return [
        text
        for (text,) in sql(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = '{table}'::regclass ORDER BY 1"
        )
        if "embedding" in text
    ]


def test_indexes_of_others(made):
    """A fitting one is used whoever made it; one of another metric, or of some rows, is told."""
    store, sql, _ = made
    sql("CREATE INDEX mine ON {table} USING hnsw (embedding vector_cosine_ops)")
    assert (store.figures().engine, store.problems()) == ("hnsw", [])
    schema = sql("SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = '{table}'::regclass")[0][0]
    sql(f"DROP INDEX {schema}.mine", "CREATE INDEX other ON {table} USING hnsw (embedding vector_l2_ops)")
    assert store.figures().engine == "exact"
    assert "other serves vector_l2_ops and not cosine" in store.problems()[0]
    sql("CREATE INDEX part ON {table} USING hnsw (embedding vector_cosine_ops) WHERE tokens_seen > 3")
    assert [text.split()[2] for text in store.problems()] == ["other", "part"]
    assert store.figures().engine == "exact"
    store.build("ivf")
    assert (store.figures().engine, store.problems(), len(_definitions(sql))) == ("ivf", [], 1)


def test_what_a_dead_build_left(made):
    """An index that is not valid is told, not used, and gone after the next build."""
    store, sql, relation = made
    store.build("hnsw")
    sql(
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = (SELECT indexrelid FROM pg_index JOIN pg_class "
        f"ON pg_class.oid = indexrelid WHERE relname = '{relation}_hnsw')"
    )
    assert store.figures().engine == "exact"
    assert f"{relation}_hnsw is not valid" in store.problems()[0]
    store.build("hnsw")
    assert (store.figures().engine, store.problems(), len(_definitions(sql))) == ("hnsw", [], 1)


def test_builds_anew(made):
    """The new one is there before the old one goes."""
    store, sql, _ = made
    for _ in range(3):
        store.build("hnsw")
        assert len(_definitions(sql)) == 1
    store.build("exact")
    assert _definitions(sql) == []
    with pytest.raises(Unsupported, match="no engine 'scan'; build one of hnsw, ivf or exact"):
        store.build("scan")


def test_one_builds_at_a_time(made, place, monkeypatch):
    store, _, _ = made

    def while_it_builds(text, done):
        with contextlib.closing(connect(place)) as other, pytest.raises(CollectionBusy, match="already"):
            other.build("ivf")
        raise KeyboardInterrupt

    monkeypatch.setattr(stores.building, "_EVERY", 0)
    with psycopg.connect(place.partition("&schema=")[0]) as reader:  # a build waits for the transactions that there are
        _, _, rest = place.partition("&schema=")
        schema, _, relation = rest.partition("&collection=")
        reader.execute(f"INSERT INTO {schema}.{relation} (embedding) VALUES ('[1,0,0,0,0,0,0,0]')")
        with pytest.raises(KeyboardInterrupt):
            store.build("hnsw", while_it_builds)
        reader.rollback()
    store.build("hnsw")
    assert (store.figures().engine, store.problems()) == ("hnsw", [])


def test_says_when_an_index_would_pay(made, monkeypatch):
    store, _, _ = made
    assert store.figures().note == ""
    monkeypatch.setattr(stores, "_MANY", 100)
    assert store.figures().note == "no index: every search reads all rows; build one: tune"
    store.build("ivf")
    assert store.figures().note == ""
    assert store.figures().size > 100_000


def test_no_shared_memory(made, monkeypatch):
    """Where processes cannot share enough memory, as in many containers, one builds alone."""
    store, _, _ = made
    watch, tried = stores.building._watch, []

    def short(connections, connection, statement, progress):
        tried.append(connection.execute("SHOW max_parallel_maintenance_workers").fetchone()[0])
        if tried[-1] != "0":
            raise psycopg.errors.DiskFull("could not resize shared memory segment")
        watch(connections, connection, statement, progress)

    monkeypatch.setattr(stores.building, "_watch", short)
    store.build("hnsw")
    assert tried == ["2", "0"]
    assert (store.figures().engine, store.problems()) == ("hnsw", [])


def test_other_columns(made):
    """An index of a column that somebody added is theirs."""
    store, sql, _ = made
    schema = sql("SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = '{table}'::regclass")[0][0]
    sql(
        "ALTER TABLE {table} ADD COLUMN embedding2 vector(3)",
        "CREATE INDEX theirs ON {table} USING hnsw (embedding2 vector_cosine_ops)",
    )
    assert (store.figures().engine, store.problems()) == ("exact", [])
    store.build("hnsw")
    store.build("exact")
    assert sql(f"SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}' AND indexname = 'theirs'") == [(1,)]
