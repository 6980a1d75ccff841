from __future__ import annotations

import json

import numpy as np
import pytest

import samespace.recall.tune as tune
from samespace.indexes.base import Neighbours
from samespace.indexes.exact import ExactIndex
from samespace.indexes.scan import ScanIndex
from samespace.recall.estimate import Estimate, estimate
from samespace.recall.tune import Curve, Point, Pool, Tuning, enough, measure, own_pool, past_pool, pick
from samespace.testing.index_contract import clustered, oracle

METRICS = ("cosine", "dot", "euclidean")


class PoorIndex(ExactIndex):
    """Finds each row with a probability that rises with the effort, however good it is."""

    engine = "poor"
    efforts = (2, 4, 8, 16, 32, 64, 1_024)

    def search(self, queries, k, allowed=None, effort=None):
        missed = np.random.default_rng(5).random(len(self)) < 0.4 / (effort or 64)
        return super().search(queries, k, ~missed if allowed is None else allowed & ~missed)


def made(cls, vectors, metric):
    index = cls(vectors.shape[1], metric)
    index.extend(vectors)
    return index


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tune, "_ROWS", 300)
    monkeypatch.setattr(tune, "_QUERIES", 7)
    monkeypatch.setattr(tune, "_TOGETHER", 7)
    monkeypatch.setattr(tune, "_TIMED", 4)
    monkeypatch.setattr(tune, "_PATIENCE", 0.0)


@pytest.mark.parametrize("metric", METRICS)
def test_past_queries_get_the_exact_answers_of_live_rows(metric, small_blocks):
    vectors, queries, _ = clustered(1_000, 16, metric)
    live = np.random.default_rng(0).random(1_000) < 0.7
    for mask in (None, live):
        pool, truth = past_pool(queries, vectors, mask, metric), oracle(queries, vectors, 100, metric, mask)
        np.testing.assert_array_equal(pool.truth.positions, truth.positions)
        np.testing.assert_array_equal(pool.truth.scores, truth.scores)
        assert (pool.name, pool.own, len(pool)) == ("past", None, 20)


@pytest.mark.parametrize("metric", METRICS)
def test_own_queries_leave_their_row_out(metric, small_blocks):
    vectors, _, _ = clustered(1_000, 16, metric)
    live = np.random.default_rng(0).random(1_000) < 0.7
    pool = own_pool(vectors, live, metric, 50, 0)
    assert len(pool) == len(set(pool.own.tolist())) == 50
    assert live[pool.own].all()
    for row, query in enumerate(pool.queries):
        mask = live.copy()
        mask[pool.own[row]] = False
        truth = oracle(query[None], vectors, 100, metric, mask)
        np.testing.assert_array_equal(pool.truth.scores[row], truth.scores[0])
        assert pool.own[row] not in pool.truth.positions[row]
    assert pool.queries.dtype == np.float32
    if metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(pool.queries, axis=1), 1, atol=1e-5)


def test_own_queries_lie_as_far_from_their_rows_as_the_neighbours():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((4_000, 12)).astype(np.float32)
    pool = own_pool(vectors, None, "euclidean", 200, 0)
    away = np.linalg.norm(pool.queries - vectors[pool.own], axis=1)
    nearest = -oracle(vectors[pool.own], vectors, 2, "euclidean").scores[:, 1]
    assert 1.0 < np.median(away / nearest) < 1.6


def test_the_seed_decides():
    vectors, _, _ = clustered(500, 8, "cosine")
    one, same, other = (own_pool(vectors, None, "cosine", 50, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.queries, same.queries)
    assert not np.array_equal(one.own, other.own)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("metric", METRICS)
def test_few_rows(metric, count):
    vectors, _, _ = clustered(50, 8, metric)
    pool = own_pool(vectors[:count], None, metric, 100, 0)
    assert len(pool) == count
    assert pool.truth.positions.shape == (count, max(count - 1, 0))


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows(metric):
    vectors = np.ones((300, 4), np.float32) / 2
    pool = own_pool(vectors, None, metric, 20, 0)
    assert np.isfinite(pool.queries).all()
    curve = measure(made(ExactIndex, vectors, metric), [pool], None)
    assert curve.points[0].recall.recall == 1.0


@pytest.mark.parametrize("cls", [ExactIndex, ScanIndex])
@pytest.mark.parametrize("metric", METRICS)
def test_engines_without_a_setting(cls, metric, small_blocks):
    if cls is ScanIndex:
        pytest.importorskip("turbovec")
    vectors, queries, _ = clustered(3_000, 16, metric)
    live = np.arange(3_000) % 3 > 0
    pools = [own_pool(vectors, live, metric, 40, 0), past_pool(queries, vectors, live, metric)]
    curve = measure(made(cls, vectors, metric), pools, live)
    assert [(point.k, point.effort) for point in curve.points] == [(10, 0), (100, 0)]
    assert (curve.engine, curve.count) == (cls.engine, 3_000)
    assert all(point.recall.recall >= 0.99 and point.seconds > 0 for point in curve.points)
    assert curve.points[0].recall.queries + curve.points[0].others[0].queries == 60
    if cls is ExactIndex:
        assert curve.points[0].recall.recall == 1.0
        assert curve.effort_for(1.0, 10) == curve.points[0]


def test_a_curve_rises_and_ends_where_nothing_is_missing(small_blocks):
    vectors, queries, _ = clustered(3_000, 16, "cosine")
    pools = [own_pool(vectors, None, "cosine", 300, 0), past_pool(queries, vectors, None, "cosine")]
    heard = []
    curve = measure(made(PoorIndex, vectors, "cosine"), pools, None, heard.append, build_seconds=2.5)
    ten = [point for point in curve.points if point.k == 10]
    assert [point.effort for point in ten] == [2, 4, 8, 16, 32, 64, 1_024]
    assert [point.k for point in curve.points] == [10] * 7 + [100] * 7
    for point in ten:
        every = [point.recall.recall, *(other.recall for other in point.others)]
        assert point.recall.recall == min(every)
        assert max(every) == pytest.approx(1 - 0.4 / point.effort, abs=0.04)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert curve.build_seconds == 2.5


def test_the_sweep_ends_when_all_is_found(small_blocks):
    class Soon(PoorIndex):
        efforts = (1_000_000, 2_000_000)

    vectors, queries, _ = clustered(1_000, 16, "cosine")
    curve = measure(made(Soon, vectors, "cosine"), [past_pool(queries, vectors, None, "cosine")], None)
    assert {point.effort for point in curve.points} == {1_000_000}


def test_the_sweep_ends_when_it_is_too_slow(small_blocks):
    vectors, queries, _ = clustered(1_000, 16, "cosine")
    pools = [past_pool(queries, vectors, None, "cosine")]
    curve = measure(made(PoorIndex, vectors, "cosine"), pools, None, slowest=0.0)
    assert {point.effort for point in curve.points} == {2}


def test_whoever_hears_the_progress_can_end_it(small_blocks):
    vectors, queries, _ = clustered(1_000, 16, "cosine")

    def stop(_part):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        past_pool(queries, vectors, None, "cosine", stop)
    with pytest.raises(InterruptedError):
        own_pool(vectors, None, "cosine", 10, 0, stop)
    pools = [past_pool(queries, vectors, None, "cosine")]
    with pytest.raises(InterruptedError):
        measure(made(ExactIndex, vectors, "cosine"), pools, None, stop)


# Choosing


def at(effort, k, recall, seconds=None, queries=1_000, width=0.001):
    found = Estimate(recall, recall - width, min(1.0, recall + width), queries)
    return Point(effort, k, found, effort * 1e-5 if seconds is None else seconds)


CURVE = Curve(
    "graph",
    1_000,
    1.0,
    5,
    (
        *(at(effort, 10, recall) for effort, recall in [(16, 0.9), (32, 0.95), (64, 0.98), (128, 0.995), (256, 1.0)]),
        *(at(effort, 100, recall) for effort, recall in [(16, 0.6), (32, 0.7), (64, 0.9), (128, 0.97), (256, 0.995)]),
    ),
)


@pytest.mark.parametrize(
    ("recall", "k", "effort"),
    [
        (0.9, 10, 32),  # 16 has .9, but not for sure
        (0.9, 1, 32),
        (0.97, 10, 64),
        (0.999, 10, 256),
        (0.9, 100, 128),
        (0.99, 100, 256),
        (0.9, 20, 64),
        (0.9, 50, 128),
        (0.9, 99, 128),
    ],
)
def test_the_cheapest_setting(recall, k, effort):
    assert CURVE.effort_for(recall, k).effort == effort


@pytest.mark.parametrize(("recall", "k"), [(0.999, 100), (0.999, 50), (0.9, 101)])
def test_no_setting_that_reaches_it(recall, k):
    assert CURVE.effort_for(recall, k) is None


def test_every_pool_must_reach_it():
    point = Point(16, 10, Estimate(0.97, 0.965, 0.975, 1_000), 1e-4, (Estimate(0.99, 0.98, 1.0, 50),))
    assert point.reaches(0.95)
    assert not point.reaches(0.969)
    assert not Point(16, 10, Estimate(0.99, 0.988, 1.0, 1_000), 1e-4, (Estimate(0.94, 0.9, 1.0, 50),)).reaches(0.95)


def test_a_setting_that_reaches_it_by_luck_is_not_taken():
    points = tuple(at(effort, 10, recall) for effort, recall in [(16, 0.96), (32, 0.94), (64, 0.98)])
    assert Curve("graph", 1, 0.0, 0, points).effort_for(0.95, 10).effort == 64


def test_the_fastest_engine_is_picked():
    scan = Curve("scan", 1_000, 0.1, 5, (at(0, 10, 1.0, 2e-3), at(0, 100, 1.0, 3e-3)))
    assert pick([scan, CURVE], 0.95)[0] == "graph"
    engine, point = pick([scan, CURVE], 0.999, k=100)
    assert (engine, point.seconds) == ("scan", 3e-3)
    assert pick([scan, CURVE], 0.5, k=500) is None
    assert pick([], 0.5) is None


def test_round_trip_through_json():
    tuning = Tuning(0.95, "graph", 64, (CURVE,), {"own": 1_000}, 7, "2026-01-01T00:00:00+00:00")
    again = Tuning.from_dict(json.loads(json.dumps(tuning.to_dict())))
    assert again == tuning
    assert again.curve == CURVE
    assert again.point.effort == 64
    assert Curve.from_dict(json.loads(json.dumps(CURVE.to_dict()))) == CURVE


def test_how_many_queries():
    assert [enough(recall) for recall in (0.5, 0.9, 0.99, 0.999, 1.0)] == [1_000, 1_000, 2_000, 4_000, 4_000]


def shares(p, spread, queries, random):
    missed = random.beta((1 - p) / spread, p / spread, queries) if spread else np.full(queries, 1 - p)
    return 1 - random.binomial(10, missed) / 10


LADDER = (0.8, 0.88, 0.93, 0.96, 0.977, 0.987, 0.9925, 0.9955, 0.9973, 0.9984, 0.999, 0.9994, 0.9997, 0.9999, 1 - 1e-6)


def broken_promises(declared, spread, trials, seed, ladder=LADDER):
    """How often the recall of 2,000 new queries is below what was declared, at the setting that was chosen."""
    random = np.random.default_rng(seed)
    broken = 0
    for _ in range(trials):
        points = tuple(
            Point(step, 10, estimate(shares(p, spread, enough(declared), random)), 1e-5 * step)
            for step, p in enumerate(ladder, 1)
            if p > 1 - 4 * (1 - declared)  # those far below are never chosen, and take time
        )
        chosen = Curve("graph", 1, 0.0, 0, points).effort_for(declared, 10)
        assert chosen is not None
        broken += shares(ladder[chosen.effort - 1], spread, 2_000, random).mean() < declared
    return broken


@pytest.mark.parametrize("spread", [0, 0.1, 0.3])
@pytest.mark.parametrize("declared", [0.9, 0.95, 0.99, 0.999])
def test_what_is_declared_is_found_by_queries_that_nobody_has_seen(declared, spread):
    assert broken_promises(declared, spread, 20, 1) <= 1


def test_truth_is_that_of_the_index_not_of_a_pool_without_rows():
    vectors, queries, _ = clustered(200, 8, "cosine")
    pool = past_pool(queries, vectors, np.zeros(200, bool), "cosine")
    assert pool.truth.positions.shape == (20, 0)
    curve = measure(made(ExactIndex, vectors, "cosine"), [pool], np.zeros(200, bool))
    assert curve.points[0].recall.recall == 1.0


def test_a_pool_is_a_value():
    nothing = Neighbours(np.empty((0, 0), np.int64), np.empty((0, 0), np.float32))
    assert len(Pool("past", np.empty((0, 2), np.float32), nothing, None)) == 0
