"""Vectors: what may come in, and the one function that compares them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samespace import InvalidInput, InvalidVectors, Space, SpaceMismatch, Vectors, similarity
from samespace.vectors import Receipts, concatenate

COSINE = Space("m", 3, "cosine")
UNIT = Space("m", 3, "cosine", normalized=True)
DOT = Space("m", 3, "dot")
EUCLIDEAN = Space("m", 3, "euclidean")

floats = st.floats(-1e3, 1e3, width=32).map(lambda x: np.float32(round(x, 2)))
matrices = hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(3)), elements=floats).filter(
    lambda a: (np.abs(a).sum(1) > 0.1).all()
)


@given(matrices, matrices)
def test_scores_are_the_textbook_ones(a, b):
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    dots = wide_a @ wide_b.T
    lengths = np.linalg.norm(wide_a, axis=1)[:, None] * np.linalg.norm(wide_b, axis=1)[None, :]
    distances = np.linalg.norm(wide_a[:, None] - wide_b[None], axis=2)
    for space, expected in ((COSINE, dots / lengths), (DOT, dots), (EUCLIDEAN, -distances)):
        scores = similarity(Vectors(a, space, "query"), Vectors(b, space))
        assert scores.shape == (len(a), len(b))
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-3 * max(1, np.abs(expected).max()))


def test_euclidean_is_exact_between_near_duplicates():
    base = np.array([[1000.0, 1000.0, 1000.0]], np.float32)
    near = base + np.array([[0.5, 0.0, 0.0]], np.float32)
    assert similarity(Vectors(base, EUCLIDEAN), Vectors(near, EUCLIDEAN))[0, 0] == pytest.approx(-0.5, rel=1e-4)


def test_cosine_neither_overflows_nor_underflows():
    tiny, huge = np.full((1, 3), 1e-30, np.float32), np.full((1, 3), 1e30, np.float32)
    assert similarity(Vectors(tiny, COSINE), Vectors(huge, COSINE))[0, 0] == pytest.approx(1, abs=1e-6)


def test_two_spaces_never_meet():
    a = Vectors(np.eye(3, dtype=np.float32), COSINE)
    b = Vectors(np.eye(3, dtype=np.float32), DOT)
    with pytest.raises(SpaceMismatch, match="metric: 'cosine' against 'dot'"):
        similarity(a, b)
    with pytest.raises(SpaceMismatch):
        concatenate([a, b], COSINE, "document")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_any_float_is_taken(dtype):
    vectors = Vectors(np.eye(3, dtype=dtype), COSINE)
    assert vectors.array.dtype == np.float32
    assert vectors.array.dtype.isnative
    np.testing.assert_array_equal(vectors.array, np.eye(3))


def test_odd_layouts_are_taken():
    array = np.arange(36, dtype=np.float32).reshape(6, 6) + 1
    for view in (array[::2, ::2], array[:3, :3].T, np.asfortranarray(array[:, :3])):
        np.testing.assert_array_equal(Vectors(view, COSINE).array, view)
        assert Vectors(view, COSINE).array.flags.c_contiguous
    assert Vectors([[1.0, 2.0, 3.0]], COSINE).array.shape == (1, 3)


@pytest.mark.parametrize("empty", [[], [[]], np.empty((0, 3)), np.empty(0)])
def test_no_rows_are_fine(empty):
    assert Vectors(empty, COSINE).array.shape == (0, 3)


@pytest.mark.parametrize(
    ("array", "space", "message"),
    [
        ([[1.0, np.nan, 0.0]], COSINE, "Row 0 contains NaN; every number of a vector must be a finite float32."),
        ([[1.0, 0.0, 0.0], [0.0, np.inf, 0.0]], DOT, "Row 1 contains infinity"),
        ([[1e300, 0.0, 0.0]], DOT, "Row 0 contains infinity"),
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], COSINE, "Row 1 is all zeros, which has no direction"),
        ([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], UNIT, "Row 1 has length 2, but the space m (3-d, cosine"),
        ([1.0, 2.0, 3.0], COSINE, "Expected shape (n, 3), got (3,). One vector is a matrix of one row: array[None, :]"),
        (np.ones((2, 3, 1)), COSINE, "Expected shape (n, 3), got (2, 3, 1)."),
        (np.ones((2, 4)), COSINE, "Expected vectors of dimension 3, got 4."),
        ([[1.0, 2.0, 3.0], [1.0, 2.0]], COSINE, "Expected rows of 3 floats; row 1 is length 2."),
        ([[1.0, 2.0, 3.0], 5.0], COSINE, "Expected rows of 3 floats; row 1 is a float."),
        (np.ones((2, 3), np.int64), COSINE, "Expected an array of floats, got dtype int64. Convert it with"),
        (np.ones((2, 3), np.complex64), COSINE, "got dtype complex64"),
        (np.ones((2, 3), bool), COSINE, "got dtype bool"),
        ([["a", "b", "c"]], COSINE, "got dtype <U1"),
        (np.array([[1.0, None, 2.0]]), COSINE, "Expected floats, got Python objects."),
    ],
)
def test_what_is_no_array_of_vectors(array, space, message):
    with pytest.raises(InvalidVectors) as caught:
        Vectors(array, space)
    assert message in str(caught.value)


def test_a_raw_array_comes_with_its_space():
    with pytest.raises(InvalidInput, match="Vectors need the Space they live in, got str"):
        Vectors(np.eye(3), "minilm")
    with pytest.raises(InvalidInput, match="similarity compares Vectors, got ndarray"):
        similarity(np.eye(3), np.eye(3))
    with pytest.raises(InvalidInput, match="role must be 'document' or 'query', got 'passage'"):
        Vectors(np.eye(3), COSINE, "passage")


def test_rows_and_receipts_are_cut_together():
    receipts = Receipts(np.array([3, 4, 5], np.int32), np.array([3, 9, 5], np.int32))
    vectors = Vectors(np.eye(3), COSINE, receipts=receipts)
    assert receipts.truncated.tolist() == [False, True, False]
    assert vectors[1:].receipts.total.tolist() == [9, 5]
    assert len(vectors[[2, 0]]) == 2
    assert concatenate([vectors[:1], vectors[1:]], COSINE, "document").receipts.total.tolist() == [3, 9, 5]
    with pytest.raises(InvalidInput, match=r"vectors\[1:2\]"):
        vectors[1]
    with pytest.raises(InvalidVectors, match="3 receipts came for 2 vectors"):
        Vectors(np.eye(3)[:2], COSINE, receipts=receipts)


def test_cosine_normalises_once():
    vectors = Vectors(np.eye(3) * 5, COSINE)
    assert vectors.comparable is vectors.comparable
    np.testing.assert_array_equal(vectors.comparable, np.eye(3))
    assert Vectors(np.eye(3) * 5, DOT).comparable[0, 0] == 5
