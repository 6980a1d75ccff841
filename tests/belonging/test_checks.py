from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import samespace as ss
from samespace.belonging.checks import check_block
from samespace.belonging.statistics import Statistics
from samespace.errors import InvalidInput
from samespace.stores.base import Block, seals


@pytest.fixture(scope="module")
def statistics(learned, minilm):
    return Statistics.learn(learned, minilm.space)


def block(vectors, space, *, sealed=True):
    n = len(vectors)
    made = Block([f"row {i}" for i in range(n)], [f"text {i}" for i in range(n)], ["{}"] * n, vectors, [(1, 1)] * n)
    return replace(made, seals=seals(space, made)) if sealed else made


def test_rows_that_samespace_wrote_belong(held_out, minilm, statistics):
    assert check_block(block(held_out[:300], minilm.space), minilm.space, statistics) == []
    assert check_block(block(held_out[:300], minilm.space, sealed=False), minilm.space, None) == []


def test_planted_rows_are_found_by_the_distribution_alone(held_out, rotated, minilm, statistics):
    rows = held_out.copy()
    planted = [100, 500, 899]
    rows[planted] = rotated[planted]
    suspects = check_block(block(rows, minilm.space), minilm.space, statistics)
    assert {f"row {i}" for i in planted} <= {s.id for s in suspects}
    assert len(suspects) <= len(planted) + 1
    assert all(s.why == "distribution" for s in suspects)
    assert "rows of the space lie within" in suspects[0].detail


def test_one_reason_a_row_in_the_order_of_rows(held_out, rotated, minilm, statistics):
    space = minilm.space
    rows = block(held_out[:8].copy(), space)
    rows.vectors[1] *= 2  # the seal does not fit either
    rows.vectors[2] = rotated[2]  # nor here
    rows.contents[3] = "another text"
    rows.seals[4] = None
    rows.vectors[5] = np.nan
    rows.vectors[6] = 0
    found = check_block(rows, space, statistics)
    assert [(s.id, s.why) for s in found] == [
        ("row 1", "norm"),
        ("row 2", "distribution"),
        ("row 3", "seal"),
        ("row 4", "unsealed"),
        ("row 5", "norm"),
        ("row 6", "norm"),
    ]
    assert found[0].detail == "length 2, not 1"
    assert found[4].detail == "NaN"
    assert [s.why for s in check_block(rows, space, None)] == ["norm", "seal", "seal", "unsealed", "norm", "norm"]


def test_another_dimension_is_told_of_every_row(held_out, minilm, statistics):
    suspects = check_block(block(held_out[:3, :100].copy(), minilm.space), minilm.space, statistics)
    assert [(s.why, s.detail) for s in suspects] == [("dimension", "dimension 100, not 384")] * 3


@pytest.mark.parametrize(
    ("space", "length", "why"),
    [
        (ss.Space("unit", 2), 1.0005, []),
        (ss.Space("unit", 2), 1.01, ["norm"]),
        (ss.Space("dot", 2, "dot"), 40.0, []),
        (ss.Space("dot", 2, "dot", normalized=True), 1.005, []),
        (ss.Space("dot", 2, "dot", normalized=True), 40.0, ["norm"]),
        (ss.Space("far", 2, "euclidean"), np.inf, ["norm"]),
    ],
)
def test_lengths_that_the_space_cannot_have(space, length, why):
    vectors = np.array([[length, 0]], np.float32)
    assert [s.why for s in check_block(block(vectors, space), space, None)] == why


def test_an_empty_block(minilm, statistics):
    assert check_block(block(np.empty((0, 384), np.float32), minilm.space), minilm.space, statistics) == []


def test_statistics_of_another_space(held_out, minilm, statistics):
    other = ss.Space("another", 384)
    with pytest.raises(InvalidInput, match=r"The statistics are of the space .* another"):
        check_block(block(held_out[:2], other), other, statistics)
