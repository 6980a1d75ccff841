"""Filters of a collection against a plain Python evaluation of the same tree, and recall under filters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import samespace as ss
from samespace.stores import columns
from samespace.testing.strategies import metadata, wheres
from test_where import naive

SPACE = ss.Space("declared", 8, "cosine")


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """A collection whose rows have all kinds of metadata, with replaced and deleted ones among them."""
    rows: list[dict] = []

    @settings(max_examples=150, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(metadata(), min_size=2, max_size=2))
    def draw(some):
        rows.extend(some)

    draw()
    rng = np.random.default_rng(0)
    with ss.open(tmp_path_factory.mktemp("filters") / "notes.ss", space=SPACE) as notes:
        expected = {}
        for n, row in enumerate(rows):
            expected.pop(str(n % 250), None)
            expected[str(n % 250)] = row
        for start in range(0, len(rows), 50):
            part = range(start, min(start + 50, len(rows)))
            vectors = ss.Vectors(rng.standard_normal((len(part), 8)), SPACE)
            notes.add(
                [f"text {n}" for n in part],
                ids=[str(n % 250) for n in part],
                metadata=[rows[n] for n in part],
                vectors=vectors,
            )
        for name in ("3", "77", "201"):
            notes.delete([name])
            expected.pop(name, None)
        yield notes, expected


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(wheres())
def test_ten_thousand_random_trees_select_the_same_rows(filtered, where):
    notes, rows = filtered
    assert list(notes.ids(where)) == [name for name, row in rows.items() if naive(where, row)]


@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(wheres())
def test_looking_up_in_sorted_values_selects_the_same_rows(filtered, where):
    notes, rows = filtered
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_MANY", 0)
        notes._rows.rows._masks.clear()
        assert list(notes.ids(where)) == [name for name, row in rows.items() if naive(where, row)]
        notes._rows.rows._masks.clear()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(wheres(), st.sampled_from(["vector", "text", "hybrid"]))
def test_every_mode_and_count_and_delete_see_the_same_rows(filtered, where, mode):
    notes, rows = filtered
    expected = {name for name, row in rows.items() if naive(where, row)}
    assert notes.count(where) == len(expected)
    if mode == "vector":
        query = ss.Vectors(np.ones((1, 8)), SPACE, "query")
        assert {hit.id for hit in notes.search(query, k=1_000, where=where)} == expected
    else:
        assert {hit.id for hit in notes.search("text", k=1_000, where=where, mode="text")} == expected


@pytest.mark.parametrize("following", ["random", "clusters"])
def test_filtered_search_finds_what_exact_search_finds(tmp_path, following):
    rng = np.random.default_rng(2)
    space = ss.Space("declared", 64, "cosine", normalized=True)
    centres = rng.standard_normal((200, 64))
    labels = rng.integers(0, 200, 12_000)
    array = (centres[labels] + 0.6 * rng.standard_normal((12_000, 64))).astype(np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    if following == "random":
        rng.shuffle(labels)
    queries = array[rng.choice(12_000, 40, replace=False)] + 0.05 * rng.standard_normal((40, 64))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    with ss.open(tmp_path / "notes.ss", space=space, engine="scan") as notes:
        notes.add(
            [None] * 12_000,
            ids=list(map(str, range(12_000))),
            metadata=[{"label": int(label)} for label in labels],
            vectors=ss.Vectors(array, space),
        )
        for below in (100, 20, 4, 1):  # 50, 10, 2 and .5 percent
            subset = np.flatnonzero(labels < below)
            scores = queries @ array[subset].T
            hits = notes.search_batch(ss.Vectors(queries, space, "query"), k=10, where={"label": {"$lt": below}})
            found = [{int(hit.id) for hit in each} for each in hits]
            best = [set(subset[np.argsort(-row)[:10]].tolist()) for row in scores]
            recall = sum(len(a & b) for a, b in zip(found, best, strict=True)) / sum(map(len, best))
            assert recall >= 0.99
            assert all(labels[n] < below for each in found for n in each)


def test_the_seed_of_random_is_not_the_librarys_business(notes):
    random.seed(5)
    before = random.getstate()
    notes.add(["a text"])
    notes.search("a text")
    assert random.getstate() == before
