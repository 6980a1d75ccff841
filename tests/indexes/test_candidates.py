"""What built engines have in common: equal vectors, layouts, and knowing when the library is of no use."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from samespace.indexes import ENGINES, engine
from samespace.indexes.graph import GraphIndex
from samespace.indexes.layout import Distances
from samespace.indexes.repeats import Repeats
from samespace.testing.index_contract import check, clustered

BUILT = [name for name, row in ENGINES.items() if row.builds]


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(0, 2)),
    st.integers(1, 5),
    st.data(),
)
def test_equal_rows_are_grouped(vectors, k, data):
    groups = {}
    for position, row in enumerate(vectors.tolist()):
        groups.setdefault(tuple(row), []).append(position)
    repeats = Repeats.find(vectors)
    if repeats is None:
        assert len(groups) == len(vectors)
        return
    firsts = repeats.first.tolist()
    assert sorted(firsts) == sorted(group[0] for group in groups.values())
    asked = data.draw(st.permutations(range(len(firsts))))[:3]
    mask = data.draw(arrays.arrays(np.bool_, len(vectors)))
    members = [groups[tuple(vectors[firsts[group]].tolist())] for group in asked]
    assert repeats.expand(np.array(asked), k).tolist() == [one for group in members for one in group[:k]]
    expected = [one for group in members for one in [each for each in group if mask[each]][:k]]
    assert repeats.expand(np.array(asked), k, mask).tolist() == expected
    rows = repeats.positions(np.array([[*asked, -1], [-1, *asked]]), k)
    assert [[one for one in row if one >= 0] for row in rows.tolist()] == [
        repeats.expand(np.array(asked), k).tolist()
    ] * 2


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("least", [1, 64])
def test_distances_between_rows_have_the_order_of_the_scores(metric, least):
    vectors, queries, _ = clustered(200, 12, metric)
    layout = Distances.fit(vectors, metric, least=least).spanning(vectors)
    rows, asked = layout.rows(vectors), layout.queries(queries)
    assert rows.shape == (200, max(least, 12 + (metric == "dot")))
    for query, row in zip(queries, asked, strict=True):
        scores = -np.linalg.norm(vectors - query, axis=1) if metric == "euclidean" else vectors @ query
        distances = np.linalg.norm(rows - row, axis=1)
        assert (np.argsort(-scores)[:5] == np.argsort(distances)[:5]).all()


def test_an_outlier_does_not_hide_what_is_usual():
    vectors, _, _ = clustered(2_000, 8, "euclidean")
    vectors[7] *= np.float32(1e12)
    assert Distances.fit(vectors, "euclidean").scale < 100


@pytest.mark.parametrize("name", BUILT)
def test_masks_find_k_among_many_repeats(name):
    vectors, queries, of = clustered(1_500, 100, "cosine")
    vectors = vectors[np.concatenate([np.arange(1_500), np.zeros(1_500, int)])]
    index = engine(name)(100, "cosine")
    index.extend(vectors)
    for allowed in (np.arange(3_000) % 2 == 0, np.arange(3_000) >= 1_400, np.concatenate([of, of]) == 3):
        check(index, queries, vectors, 10, allowed)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
@pytest.mark.parametrize("spread", [1e-4, 1e-2])
def test_vectors_that_a_graph_cannot_tell_apart_are_searched_exactly(metric, spread, caplog):
    random = np.random.default_rng(0)
    centres = random.standard_normal((3, 64))
    vectors = (centres[random.integers(0, 3, 3_000)] + spread * random.standard_normal((3_000, 64))).astype("f4")
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = GraphIndex(64, metric)
    with caplog.at_level(logging.WARNING, "samespace.indexes"):
        index.extend(vectors)
    check(index, vectors[:20], vectors, 10)
    assert index.memory > 0 or "searching exactly" in caplog.text


def test_numbers_too_large_are_searched_exactly_and_said(caplog):
    vectors, queries, _ = clustered(1_200, 8, "dot")
    vectors[700] *= np.float32(1e20)
    index = GraphIndex(8, "dot")
    with caplog.at_level(logging.WARNING, "samespace.indexes"):
        index.extend(vectors)
    assert "too large for the engine 'graph'" in caplog.text
    assert index.memory == 0
    check(index, queries[queries @ vectors[700] < 1e30], vectors, 10)


def test_a_build_leaves_the_threads_of_openmp_alone():
    faiss = pytest.importorskip("faiss")
    before = faiss.omp_get_max_threads()
    vectors, queries, _ = clustered(1_200, 8, "dot")
    index = engine("ivf")(8, "dot")
    index.extend(vectors, threads=1)
    index.search(queries, 10)
    assert faiss.omp_get_max_threads() == before
