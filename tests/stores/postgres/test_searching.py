"""Searches through indexes, with filters, in many dimensions, by words."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

from samespace.errors import InvalidInput, Unsupported
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import EXACT, Block
from samespace.stores.postgres import bulk, searching
from samespace.testing.index_contract import clustered
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.postgres.server import fresh, with_options

ROWS, DIMENSION = 6_000, 24

# Half a percent of the rows each: all over the space, in one cluster, and by a range, which no index answers.
WHERES = {"anywhere": {"rare": True}, "one cluster": {"near": True}, "range": {"n": {"$lt": ROWS // 200}}}
NO_CHOICE = "-c enable_seqscan=off -c enable_bitmapscan=off"  # for the planner, but the index


@pytest.fixture(scope="module")
def large(database):
    """The URL of many clustered rows, with their vectors, metadata, and queries."""
    vectors, queries, of = clustered(ROWS, DIMENSION, "cosine", seed=1, asked=20)
    chosen = np.random.default_rng(0).random(ROWS)
    fields = [
        {"rare": bool(chosen[n] < 0.005), "near": bool(of[n] == 3 and chosen[n] > 0.9), "n": n} for n in range(ROWS)
    ]
    url = fresh(database)
    with contextlib.closing(connect(url, Space("clustered", DIMENSION))) as store:
        names = [str(n) for n in range(ROWS)]
        store.write(Block(names, [None] * ROWS, list(map(json.dumps, fields)), vectors, [(1, 1)] * ROWS))
    yield url, vectors, fields, queries
    connect(url).drop()


def _recall(store, large, where, k=10, effort=None):
    _, vectors, fields, queries = large
    condition = parse(where)
    among = np.array([n for n, each in enumerate(fields) if condition is None or condition.matches(each)])
    rows = vectors[among].astype(np.float64)
    answers = store.nearest(queries, k, condition, effort=effort)
    found = 0
    for query, hits in zip(queries.astype(np.float64), answers, strict=True):
        assert len(hits) == min(k, len(among))
        best = among[np.argsort(-(rows @ query), kind="stable")[:k]]
        found += len({hit.id for hit in hits} & set(map(str, best)))
    return found / (len(queries) * min(k, len(among)))


@pytest.mark.parametrize("engine", ["hnsw", "ivf"])
def test_recall(large, engine):
    """At half a percent, recall@10 is .99 as searches are planned; whatever the plan, there are ten."""
    url, _, _, queries = large
    told: list[tuple[str, float]] = []
    with contextlib.closing(connect(url)) as store:
        store.build(engine, lambda text, done: told.append((text, done)))
        assert (store.figures().engine, told[-1]) == (engine, ("ready", 1.0))
        assert f"_{engine} on" in _plan(store, queries)
        assert _recall(store, large, None) >= 0.95
        for where in WHERES.values():
            assert _recall(store, large, where) >= 0.99
            assert _recall(store, large, where, effort=EXACT) == 1
        least, *_, most = store.engines[engine]
        recalls = [_recall(store, large, None, effort=effort) for effort in (least, most, least)]
        assert recalls[0] == recalls[2] <= recalls[1]  # a session goes from one effort to another
        assert recalls[1] > 0.98
    with contextlib.closing(connect(with_options(url, options=NO_CHOICE))) as store:
        for where in WHERES.values():
            assert _recall(store, large, where) >= 0.9
            assert _recall(store, large, where, k=200) == 1  # more than there are: searched again, exactly


def _plan(store, queries):
    """What the server says that it does for the first query."""
    statement = searching.statement(store._table, "true", exact=False)
    values = searching.parameters(store._table, bulk.points(queries[:1])[0], [], 10, exact=False)
    rows = store._connections.run(lambda connection: connection.execute(b"EXPLAIN " + statement, values).fetchall())
    return "\n".join(line for (line,) in rows)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("dimension", [2_000, 2_001, 4_000, 4_001])
def test_many_dimensions(place, metric, dimension):
    """Vectors stay as they are; up to 4,000 dimensions there is an index, above 2,000 one in half precision."""
    space = space_of(dimension, metric)
    with contextlib.closing(connect(place, space)) as store:
        rows = block_of(60, space)
        store.write(rows)
        query = block_of(1, space, seed=5).vectors
        exact = store.nearest(query, 10)[0]
        if dimension > 4_000:
            with pytest.raises(Unsupported, match="indexes up to 4,000 dimensions"):
                store.build("hnsw")
        else:
            for engine in ("hnsw", "ivf"):
                store.build(engine)
                assert (store.figures().engine, store.problems()) == (engine, [])
                assert store.nearest(query, 10, effort=200)[0] == exact
                assert store.nearest(query, 10, parse({"$not": {"a": 1}}), effort=200)[0] == exact
                assert len(store.nearest(query, 10**30, effort=200)[0]) == 60
        assert store.get(rows.ids).vectors.tobytes() == rows.vectors.tobytes()
        assert store.nearest(query, 10, effort=EXACT)[0] == exact


def test_too_many_dimensions(place):
    connect(place, space_of(16_000)).drop()
    with pytest.raises(InvalidInput, match=r"up to 16,000 dimensions, and .* has 16,001"):
        connect(place, space_of(16_001))


def test_words(place):
    """Rare words tell more than common ones; stems are English; nothing that is typed is a query language."""
    contents = [
        "the boiler and the pump",
        "the the the the the the",
        "running the pumps",
        "naïve größe 東京 a@example.org foo_bar it's",
        "x" * 3_000 + " long",
        " ".join(f"w{n}" for n in range(60_000)),
        None,
        "",
    ]
    with contextlib.closing(connect(place, space_of())) as store:
        store.write(block_of(len(contents), contents=contents))

        def found(words):
            return [hit.id for hit in store.match_text(words, 10)]

        assert found("the boiler") == ["0", "1", "2"]
        assert found("pump") == ["2", "0"]  # the shorter one first
        assert set(found("RUN pump")) == {"0", "2"}
        assert [found(word) for word in ("größe", "東京", "a@example.org", "foo_bar", "it's")] == [["3"]] * 5
        assert found("long") == ["4"]
        assert found("w5") == ["5"]
        assert found("") == found("\0") == found("!!! & | <-> :*") == found("'); DROP TABLE x; --zebra") == []
        scores = [hit.score for hit in store.match_text("the boiler", 10)]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0
        with pytest.raises(InvalidInput, match="not valid Unicode"):
            store.match_text("\ud800", 1)


def test_many_queries(place):
    """More than fit in one round trip."""
    with contextlib.closing(connect(place, space_of())) as store:
        rows = block_of(300)
        store.write(rows)
        assert [hits[0].id for hits in store.nearest(rows.vectors, 2)] == rows.ids
        store.build("hnsw")
        assert [hits[0].id for hits in store.nearest(rows.vectors, 2, effort=100)] == rows.ids
