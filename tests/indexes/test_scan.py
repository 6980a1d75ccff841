"""What is the scan's own: its guard against too few candidates, numbers out of range."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from samespace.indexes.scan import ScanIndex
from samespace.testing.index_contract import check, clustered
from samespace.vectors import unit


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
    assert index._state.layout.fitted == 4_000


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
