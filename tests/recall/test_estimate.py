from __future__ import annotations

import numpy as np
import pytest

from samespace.indexes.base import Neighbours
from samespace.recall.estimate import Estimate, estimate, recalls


def answer(*rows):
    """Neighbours of (position, score) pairs, padded."""
    width = max(map(len, rows))
    full = [[*row, *[(-1, -np.inf)] * (width - len(row))] for row in rows]
    return Neighbours(
        np.array([[p for p, _ in row] for row in full], np.int64).reshape(len(rows), width),
        np.array([[s for _, s in row] for row in full], np.float32).reshape(len(rows), width),
    )


def test_the_share_of_true_hits():
    truth = answer([(1, 0.9), (2, 0.8), (3, 0.7), (4, 0.6)], [(5, 0.5), (6, 0.4), (7, 0.3), (8, 0.2)])
    found = answer([(1, 0.9), (3, 0.7), (9, 0.5), (10, 0.4)], [(5, 0.5), (6, 0.4), (7, 0.3), (8, 0.2)])
    assert recalls(found, truth).tolist() == [0.5, 1.0]


def test_another_row_that_scores_as_well_counts():
    truth = answer([(1, 0.9), (2, 0.8)])
    assert recalls(answer([(1, 0.9), (7, 0.8)]), truth).tolist() == [1.0]
    a_step_below = float(np.nextafter(np.float32(0.8), np.float32(0)))
    assert recalls(answer([(1, 0.9), (7, a_step_below)]), truth).tolist() == [1.0]
    assert recalls(answer([(1, 0.9), (7, 0.7999)]), truth).tolist() == [0.5]


def test_a_truth_of_fewer_counts_what_there_is():
    truth = answer([(1, 0.9), (2, 0.8)], [(1, 0.9)], [])
    found = answer([(1, 0.9)], [(1, 0.9)], [])
    assert recalls(found, truth).tolist() == [0.5, 1.0, 1.0]
    assert recalls(answer([], [], []), answer([], [], [])).tolist() == [1.0, 1.0, 1.0]


def test_nothing_found():
    assert recalls(answer([], []), answer([(1, 0.9)], [(2, 0.1)])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("score", [-1e-30, 0.0, np.inf, -np.inf, 3e38])
def test_scores_of_any_size(score):
    assert recalls(answer([(1, score)]), answer([(1, score)])).tolist() == [1.0]
    assert recalls(answer([]), answer([(1, score)])).tolist() == [0.0]


@pytest.mark.parametrize("queries", [1, 10, 100, 1_000, 4_000])
def test_where_everything_was_found_the_next_query_may_still_find_nothing(queries):
    found = estimate(np.ones(queries))
    assert (found.recall, found.high, found.queries) == (1.0, 1.0, queries)
    assert found.low == pytest.approx(0.025 ** (1 / queries), abs=0.1 / queries)  # Clopper and Pearson's


def test_of_ones_and_noughts_it_is_the_exact_interval():
    found = estimate([0.0] * 5 + [1.0] * 95)
    assert (found.low, found.high) == (pytest.approx(0.8872, abs=2e-3), pytest.approx(0.9836, abs=2e-3))


def test_shares_that_differ_less_say_more():
    some, all_or_nothing = estimate([0.9, 1.0] * 500), estimate([1.0] * 950 + [0.0] * 50)
    assert some.recall == all_or_nothing.recall == pytest.approx(0.95)
    assert some.high - some.low < (all_or_nothing.high - all_or_nothing.low) / 3


def test_the_same_shares_give_the_same_interval_in_any_order():
    shares = np.random.default_rng(1).integers(0, 11, 300) / 10
    assert estimate(shares) == estimate(np.sort(shares)) == estimate(shares.tolist())


def test_no_queries_tell_nothing():
    assert estimate([]) == Estimate(1.0, 0.0, 1.0, 0)


def test_round_trip():
    found = estimate([0.5, 1.0])
    assert Estimate.from_dict(found.to_dict()) == found


def of_ten(p, spread, queries, random):
    """Shares of ten hits, each missed with a query's own probability; the larger ``spread``, the more these differ."""
    missed = random.beta((1 - p) / spread, p / spread, queries) if spread else np.full(queries, 1 - p)
    return 1 - random.binomial(10, missed) / 10


MODELS = {
    "independent hits": lambda p, n, random: of_ten(p, 0, n, random),
    "hard queries": lambda p, n, random: of_ten(p, 0.2, n, random),
    "all or nothing": lambda p, n, random: (random.random(n) < p).astype(float),
}


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 0.998, 0.9995])
@pytest.mark.parametrize("model", MODELS)
def test_the_interval_covers_the_mean(model, p):
    random = np.random.default_rng([int(p * 1e4), len(model)])
    trials = 100
    found = [estimate(MODELS[model](p, 1_000, random)) for _ in range(trials)]
    covered = sum(each.low <= p <= each.high for each in found)
    below = sum(each.low <= p for each in found)
    # .95 and .975 are promised; three standard deviations of 100 trials are .065 and .047.
    assert covered / trials >= 0.885
    assert below / trials >= 0.928
