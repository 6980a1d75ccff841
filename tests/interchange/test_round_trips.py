"""A collection goes out and comes back as it was, by every format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import samespace as ss
from samespace import Space, Vectors
from samespace.errors import InvalidInput, StorageError
from samespace.interchange import export_collection, import_collection, read_header
from samespace.interchange.blocks import BLOCK
from samespace.interchange.formats import FORMATS
from samespace.testing.strategies import metadata

TARGETS = ["x.jsonl", "x.parquet", "x.npy", "x.faiss", "lancedb:db?table=x", "chroma:db?collection=xxx"]

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
contents = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def state(collection):
    return [(r.id, r.content, r.metadata, r.vector.tobytes(), r.tokens_seen, r.tokens_total) for r in collection.rows()]


def at(folder, target):
    scheme, colon, rest = target.rpartition(":")
    return f"{scheme}{colon}{Path(folder, rest)}"


def test_there_is_a_target_here_for_every_format():
    assert {row.mark for row in FORMATS} == {
        target.partition(":")[0] + ":" if ":" in target else Path(target).suffix for target in TARGETS
    }


LARGE = [(target, "cosine", 2_000) for target in TARGETS]
LARGE += [
    (target, metric, 200) for target in ("x.faiss", "chroma:db?collection=xxx") for metric in ("dot", "euclidean")
]
LARGE += [(target, "cosine", BLOCK + 404) for target in ("x.jsonl", "x.faiss")]


@pytest.mark.parametrize(("target", "metric", "rows"), LARGE)
def test_thousands_of_rows_and_their_searches(tmp_path, target, metric, rows):
    space = Space("acme/embed", 24, metric)
    draw = np.random.default_rng(3)
    vectors = Vectors(draw.normal(size=(rows, 24)).astype(np.float32), space)
    queries = Vectors(draw.normal(size=(5, 24)).astype(np.float32), space, "query")
    place, counted = at(tmp_path, target), []
    with ss.open(tmp_path / "a.ss", space=space) as before, ss.open(tmp_path / "b.ss", space=space) as after:
        before.add(
            [f"text {n}" if n % 9 else None for n in range(rows)],
            ids=[f"id {n}" for n in range(rows)],
            metadata=[{"n": n, "even": n % 2 == 0, "tags": ["a", "b"]} if n % 5 else {} for n in range(rows)],
            vectors=vectors,
        )
        assert export_collection(before, place, progress=counted.append) == rows == sum(counted)
        assert import_collection(after, place).added == rows
        assert state(after) == state(before)
        for mine, theirs in zip(before.search_batch(queries, 10), after.search_batch(queries, 10), strict=True):
            assert mine == theirs


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(ids, contents, metadata()), max_size=6, unique_by=lambda row: row[0]))
def test_any_row_comes_back(encoder, target, rows):
    with (
        tempfile.TemporaryDirectory() as folder,
        ss.open(Path(folder, "a.ss"), encoder) as before,
        ss.open(Path(folder, "b.ss"), encoder) as after,
    ):
        space = encoder.space
        vectors = np.random.default_rng(len(rows)).normal(size=(len(rows), space.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        before.add(
            [row[1] for row in rows],
            ids=[row[0] for row in rows],
            metadata=[row[2] for row in rows],
            vectors=Vectors(vectors, space),
        )
        export_collection(before, at(folder, target))
        import_collection(after, at(folder, target))
        assert state(after) == state(before)


@pytest.mark.parametrize("target", TARGETS)
def test_tokens_canaries_and_the_encoder_come_along(tmp_path, encoder, target):
    place = at(tmp_path, target)
    with ss.open(tmp_path / "a.ss", encoder) as before, ss.open(tmp_path / "b.ss", encoder) as after:
        before.add(["one cat", "two dogs"])
        export_collection(before, place)
        import_collection(after, place)
        assert state(after) == state(before)
        assert next(after.rows()).tokens_total == 7
        assert after.canaries().to_bytes() == before.canaries().to_bytes()
    header = read_header(place)
    assert (header.space, header.encoder) == (encoder.space, "characters")


@pytest.mark.parametrize("target", TARGETS)
def test_a_second_export_replaces_the_first_and_a_second_import_the_rows(tmp_path, notes, target):
    place = at(tmp_path, target)
    notes.add(["one", "two", "three"], ids=["1", "2", "3"], metadata=[{"n": 1}, {"n": 2}, {"n": 3}])
    export_collection(notes, place)
    assert export_collection(notes, place, {"n": {"$gt": 1}}) == 2
    with ss.open(tmp_path / "b.ss", space=notes.space) as after:
        assert import_collection(after, place).added == 2
        assert import_collection(after, place).replaced == 2
        assert after.count() == 2


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_that_fails_leaves_the_one_before_and_no_drafts(tmp_path, notes, target, monkeypatch):
    folder, place = tmp_path / "out", at(tmp_path / "out", target)
    folder.mkdir()
    notes.add(["one", "two"], ids=["1", "2"])
    export_collection(notes, place)
    there = sorted(path.name for path in folder.rglob("*") if ".lance" not in str(path.parent))

    def rows(_where=None, first=next(iter(notes))):  # noqa: B008
        yield first
        raise StorageError("the disk has gone")

    monkeypatch.setattr(notes, "rows", rows)
    with pytest.raises(StorageError, match="the disk has gone"):
        export_collection(notes, place)
    monkeypatch.undo()
    with ss.open(tmp_path / "b.ss", space=notes.space) as after:
        assert import_collection(after, place).added == 2
    if not target.startswith("chroma"):  # which keeps folders of its own
        assert sorted(path.name for path in folder.rglob("*") if ".lance" not in str(path.parent)) == there


@pytest.mark.parametrize("target", TARGETS)
def test_another_space_stays_outside(tmp_path, notes, target):
    place = at(tmp_path, target)
    notes.add(["one"])
    export_collection(notes, place)
    with ss.open(tmp_path / "b.ss", space=Space("other", notes.space.dimension)) as after:
        with pytest.raises(ss.SpaceMismatch, match="the spaces differ in model"):
            import_collection(after, place)
        assert after.count() == 0


@pytest.mark.parametrize("target", ["x.npy", "x.faiss"])
@pytest.mark.parametrize("change", ["vectors", "rows"])
def test_vectors_and_rows_of_two_exports_are_told_apart(tmp_path, notes, target, change):
    notes.add(["one", "two"], ids=["1", "2"])
    export_collection(notes, tmp_path / target)
    kept = (tmp_path / target).read_bytes()
    notes.add(["three", "four"], ids=["1", "2"])
    export_collection(notes, tmp_path / target)
    if change == "vectors":
        (tmp_path / target).write_bytes(kept)
    else:
        beside = tmp_path / f"{target}.jsonl"
        beside.write_text(beside.read_text().replace("three", "five"))
    with ss.open(tmp_path / "b.ss", space=notes.space) as after:
        with pytest.raises(InvalidInput, match=r"rows of .* are not as samespace exported them"):
            import_collection(after, tmp_path / target)
        assert after.count() == 0


def test_the_files_are_those_that_numpy_and_faiss_read(tmp_path, notes):
    import faiss

    notes.add([f"text {n}" for n in range(30)])
    export_collection(notes, tmp_path / "x.npy")
    export_collection(notes, tmp_path / "x.faiss")
    stored = np.stack([row.vector for row in notes])
    array = np.load(tmp_path / "x.npy")
    assert array.dtype == np.float32
    assert (array == stored).all()
    index = faiss.read_index(str(tmp_path / "x.faiss"))
    scores, numbers = index.search(stored[:4], 3)
    assert (type(index).__name__, index.ntotal, index.metric_type) == ("IndexIDMap2", 30, faiss.METRIC_INNER_PRODUCT)
    assert numbers[:, 0].tolist() == [0, 1, 2, 3]
    assert np.allclose(scores[:, 0], 1)


def test_what_was_removed_from_the_index_is_left_out(tmp_path, notes):
    import faiss

    notes.add([f"text {n}" for n in range(30)], ids=[f"{n}" for n in range(30)])
    export_collection(notes, tmp_path / "x.faiss")
    index = faiss.read_index(str(tmp_path / "x.faiss"))
    index.remove_ids(np.array([3, 17]))
    faiss.write_index(index, str(tmp_path / "x.faiss"))
    with ss.open(tmp_path / "b.ss", space=notes.space) as after:
        import_collection(after, tmp_path / "x.faiss")
        assert state(after) == [row for row in state(notes) if row[0] not in ("3", "17")]
