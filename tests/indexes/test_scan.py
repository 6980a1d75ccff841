"""What is the scan's own: its file, its guard against too few candidates, numbers out of range."""

from __future__ import annotations

import functools
import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samespace.errors import CollectionCorrupt, StorageError
from samespace.indexes import scan
from samespace.indexes.scan import ScanIndex
from samespace.testing.index_contract import check, clustered
from samespace.vectors import unit


@functools.cache
def saved(metric):
    vectors, queries, _ = clustered(1_200, 8, metric)
    index = ScanIndex(8, metric)
    index.extend(vectors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan"
        index.save(path)
        return vectors, queries, index.search(queries, 10), path.read_bytes()


def load(data, vectors, metric):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan"
        path.write_bytes(data)
        return ScanIndex.load(path, vectors, metric)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["cosine", "dot", "euclidean"]))
def test_a_damaged_file_is_noticed(data, metric):
    vectors, _, _, content = saved(metric)
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
            load(damaged, vectors, metric)


def test_an_undamaged_file_answers_the_same():
    vectors, queries, truth, content = saved("dot")
    found = load(content, vectors, "dot").search(queries, 10)
    np.testing.assert_array_equal(found.positions, truth.positions)
    np.testing.assert_array_equal(found.scores, truth.scores)


def test_a_file_of_other_vectors_is_refused(tmp_path, monkeypatch):
    vectors, _, _, content = saved("dot")
    with pytest.raises(CollectionCorrupt, match=r"its count is 1200, expected 1199\. Delete it"):
        load(content, vectors[:-1], "dot")
    with pytest.raises(CollectionCorrupt, match="its metric is 'dot', expected 'cosine'"):
        load(content, vectors, "cosine")
    with pytest.raises(CollectionCorrupt, match="its dimension is 8, expected 9"):
        load(content, np.zeros((1_200, 9), np.float32), "dot")
    with pytest.raises(CollectionCorrupt, match="its vectors is"):
        load(content, vectors + 1, "dot")
    monkeypatch.setattr(scan, "_VERSION", 2)
    with pytest.raises(CollectionCorrupt, match="its version is 1, expected 2"):
        load(content, vectors, "dot")


def test_a_file_that_cannot_be_read_or_written(tmp_path):
    vectors, _, _, _ = saved("dot")
    with pytest.raises(CollectionCorrupt, match="Cannot read"):
        ScanIndex.load(tmp_path / "nothing", vectors, "dot")
    with pytest.raises(StorageError, match="Cannot write"):
        ScanIndex(8, "dot").save(tmp_path / "no folder" / "scan")


def test_saving_leaves_one_file_and_replaces_it(tmp_path):
    vectors, _, _, _ = saved("dot")
    index = ScanIndex(8, "dot")
    index.save(tmp_path / "scan")
    index.extend(vectors)
    index.save(tmp_path / "scan")
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]
    assert len(ScanIndex.load(tmp_path / "scan", vectors, "dot")) == 1_200


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1e-2, 0.1])
def test_near_duplicates_cost_no_recall(metric, spread):
    # 4 bits cannot tell them apart: reranking the first 40 alone finds as little as a fifth of the best.
    random = np.random.default_rng(0)
    centres = random.standard_normal((3, 64))
    vectors = (centres[random.integers(0, 3, 6_000)] + spread * random.standard_normal((6_000, 64))).astype("f4")
    queries = vectors[:20] + np.float32(spread) * random.standard_normal((20, 64)).astype("f4")
    if metric == "cosine":
        vectors, queries = unit(vectors), unit(queries)
    index = ScanIndex(64, metric)
    index.extend(vectors)
    check(index, queries, vectors, 10)


def test_real_filters_on_a_larger_index():
    vectors, queries, of = clustered(20_000, 96, "cosine")
    index = ScanIndex(96, "cosine")
    index.extend(vectors)
    random = np.random.default_rng(3)
    for part in (0.5, 0.1, 0.02, 0.005):
        by_chance = random.random(20_000) < part
        by_cluster = np.zeros(20_000, bool)
        by_cluster[np.argsort(of, kind="stable")[: int(20_000 * part)]] = True
        for allowed in (by_chance, by_cluster):
            check(index, queries, vectors, 10, allowed)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_later_vectors_of_another_scale_are_laid_out_anew(metric):
    vectors, queries, _ = clustered(4_000, 16, metric)
    vectors[200:] *= 1_000
    index = ScanIndex(16, metric)
    index.extend(vectors[:200])
    index.extend(vectors)
    check(index, queries * np.float32(1_000), vectors, 10)
    assert index._state.frame.fitted == 4_000


def test_a_number_out_of_range_is_searched_exactly_and_said(caplog):
    vectors, queries, _ = clustered(3_000, 8, "dot")
    vectors[2_000] *= np.float32(1e20)
    index = ScanIndex(8, "dot")
    index.extend(vectors[:1_500])
    assert index.memory > 0
    with caplog.at_level(logging.WARNING, "samespace.indexes"):
        index.extend(vectors)
    assert "too large for codes" in caplog.text
    found = index.search(queries, 10)
    assert (found.positions == 2_000).sum() == (queries @ vectors[2_000] > 0).sum()
    assert index.memory == 0
