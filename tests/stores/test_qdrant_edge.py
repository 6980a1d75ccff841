"""Qdrant Edge: the engine in the process, which is Qdrant's own, in Rust."""

from __future__ import annotations

import concurrent.futures
import json
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import qdrant_edge as edge

from samespace.errors import CollectionBusy, CollectionClosed, CollectionCorrupt, InvalidInput, NotFound, Unsupported
from samespace.stores import connect
from samespace.stores.base import EXACT
from samespace.stores.qdrant_core.points import point_id, survives
from samespace.testing.store_contract import Gap, block_of, space_of
from samespace.where import parse
from stores.qdrant_places import QdrantContract, quick_folder


class TestQdrantEdge(QdrantContract):
    gaps = {
        "test_filter[range of texts]": Gap(Unsupported, "Qdrant does not order texts"),
        "test_finds_words": Gap(Unsupported, "Qdrant ranks by words over sparse vectors only"),
        "test_holds[integers of any size]": Gap(InvalidInput, "Qdrant holds whole numbers of 64 bits"),
    }

    @pytest.fixture
    def place(self):
        with quick_folder() as folder:
            yield f"qdrant-edge:{folder / 'notes'}"


@pytest.fixture
def folder():
    with quick_folder() as found:
        yield found


def best(query, vectors, k):
    return [str(n) for n in np.argsort(-(vectors.astype(np.float64) @ query.astype(np.float64)))[:k]]


# The engine itself


def test_survives_tells_what_the_engine_does(folder):
    """Qdrant reads some floats of its own JSON one digit off; which ones is known before they are written."""
    store = connect(f"qdrant-edge:{folder / 'notes'}", space_of())
    noise = np.random.default_rng(0)
    anything = [struct.unpack("<d", noise.bytes(8))[0] for _ in range(2_000)]
    values = [*noise.random(2_000).tolist(), *(value for value in anything if np.isfinite(value)), 0.1 + 0.2, 5e-324]
    values = [value for value in values if not 2**53 <= abs(value) <= 2**63]
    lost = [value for value in values if not survives(value)]
    assert 100 < len(lost) < len(values) - 100
    store.write(block_of(1, metadata=[{"a": values, "b": {"c": values}}]))
    raw = store.engine.retrieve([point_id("0")], payload=True)[0].payload
    assert [value for value, kept in zip(values, raw["metadata"]["a"], strict=True) if value != kept] == lost
    assert json.loads(store.get(["0"]).metadata[0]) == {"a": values, "b": {"c": values}}
    assert store.nearest(block_of(1).vectors, 1)[0][0].metadata == {"a": values, "b": {"c": values}}
    store.close()


def test_paths_and_numbers_as_the_engine_takes_them(folder):
    store = connect(f"qdrant-edge:{folder / 'notes'}", space_of())
    odd = ["", "a.b", "a[0]", "größe", "x$", "it's", " ", "a\nb", "\U0001f600", "id"]
    numbers = [2**53, 2**53 + 1, 2**60 + 129, 2**63 - 1, -(2**63), 9e18, 1.5, 1e300]
    rows = [{name: n} for n, name in enumerate(odd)] + [{"n": number} for number in numbers]
    store.write(block_of(len(rows), metadata=rows))
    wheres = [{name: n} for n, name in enumerate(odd)] + [{name: {"$exists": False}} for name in odd]
    wheres += [{"n": {word: bound}} for word in ("$eq", "$gt", "$lte") for bound in [*numbers, 2**63, 10**400, 1e19]]
    for where in wheres:
        condition = parse(where)
        expected = {str(n) for n, fields in enumerate(rows) if condition.matches(fields)}
        assert {hit.id for hit in store.nearest(block_of(1).vectors, 50, condition)[0]} == expected, where
    store.close()


def test_an_index_of_another_kind_changes_no_answer(folder):
    """A path has one payload index, and the first filter chose its kind."""
    rows = [{"n": 1}, {"n": "1"}, {"n": True}, {"n": 1.5}, {"n": None}, {"n": [1, "a", False]}, {"n": []}, {}]
    wheres = [{"n": value} for value in (1, "1", True, 1.5, None, "a", False)]
    wheres += [{"n": {"$gte": 1}}, {"n": {"$exists": True}}, {"n": {"$exists": False}}, {"n": {"$ne": 1}}]
    for kind in ("float", "keyword", "bool"):
        store = connect(f"qdrant-edge:{folder / kind}", space_of())
        store.write(block_of(4, metadata=rows[:4]))
        store.engine.index("metadata.n", kind)
        store.write(block_of(4, first=4, metadata=rows[4:]))
        for where in wheres:
            condition = parse(where)
            expected = {str(n) for n, fields in enumerate(rows) if condition.matches(fields)}
            assert {hit.id for hit in store.nearest(block_of(1).vectors, 50, condition)[0]} == expected, (kind, where)
        store.drop()


def test_graph(folder):
    """A filtered search in the graph falls short of nothing, and an effort of EXACT compares with every vector."""
    store = connect(f"qdrant-edge:{folder / 'notes'}?quantization=int8", space_of(512))
    rows = block_of(5_400, store.space, metadata=[{"n": n} for n in range(5_400)])  # beyond 10,000 kB
    store.write(rows)
    assert store.figures().engine == "exact"
    store.build("hnsw")
    figures = store.figures()
    assert (figures.engine, figures.indexed) == ("hnsw", 5_400)
    assert figures.size > rows.vectors.nbytes
    queries = block_of(20, store.space, seed=5).vectors
    truth = [best(query, rows.vectors, 10) for query in queries]

    def recall(**options):
        found = store.nearest(queries, 10, **options)
        return np.mean(
            [len({hit.id for hit in hits} & {*names}) / 10 for hits, names in zip(found, truth, strict=True)]
        )

    assert recall(effort=EXACT) == 1
    assert recall(effort=512) > recall(effort=16)
    for query in queries[:5]:
        hits = store.nearest(query[None], 10, parse({"n": {"$lt": 60}}))[0]
        assert [hit.id for hit in hits] == best(query, rows.vectors[:60], 10)
        truth_scores = [float(query @ rows.vectors[int(hit.id)]) for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], truth_scores, atol=1e-5)
    store.build("exact")
    assert recall() == 1
    assert store.get(["77"]).vectors.tobytes() == rows.vectors[77].tobytes()
    store.close()


def test_searches_go_on_while_a_graph_is_made(folder):
    store = connect(f"qdrant-edge:{folder / 'notes'}", space_of(32))
    rows = block_of(3_000, store.space)
    store.write(rows)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        building = pool.submit(lambda: [store.build(engine) for engine in ("hnsw", "exact", "hnsw")])
        searches = 0
        while not building.done():
            assert store.nearest(rows.vectors[7:8], 1)[0][0].id == "7"
            searches += 1
        building.result()
    assert searches > 3
    store.close()


def test_build_of_something_else(folder):
    store = connect(f"qdrant-edge:{folder / 'notes'}", space_of())
    with pytest.raises(InvalidInput, match="there are hnsw and exact"):
        store.build("ivf")
    store.close()


# The folder


def test_what_was_written_is_there_after_a_kill(folder):
    place = f"qdrant-edge:{folder / 'notes'}"
    program = (
        "import os, samespace.stores as s\nfrom samespace.testing.store_contract import block_of, space_of\n"
        f"store = s.connect({place!r}, space_of())\nstore.write(block_of(100))\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    store = connect(place)
    assert store.get([str(n) for n in range(100)]).vectors.tobytes() == block_of(100).vectors.tobytes()
    store.close()


def test_a_folder_for_one_process(folder):
    place = f"qdrant-edge:{folder / 'notes'}"
    store = connect(place, space_of())
    program = f"import samespace.stores as s\ntry: s.connect({place!r})\nexcept Exception as e: print(repr(e))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert CollectionBusy.__name__ in said
    store.close()


def test_folders_that_are_none(folder):
    place = folder / "notes"
    with pytest.raises(NotFound):
        connect(f"qdrant-edge:{place}")
    with pytest.raises(InvalidInput, match="no folder"):
        connect("qdrant-edge:", space_of())
    place.mkdir()
    (place / "letter.txt").write_text("Dear all")
    with pytest.raises(InvalidInput, match="other files"):
        connect(f"qdrant-edge:{place}", space_of())
    assert [file.name for file in folder.rglob("*")] == ["notes", "letter.txt"]
    shutil.rmtree(place)
    # The shard of somebody else.
    place.mkdir()
    config = edge.EdgeConfig(vectors={"embedding": edge.EdgeVectorParams(8, edge.Distance.Dot)})
    shard = edge.EdgeShard.create(str(place), config)
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, {"embedding": [0.0] * 8}, {"a": 1})]))
    shard.close()
    for space in (None, space_of()):
        with pytest.raises(InvalidInput, match="not a collection of samespace"):
            connect(f"qdrant-edge:{place}", space)
    (place / "edge_config.json").write_text("{")
    with pytest.raises(CollectionCorrupt, match="Restore the folder"):
        connect(f"qdrant-edge:{place}")


def test_a_shard_with_lost_files_is_told(folder):
    place = folder / "notes"
    store = connect(f"qdrant-edge:{place}", space_of())
    store.write(block_of(10))
    store.close()
    for file in (place / "segments").rglob("*.json"):
        file.write_text("{}")
    with pytest.raises(CollectionCorrupt):
        connect(f"qdrant-edge:{place}")


def test_dropped_under_somebody(folder):
    place = f"qdrant-edge:{folder / 'notes'}"
    first, second = connect(place, space_of()), connect(place)
    first.drop()
    with pytest.raises(CollectionClosed):
        second.count()
    third = connect(place, space_of(4))
    second.close()
    assert third.count() == 0
    third.close()


def test_making_is_all_or_nothing(folder, monkeypatch):
    def torn(*_):
        raise RuntimeError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("samespace.stores.qdrant_edge.record_of", torn)
        with pytest.raises(OSError, match="No space left"):
            connect(f"qdrant-edge:{folder / 'notes'}", space_of())
    assert list(folder.iterdir()) == []
    connect(f"qdrant-edge:{folder / 'notes'}", space_of()).close()


def test_rows_of_others(folder):
    store = connect(f"qdrant-edge:{folder / 'notes'}", space_of())
    store.write(block_of(3))
    planted = [
        edge.Point(7, {"embedding": [0.5] * 8}, {"metadata": {"year": 2024}}),
        edge.Point(8, {}, {"samespace": {"seq": "x", "seal": 5}}),
    ]
    store.engine._shared.shard.update(edge.UpdateOperation.upsert_points(planted))
    assert [name for block, _ in store.scan() for name in block.ids] == ["0", "1", "2", "7", "8"]
    assert (store.count(), store.unsealed(), store.count(parse({"year": 2024}))) == (5, 1, 1)
    assert store.delete(["7", "8"]) == 2
    assert store.count() == 3
    store.close()
