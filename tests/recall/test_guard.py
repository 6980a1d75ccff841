from __future__ import annotations

import threading

import numpy as np
import pytest

from samespace.errors import InvalidInput
from samespace.recall.guard import Guard


def of_ten(p, queries, random):
    return random.binomial(10, p, queries) / 10


def of_one(p, queries, random):
    return (random.random(queries) < p).astype(float)


def delay(guard, draw, p, random, longest=20_000):
    """Searches until the alarm."""
    for count, share in enumerate(draw(p, longest, random), 1):
        if guard.observe([share]):
            return count
    return longest


@pytest.mark.parametrize("draw", [of_ten, of_one])
@pytest.mark.parametrize("declared", [0.9, 0.99, 0.999])
def test_no_more_false_alarms_than_promised(declared, draw):
    # Recall is exactly as declared, the worst that is no fault. One alarm in 1,000 is promised, at most, on average.
    guard, searches = Guard(declared, 1e-3), 40_000
    guard.observe(draw(declared, searches, np.random.default_rng(1)))
    assert guard.checked == searches
    assert guard.alarms <= 40


@pytest.mark.parametrize(("recall", "most"), [(0.5, 12), (0.9, 60), (0.97, 250)])
@pytest.mark.parametrize("before", [0, 2_000])
def test_a_fault_is_noticed(recall, most, before):
    random = np.random.default_rng(2)
    took = []
    for _ in range(20):
        guard = Guard(0.99)
        assert not guard.observe(of_ten(0.997, before, random))
        took.append(delay(guard, of_ten, recall, random))
    assert np.mean(took) <= most


def test_a_fault_of_some_queries_only_is_noticed():
    random = np.random.default_rng(3)
    assert np.mean([delay(Guard(0.99), of_one, 0.9, random) for _ in range(20)]) <= 300


def test_batches_and_single_searches_are_alike():
    shares = of_ten(0.95, 3_000, np.random.default_rng(4))
    one, other = Guard(0.99), Guard(0.99)
    alone = [one.observe([share]) for share in shares]
    together = [other.observe(part) for part in np.split(shares, 30)]
    assert sum(alone) == one.alarms == other.alarms > 1
    assert any(together)


def test_running_recall_is_of_the_last_thousand():
    guard = Guard(0.9)
    assert guard.running is None
    guard.observe(np.zeros(500))
    guard.observe(np.ones(999))
    assert (guard.running.recall, guard.running.queries) == (0.999, 1_000)
    assert guard.checked == 1_499


def test_reset_forgets_the_evidence_but_not_the_counts():
    guard = Guard(0.99)
    assert guard.observe(np.full(100, 0.5))
    alarms = guard.alarms
    guard.reset()
    assert guard.running is None
    assert (guard.checked, guard.alarms) == (100, alarms)
    assert not guard.observe(np.ones(10))


def test_recall_declared_as_one_allows_nothing():
    guard = Guard(1.0)
    assert not guard.observe(np.ones(10_000))
    assert guard.observe([0.9])


def test_nothing_observed():
    guard = Guard(0.9)
    assert not guard.observe([])
    assert not guard.observe(np.empty(0))
    assert guard.checked == 0


def test_threads():
    guard = Guard(0.9)
    threads = [threading.Thread(target=lambda: [guard.observe([1.0, 0.9]) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.checked == 1_600
    assert guard.running.recall == pytest.approx(0.95)


@pytest.mark.parametrize("declared", [0.0, -1.0, 1.01, float("nan")])
def test_recall_out_of_range(declared):
    with pytest.raises(InvalidInput, match="recall must be above 0 and at most 1"):
        Guard(declared)


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_rate_out_of_range(rate):
    with pytest.raises(InvalidInput, match="false_alarms must lie between 0 and 1"):
        Guard(0.9, rate)
