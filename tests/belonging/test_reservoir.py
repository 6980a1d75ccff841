from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.belonging.reservoir import Reservoir


def numbered(first, n):
    return np.arange(first, first + n, dtype=np.float32)[:, None]


def sampled(size, cuts, seed=0):
    reservoir, first = Reservoir(size, 1, seed=seed), 0
    for n in cuts:
        reservoir.extend(numbered(first, n))
        first += n
    return reservoir.sample[:, 0].tolist()


def test_every_row_is_as_likely_as_any_other():
    counts = np.zeros(100)
    for seed in range(4_000):
        counts[np.array(sampled(10, [37, 63], seed), int)] += 1
    assert counts.sum() == 40_000
    # 400 are expected of each, with a standard deviation of 19; chi squared of 99 degrees is below 160 but for 1e-4.
    assert ((counts - 400) ** 2 / (400 * 0.9)).sum() < 160


@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=8), st.integers(0, 3))
def test_it_does_not_matter_how_rows_are_cut_into_blocks(size, cuts, seed):
    whole = sampled(size, [sum(cuts)], seed)
    assert sampled(size, cuts, seed) == whole
    assert len(set(whole)) == len(whole) == min(size, sum(cuts))
    assert all(0 <= row < sum(cuts) for row in whole)


def test_few_rows_are_all_kept_in_order():
    reservoir = Reservoir(5, 1)
    assert reservoir.sample.shape == (0, 1)
    reservoir.extend(numbered(0, 3))
    assert len(reservoir) == 3
    assert reservoir.sample[:, 0].tolist() == [0, 1, 2]


def test_many_rows_cost_little():
    reservoir = Reservoir(10, 4, seed=1)
    block = np.zeros((100_000, 4), np.float32)
    for _ in range(50):
        reservoir.extend(block)
    assert len(reservoir) == 10
    assert reservoir.sample.shape == (10, 4)


def test_another_seed_is_another_sample():
    assert sampled(10, [1_000], 1) == sampled(10, [1_000], 1)
    assert sampled(10, [1_000], 1) != pytest.approx(sampled(10, [1_000], 2))
