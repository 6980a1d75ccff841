"""The files of all engines that keep one: damage is noticed, and so is a file of something else."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samespace.errors import CollectionCorrupt, StorageError
from samespace.indexes import ENGINES, engine, scan, sealed
from samespace.indexes.graph import GraphIndex
from samespace.testing.index_contract import clustered

KEPT = [name for name, row in ENGINES.items() if row.keeps]
kept = pytest.mark.parametrize("name", KEPT)


@functools.cache
def saved(name, metric="dot"):
    """Vectors, some of them repeated, queries, their answer, and the file."""
    vectors, queries, _ = clustered(1_200, 8, metric)
    vectors[1_150:] = vectors[:50]
    index = engine(name)(8, metric)
    index.extend(vectors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        index.save(path)
        assert [each.name for each in Path(folder).iterdir()] == [name]
        return vectors, queries, index.search(queries, 10), path.read_bytes()


def load(name, data, vectors, metric="dot"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            return engine(name).load(path, vectors, metric)
        finally:
            assert [each.name for each in Path(folder).iterdir()] == [name]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(KEPT))
def test_a_damaged_file_is_noticed(data, name):
    vectors, _, _, content = saved(name)
    at = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "more", "zeros", "hole"]))
    match damage:
        case "flip":
            bit = data.draw(st.integers(0, 7))
            damaged = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
        case "cut":
            damaged = content[:at]
        case "more":
            damaged = content + data.draw(st.binary(min_size=1, max_size=9))
        case "zeros":
            damaged = content[:at] + bytes(len(content) - at)
        case "hole":
            damaged = content[:at] + content[at + 1 :]
    if damaged != content:
        with pytest.raises(CollectionCorrupt, match="Delete it"):
            load(name, damaged, vectors)


@kept
def test_an_undamaged_file_answers_the_same(name):
    vectors, queries, truth, content = saved(name)
    found = load(name, content, vectors).search(queries, 10)
    np.testing.assert_array_equal(found.positions, truth.positions)
    np.testing.assert_array_equal(found.scores, truth.scores)


@kept
def test_a_file_of_other_vectors_is_refused(name):
    vectors, _, _, content = saved(name)
    with pytest.raises(CollectionCorrupt, match=r"its count is 1200, expected 1199\. Delete it"):
        load(name, content, vectors[:-1])
    with pytest.raises(CollectionCorrupt, match="its metric is 'dot', expected 'cosine'"):
        load(name, content, vectors, "cosine")
    with pytest.raises(CollectionCorrupt, match="its dimension is 8, expected 9"):
        load(name, content, np.zeros((1_200, 9), np.float32))
    with pytest.raises(CollectionCorrupt, match="its vectors is"):
        load(name, content, vectors + 1)
    other = KEPT[KEPT.index(name) - 1]
    with pytest.raises(CollectionCorrupt, match=f"its engine is '{name}', expected '{other}'"):
        load(other, content, vectors)


def test_a_file_of_another_version_is_refused(monkeypatch):
    vectors, _, _, content = saved("scan")
    monkeypatch.setattr(scan, "_VERSION", 2)
    with pytest.raises(CollectionCorrupt, match="its version is 1, expected 2"):
        load("scan", content, vectors)
    vectors, _, _, content = saved("graph")
    monkeypatch.setattr(GraphIndex, "_library_version", classmethod(lambda cls: "rabitqlib 9"))
    with pytest.raises(CollectionCorrupt, match=r"its library is 'rabitqlib .*', expected 'rabitqlib 9'"):
        load("graph", content, vectors)


@kept
def test_a_file_that_cannot_be_read_or_written(name, tmp_path):
    vectors, _, _, _ = saved(name)
    with pytest.raises(CollectionCorrupt, match="Cannot read"):
        engine(name).load(tmp_path / "nothing", vectors, "dot")
    index = load(name, saved(name)[3], vectors)
    with pytest.raises(StorageError, match="Cannot write"):
        index.save(tmp_path / "no folder" / name)
    assert not list(tmp_path.iterdir())


@kept
def test_saving_leaves_one_file_and_replaces_it(name, tmp_path):
    vectors, _, _, content = saved(name)
    engine(name)(8, "dot").save(tmp_path / name)
    load(name, content, vectors).save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(engine(name).load(tmp_path / name, vectors, "dot")) == 1_200


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_a_payload_in_parts_is_the_payload(parts):
    with tempfile.TemporaryDirectory() as folder:
        path, one = Path(folder) / "sealed", Path(folder) / "one"
        one.write_bytes(b"from a file")
        sealed.write(path, {"a": 1}, *parts, one)
        header, payload = sealed.read(path)
        assert header == {"a": 1}
        assert bytes(payload) == b"".join(parts) + b"from a file"
