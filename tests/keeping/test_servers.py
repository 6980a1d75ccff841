"""Moving to engines and back, and the guard over there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from itertools import pairwise

import numpy as np
import psycopg
import pytest
from psycopg import sql

import samespace as ss
from samespace.keeping.copy import copy_collection
from samespace.keeping.verify import verify_collection
from samespace.opening import stand
from samespace.testing.encoder import CharacterEncoder
from samespace.testing.store_contract import block_of, space_of
from stores.postgres.server import fresh, live


@pytest.fixture(scope="module")
def database():
    return live()


@pytest.fixture
def place(database):
    return fresh(database)


def table_of(place):
    """The table of a collection, as another program would find it."""
    name = place.rpartition("collection=")[2]
    with psycopg.connect(place.partition("&collection")[0].partition("?collection")[0]) as connection:
        (found,) = connection.execute("SELECT relation FROM samespace.collections WHERE name = %s", (name,)).fetchone()
    return sql.Identifier("samespace", found)


def execute(place, statement, *parameters):
    with psycopg.connect(place.partition("&collection")[0].partition("?collection")[0]) as connection:
        connection.execute(sql.SQL(statement).format(table=table_of(place)), parameters)


_WORKER = """
import sys, time
from samespace.keeping.copy import copy_collection
copy_collection(sys.argv[1], sys.argv[2], progress=lambda what, rows: (print(what, rows, flush=True), time.sleep(0.2)))
"""


def killed_while_copying(source, target, after):
    command = [sys.executable, "-c", _WORKER, str(source), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(after):
            assert process.stdout.readline().startswith("copying")
        os.kill(process.pid, signal.SIGKILL)


def test_there_and_back_killed_on_each_way(tmp_path, place):
    space = space_of(48)
    fields = [{"n": n, "tags": ["a", None, 1.5], "é": {"x": [n]}} for n in range(13_000)]
    rows = block_of(
        13_000, space, contents=[None if n % 9 == 0 else f"text {n}" for n in range(13_000)], metadata=fields
    )
    first = stand(tmp_path / "first.ss", space, encoder="acme:embed")
    first.store.write(rows)
    first.close()
    way = [tmp_path / "first.ss", place, f"qdrant-edge:{tmp_path / 'edge'}", tmp_path / "last.ss"]
    for source, target in pairwise(way):
        killed_while_copying(source, target, 2)
        report = copy_collection(source, target)
        assert report.rows == 13_000
        assert report.copied < 13_000
    last = stand(tmp_path / "last.ss")
    found = last.store.get(rows.ids)
    assert found.vectors.tobytes() == rows.vectors.tobytes()
    assert found.contents == rows.contents
    assert [name for block, _ in last.store.scan() for name in block.ids] == rows.ids
    assert last.store.encoder == "acme:embed"
    last.close()


def many(n, dimension=32):
    """Vectors of one kind: all near a plane."""
    random = np.random.default_rng(0)
    plane = random.standard_normal((6, dimension))
    vectors = random.standard_normal((n, 6)) @ plane + 0.05 * random.standard_normal((n, dimension))
    return vectors.astype(np.float32)


@pytest.fixture
def guarded(place):
    space = ss.Space("samespace/plane", 32)
    vectors = ss.Vectors(many(6_000), space, "document")
    with ss.open(place, space=space) as notes:
        names = [str(n) for n in range(6_000)]
        notes.add([f"text {name}" for name in names], ids=names, vectors=vectors)
        assert verify_collection(notes).is_clean
        assert notes.store.note("statistics") is not None
    yield place
    stand(place).store.drop()


def suspects(place):
    with (
        pytest.warns(ss.ForeignVectorsWarning) if unsealed(place) else contextlib.nullcontext(),
        ss.open(place) as notes,
    ):
        report = verify_collection(notes)
    return {suspect.id: suspect.why for suspect in report.suspects}


def unsealed(place):
    rows = stand(place)
    count = rows.store.unsealed()
    rows.close()
    return count


def test_nothing_is_told_of_own_rows(guarded):
    assert suspects(guarded) == {}


def test_a_row_that_plain_sql_wrote_is_found_and_told_at_open(guarded):
    ours = "[" + ",".join(map(str, many(1)[0] / np.linalg.norm(many(1)[0]))) + "]"
    execute(guarded, "INSERT INTO {table} (id, embedding) VALUES ('intruder', %s)", ours)
    with pytest.warns(ss.ForeignVectorsWarning, match="1 rows were not written by samespace"):
        ss.open(guarded).close()
    assert suspects(guarded) == {"intruder": "unsealed"}


def test_a_vector_of_another_kind_is_found(guarded):
    strange = np.random.default_rng(1).standard_normal(32)
    execute(
        guarded,
        "UPDATE {table} SET embedding = %s, seal = seal WHERE id = '77'",
        "[" + ",".join(map(str, strange / np.linalg.norm(strange))) + "]",
    )
    assert suspects(guarded) == {"77": "distribution"}


def test_a_content_that_was_changed_is_found(guarded):
    execute(guarded, "UPDATE {table} SET content = 'something else' WHERE id = '78'")
    assert suspects(guarded) == {"78": "seal"}


def test_a_length_that_cannot_be_is_found(guarded):
    execute(guarded, "UPDATE {table} SET embedding = embedding + embedding WHERE id = '79'")
    assert suspects(guarded) == {"79": "norm"}


def test_what_was_changed_elsewhere_is_encoded_again(place):
    with ss.open(place, CharacterEncoder(32)) as notes:
        notes.add(["one", "two"], ids=["a", "b"])
        right = notes.get(["a"])[0].vector
        execute(place, "UPDATE {table} SET embedding = (SELECT embedding FROM {table} WHERE id = 'b') WHERE id = 'a'")
        assert not np.array_equal(notes.get(["a"])[0].vector, right)
        assert notes.add(["one", "two"], ids=["a", "b"]).replaced == 1
        assert np.array_equal(notes.get(["a"])[0].vector, right)
    stand(place).store.drop()


def test_a_copy_does_not_vouch_for_rows_of_others(guarded, tmp_path):
    execute(guarded, "UPDATE {table} SET content = 'something else' WHERE id = '78'")
    execute(guarded, "UPDATE {table} SET seal = NULL WHERE id = '79'")
    with pytest.raises(ss.InvalidInput, match="did not write as they are: '78', '79'"):
        copy_collection(guarded, tmp_path / "copy.ss")
    report = copy_collection(guarded, tmp_path / "copy.ss", leave_foreign=True)
    assert (report.rows, report.left) == (5_998, 2)


def test_rows_sorted_by_topic_are_no_strangers(place):
    space, random = ss.Space("samespace/topics", 32), np.random.default_rng(0)
    with ss.open(place, space=space) as notes:
        for topic in range(4):
            vectors = random.standard_normal(32) * 3 + random.standard_normal((3_000, 32))
            names = [f"{topic}-{n}" for n in range(3_000)]
            notes.add([None] * 3_000, ids=names, vectors=ss.Vectors(vectors.astype(np.float32), space, "document"))
        assert verify_collection(notes).suspects == []
        more = random.standard_normal(32) * 3 + random.standard_normal((3_000, 32))
        names = [f"new-{n}" for n in range(3_000)]
        notes.add([None] * 3_000, ids=names, vectors=ss.Vectors(more.astype(np.float32), space, "document"))
        assert verify_collection(notes).suspects == []
    stand(place).store.drop()


def test_what_no_setting_reaches_is_searched_exactly(place, monkeypatch):
    random = np.random.default_rng(0)
    space = ss.Space("samespace/noise", 64)
    with ss.open(place, space=space) as notes:
        vectors = random.standard_normal((6_000, 64)).astype(np.float32)
        notes.add([None] * 6_000, ids=[str(n) for n in range(6_000)], vectors=ss.Vectors(vectors, space, "document"))
        monkeypatch.setattr(type(notes.store), "engines", {"hnsw": (10, 20)})
        assert notes.tune(0.999).engine == "exact"
        queries = ss.Vectors(random.standard_normal((30, 64)).astype(np.float32), space, "query")
        assert notes.nearest(queries).ids.tolist() == notes.nearest(queries, recall=1).ids.tolist()
        notes.store.keep_note("tuning", b"[1, 2")
    with ss.open(place) as notes, pytest.raises(ss.CollectionCorrupt, match="keeps as 'tuning'"):
        notes.search(queries[:1])
    stand(place).store.drop()


def test_tune_on_a_server(place):
    space = ss.Space("samespace/plane", 32)
    with ss.open(place, space=space) as notes:
        names = [str(n) for n in range(4_000)]
        notes.add([None] * 4_000, ids=names, vectors=ss.Vectors(many(4_000), space, "document"))
        seen = []
        tuning = notes.tune(0.95, progress=lambda *step: seen.append(step))
        assert (tuning.engine, tuning.recall) == ("hnsw", 0.95)
        assert tuning.point.recall.low >= 0.95
        assert seen
        assert [part for _, part in seen] == sorted(part for _, part in seen)
        queries = ss.Vectors(many(4_000)[:50], space, "query")
        near, exact = notes.nearest(queries), notes.nearest(queries, recall=1)
        assert np.isclose(near.scores, exact.scores, atol=1e-5).mean() > 0.9
    with ss.open(place) as notes:
        info = notes.info()
        assert (info.declared_recall, info.engine, info.tuning) == (0.95, "hnsw", tuning)
        with pytest.raises(ss.NotFound, match="has no index 'graph'"):
            notes.tune(engines=["graph"])
    stand(place).store.drop()


def test_options_of_folders_are_refused(place):
    for option in ({"engine": "scan"}, {"memory": "half"}, {"on_recall": print}):
        with pytest.raises(ss.InvalidInput, match=f"{next(iter(option))}= is for a collection in a folder"):
            ss.open(place, **option)
