"""Declared recall as a user meets it: measured, kept, watched and healed."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest

import samespace as ss
from samespace import builder, searcher, upkeep, watch
from samespace.indexes import engine
from samespace.testing.index_contract import clustered, oracle

COUNT, DIMENSION = 4_000, 24
SPACE = ss.Space("declared", DIMENSION, "cosine")


@pytest.fixture(scope="module")
def data():
    vectors, _, of = clustered(COUNT, DIMENSION, "cosine")
    near = np.random.default_rng(5).integers(0, COUNT, 500)
    queries = vectors[near] + 0.05 * np.random.default_rng(6).standard_normal((500, DIMENSION)).astype(np.float32)
    return vectors, queries, of


def as_query(array):
    return ss.Vectors(array, SPACE, "query")


@pytest.fixture(scope="module")
def filled(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("recall") / "rows.ss"
    with ss.open(path, space=SPACE, engine="scan") as collection:
        fill(collection, data[0])
    return path


@pytest.fixture(scope="module")
def tuned(filled, tmp_path_factory):
    """Makes collections that were tuned, each once."""

    @functools.cache
    def make(name):
        path = tmp_path_factory.mktemp(name) / "rows.ss"
        shutil.copytree(filled, path)
        with ss.open(path) as collection:
            collection.tune(0.95, [name])
        return path

    return make


@pytest.fixture
def rows(tmp_path, filled):
    return shutil.copytree(filled, tmp_path / "rows.ss")


@pytest.fixture
def graph(tmp_path, tuned):
    """A collection that has a graph; a search or two after it was opened it is in use."""
    return shutil.copytree(tuned("graph"), tmp_path / "graph.ss")


def opened(path, data, **arguments):
    collection = ss.open(path, **arguments)
    collection.nearest(as_query(data[1]))
    settle(collection)
    return collection


def fill(collection, vectors, first=0):
    names = [f"{first + n}" for n in range(len(vectors))]
    collection.add(
        [None] * len(vectors),
        ids=names,
        vectors=ss.Vectors(vectors, SPACE),
        metadata=[{"n": n % 100} for n in range(len(vectors))],
    )


def recall_of(collection, data, k=10, **arguments):
    vectors, queries, _ = data
    truth = oracle(queries / np.linalg.norm(queries, axis=1, keepdims=True), vectors, k, "cosine").positions
    found = collection.nearest(as_query(queries), k, **arguments).ids
    return np.mean([len({*map(str, exact)} & set(names)) / k for exact, names in zip(truth, found, strict=True)])


def test_tune_measures_and_keeps_what_it_found(rows, data):
    steps = []
    with ss.open(rows) as collection:
        tuning = collection.tune(0.95, ["scan", "graph"], lambda label, part: steps.append((label, part)))
        assert tuning.recall == 0.95
        assert {curve.engine for curve in tuning.curves} == {"scan", "graph"}
        assert [part for _, part in steps] == sorted(part for _, part in steps)
        assert steps[-1][1] == 1.0
        assert any("graph" in label for label, _ in steps)
        info = collection.info()
        assert (info.declared_recall, info.engine, info.tuning) == (0.95, tuning.engine, tuning)
        assert recall_of(collection, data) >= 0.95
    with ss.open(rows) as collection:
        collection.search(as_query(data[1][:1]))
        settle(collection)
        again = collection.info()
        assert (again.declared_recall, again.engine, again.tuning) == (0.95, tuning.engine, tuning)
        assert recall_of(collection, data) >= 0.95


def settle(collection):
    """Wait for what is being done in the background."""
    pending = collection._rows.searcher._upkeep._pending
    if pending is not None:
        wait([pending])


@pytest.mark.parametrize("name", ["graph", "hnsw", "ivf-sq8"])
def test_a_built_engine_answers_with_what_came_since(tuned, tmp_path, data, name):
    vectors, queries, _ = data
    path = shutil.copytree(tuned(name), tmp_path / "rows.ss")
    with opened(path, data, engine=name) as collection:
        assert collection.info().engine == name
        new = np.random.default_rng(1).standard_normal((1_500, DIMENSION)).astype(np.float32)
        fill(collection, new[:700], COUNT)
        hit = collection.search(as_query(new[3:4]), 1)[0]
        assert (hit.id, round(hit.score, 5)) == (str(COUNT + 3), 1.0)
        fill(collection, new[700:], COUNT + 700)  # now more than a tail
        assert collection.info().indexed > COUNT
        for n in (0, 699, 700, 1_499):
            assert collection.search(as_query(new[n : n + 1]), 1)[0].id == str(COUNT + n)
        collection.delete([str(COUNT + 3)])
        assert collection.search(as_query(new[3:4]), 1)[0].id != str(COUNT + 3)
        assert (
            recall_of(
                collection, (np.concatenate([vectors, new / np.linalg.norm(new, axis=1, keepdims=True)]), queries, None)
            )
            >= 0.95
        )


def test_filters_never_fall_short_and_cost_no_recall(graph, data):
    vectors, queries, _ = data
    with opened(graph, data, recall=0.99) as collection:
        for where, part in (({"n": {"$lt": 50}}, 0.5), ({"n": {"$lt": 10}}, 0.1), ({"n": 3}, 0.01)):
            allowed = np.arange(COUNT) % 100 < part * 100 if part > 0.01 else np.arange(COUNT) % 100 == 3
            unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
            truth = oracle(unit, vectors, 10, "cosine", allowed).positions
            found = collection.nearest(as_query(queries), 10, where=where).ids
            assert found.shape == (500, 10)
            assert not np.equal(found, None).any()
            right = [len({*map(str, exact)} & set(names)) for exact, names in zip(truth, found, strict=True)]
            assert np.mean(right) >= 9.9


def test_a_search_may_ask_for_another_recall(graph, data):
    with opened(graph, data, recall=0.9) as collection:
        assert recall_of(collection, data, recall=1.0) == 1.0
        assert recall_of(collection, data, recall=0.999) >= 0.998
        assert recall_of(collection, data) >= 0.9
    for wrong in (0, 1.5, float("nan"), True, "high"):
        with pytest.raises(ss.InvalidInput, match="recall must be"):
            ss.open(graph, recall=wrong)


def test_another_process_takes_over_what_was_tuned(rows, data):
    with ss.open(rows) as collection:
        collection.search(as_query(data[1][:1]))
        code = f"import samespace; samespace.open({str(rows)!r}).tune(.9, ['graph'])"
        subprocess.run([sys.executable, "-c", code], check=True)
        fill(collection, data[0][:1_200], COUNT)  # the next look at the index
        assert collection.info().tuning.engine == "graph"


def test_searches_go_on_while_an_index_is_built_and_it_is_taken_over(rows, data, monkeypatch):
    monkeypatch.setattr(searcher, "_WORTH_BUILDING", 1_000)
    monkeypatch.setattr(searcher, "_BUILD_SECONDS", 0.0)
    with ss.open(rows, recall=0.9) as collection:
        until = time.monotonic() + 60
        seen = set()
        while collection.info().tuning is None and time.monotonic() < until:
            assert len(collection.search(as_query(data[1][:1]))) == 10
            seen.add(collection.info().building)
        assert seen == {True, False}
        assert collection.info().tuning is not None
        assert collection.info().tuning.pools.keys() >= {"own"}


def test_closing_stops_a_build(rows, data, monkeypatch):
    monkeypatch.setattr(searcher, "_WORTH_ASKED", 100)
    collection = ss.open(rows, engine="graph")
    for n in range(100):
        collection.search(as_query(data[1][n : n + 1]))
    children = collection._rows.searcher._upkeep._children
    assert len(children) == 1
    collection.close()
    assert children[0].poll() is not None
    assert not (rows / "index" / builder.TUNING).exists()


def test_a_wrong_effort_is_noticed_and_mended(graph, data, monkeypatch):
    monkeypatch.setattr(watch, "_SHARE", 0)
    monkeypatch.setattr(watch, "_EVERY", 5)  # so that 500 searches are surely enough
    reports = []
    with opened(graph, data, recall=0.99, on_recall=reports.append) as collection:
        collection.search(as_query(data[1][:1]))
        point = next(iter(collection.info().tuning.curves)).points[0]
        way = searcher._Way(replace(point, effort=1), 1.0, exactly=False)
        collection._rows.searcher._ways = {(collection._rows.searcher._generation, 0.99, 10): way}
        noticed = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for n in range(500):
                collection.search(as_query(data[1][n : n + 1]))
                settle(collection)
                if caught:
                    noticed = n
                    break
        assert noticed is not None
        assert issubclass(caught[0].category, ss.RecallWarning)
        assert reports[-1].alarms >= 1
        until = time.monotonic() + 60
        while collection.info().building and time.monotonic() < until:
            time.sleep(0.05)
        settle(collection)
        assert recall_of(collection, data) >= 0.98


@pytest.mark.parametrize("which", ["main", "fast"])
def test_an_index_over_other_vectors_is_noticed_and_made_anew(rows, graph, data, monkeypatch, which):
    monkeypatch.setattr(watch, "_SHARE", 0)
    monkeypatch.setattr(watch, "_EVERY", 5)  # so that 500 searches are surely enough
    path, name = (rows, "scan") if which == "main" else (graph, "graph")
    with opened(path, data, recall=0.95, engine=name) as collection:
        collection.search(as_query(data[1][:1]))
        settle(collection)
        keeper = collection._rows.searcher._upkeep
        wrong = engine(name)(DIMENSION, "cosine")
        wrong.extend(np.roll(data[0], 1, axis=1))
        wrong = Misled(wrong, data[0])
        keeper.cover = replace(keeper.cover, **{which: wrong})
        with pytest.warns(ss.RecallWarning, match=r"Recall fell below the declared 0\.95"):
            search_all(collection, data[1])
        until = time.monotonic() + 60
        while collection.info().building and time.monotonic() < until:
            time.sleep(0.05)
        settle(collection)
        assert recall_of(collection, data) >= 0.95
        settle(collection)
        collection.search(as_query(data[1][:1]))
        assert collection.info().engine == name


def search_all(collection, queries):
    for n in range(len(queries)):
        collection.search(as_query(queries[n : n + 1]))
        settle(collection)


class Misled:
    """An index whose codes are of other vectors than those that it scores."""

    def __init__(self, index, vectors):
        self._index, self._vectors = index, vectors
        self.engine, self.memory, self.metric = index.engine, index.memory, index.metric

    def __len__(self):
        return len(self._index)

    def search(self, queries, k, allowed=None, effort=None):
        from samespace.indexes.base import Neighbours
        from samespace.indexes.scoring import best, rescore

        found = self._index.search(queries, k, allowed, effort)
        scores = rescore(queries, self._vectors, found.positions, "cosine")
        return Neighbours(*best(found.positions, scores, k))


def test_no_alarm_where_nothing_is_wrong(graph, data, monkeypatch):
    monkeypatch.setattr(watch, "_SHARE", 0)
    monkeypatch.setattr(watch, "_EVERY", 5)  # so that 500 searches are surely enough
    with opened(graph, data, recall=0.9) as collection:
        for n in range(500):
            collection.search(as_query(data[1][n : n + 1]))
        settle(collection)
        info = collection.info()
        assert info.alarms == 0
        assert info.checked >= 8
        assert info.running_recall.recall >= 0.85


def test_past_queries_are_measured_too_unless_that_is_switched_off(rows, data):
    with ss.open(rows) as collection:
        for n in range(150):
            collection.search(as_query(data[1][n : n + 1]))
        assert collection.tune(0.9, ["graph"]).pools["past"] == 150
    (rows / "index" / builder.QUERIES).unlink()
    with ss.open(rows, remember_queries=False) as collection:
        for n in range(150):
            collection.search(as_query(data[1][n : n + 1]))
        assert "past" not in collection.tune(0.9, ["graph"]).pools
    assert not (rows / "index" / builder.QUERIES).exists()


def test_all_rows_of_a_score_or_better(rows, data):
    vectors, queries, _ = data
    with ss.open(rows) as collection:
        scores = vectors @ (queries[0] / np.linalg.norm(queries[0]))
        for least in (0.99, 0.8, 0.5, 0.0, -1.0):
            hits = collection.search(as_query(queries[:1]), k=None, min_score=least)
            assert {int(hit.id) for hit in hits} >= set(np.flatnonzero(scores >= least + 1e-6).tolist())
            assert {int(hit.id) for hit in hits} <= set(np.flatnonzero(scores >= least - 1e-6).tolist())
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        few = collection.search(as_query(queries[:1]), k=None, min_score=0.0, where={"n": 3})
        assert few
        assert all(hit.metadata == {"n": 3} for hit in few)
        exact = hits[3].score
        assert collection.search(as_query(queries[:1]), k=None, min_score=exact)[-1].score == exact
        for wrong in ({"k": None}, {"k": None, "min_score": 0.5, "mode": "text"}):
            with pytest.raises(ss.InvalidInput, match="min_score"):
                collection.search(as_query(queries[:1]), **wrong)


def test_rows_like_a_stored_one(rows, data):
    with ss.open(rows) as collection:
        hits = collection.similar("17", 5)
        expected = oracle(data[0][17:18], data[0], 6, "cosine").positions[0]
        assert [hit.id for hit in hits] == [str(n) for n in expected if n != 17]
        assert all(hit.metadata == {"n": 3} for hit in collection.similar("17", 5, where={"n": 3}))
        with pytest.raises(ss.NotFound, match="no row 'nobody'"):
            collection.similar("nobody")


def test_many_queries_give_arrays(rows, data):
    with ss.open(rows) as collection:
        found = collection.nearest(as_query(data[1]), 7)
        assert found.ids.shape == found.scores.shape == (500, 7)
        assert found.scores.dtype == np.float32
        for row in (0, 250, 499):
            hits = collection.search(as_query(data[1][row : row + 1]), 7)
            assert found.ids[row].tolist() == [hit.id for hit in hits]
            assert found.scores[row].tolist() == [np.float32(hit.score) for hit in hits]
        assert collection.nearest(as_query(data[1][:2]), 7, where={"n": 1_000}).ids.shape == (2, 0)


@pytest.mark.parametrize("tier", ["full", "codes", "half", "disk"])
def test_memory_tiers(tmp_path, data, tier):
    path = tmp_path / "tier.ss"
    with ss.open(path, space=SPACE, memory=tier) as collection:
        fill(collection, data[0])
        assert recall_of(collection, data) >= 0.99
        info = collection.info()
        assert info.memory == tier
        assert info.bytes_vectors == COUNT * DIMENSION * (2 if tier == "half" else 4)
        assert collection.verify() == []
    with ss.open(path) as collection:
        assert collection.info().memory == ("half" if tier == "half" else "full")
        collection.compact(memory="half" if tier != "half" else "full")
        assert collection.verify() == []
        assert recall_of(collection, data) >= 0.99
    if tier == "full":
        with pytest.raises(ss.InvalidInput, match=r"float16, and memory='codes' means float32\. .*compact\(memory="):
            ss.open(path, memory="codes")
        with pytest.raises(ss.NotFound, match="no memory tier 'big'; the tiers are full, codes, half, disk"):
            ss.open(path, memory="big")


def test_tuning_what_cannot_be_tuned(tmp_path, rows):
    with ss.open(tmp_path / "empty.ss", space=SPACE) as empty, pytest.raises(ss.InvalidInput, match="is empty"):
        empty.tune()
    with ss.open(rows) as collection:
        with pytest.raises(ss.NotFound, match="no engine 'hnsw2'"):
            collection.tune(engines=["hnsw2"])
        with pytest.raises(ss.InvalidInput, match="at least one engine"):
            collection.tune(engines=[])


@pytest.mark.parametrize("damage", [b"", b"{", b'{"space": 1}', b"\xff\xfe"])
def test_a_damaged_record_of_tuning_costs_the_tuning_only(graph, data, damage, caplog):
    (graph / "index" / builder.TUNING).write_bytes(damage)
    with ss.open(graph) as collection:
        collection.search(as_query(data[1][:1]))
        settle(collection)
        assert collection.info().tuning is None
        assert recall_of(collection, data) >= 0.99
    assert upkeep.logger.name in caplog.text or damage == b'{"space": 1}'
