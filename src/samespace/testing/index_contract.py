"""What every engine must keep, as a suite for pytest. The oracle is float64 arithmetic over all vectors.

class TestMyIndex(IndexContract):
    engine = MyIndex
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samespace.indexes import Index, Mask, Neighbours
from samespace.space import Metric
from samespace.vectors import Matrix, unit

__all__ = ["IndexContract", "check", "clustered", "oracle", "recall"]

_METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclidean")
_metrics = pytest.mark.parametrize("metric", _METRICS)
_dimensions = pytest.mark.parametrize("dimension", [2, 3, 7, 8, 100, 384])


def clustered(
    n: int, dimension: int, metric: Metric, seed: int = 0, asked: int = 20
) -> tuple[Matrix, Matrix, NDArray[np.int64]]:
    """Make vectors around a few centres, with lengths that differ tenfold where lengths count.

    Returns:
        the vectors (n, dimension), ``asked`` queries near some of them, and the centre of each vector (n,).
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((20, dimension))
    of = random.integers(0, len(centres), n)
    vectors = centres[of] + 0.5 * random.standard_normal((n, dimension))
    queries = vectors[random.integers(0, n, asked)] + 0.1 * random.standard_normal((asked, dimension))
    if metric == "cosine":
        return unit(vectors.astype(np.float32)), unit(queries.astype(np.float32)), of
    vectors = vectors * random.lognormal(0.0, 0.5, (n, 1)) + 0.5
    return vectors.astype(np.float32), queries.astype(np.float32), of


def oracle(queries: Matrix, vectors: Matrix, k: int, metric: Metric, allowed: Mask | None = None) -> Neighbours:
    """Answer a search slowly and plainly."""
    positions = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    rows = vectors[positions].astype(np.float64)
    every = []
    for query in queries.astype(np.float64):
        scores = -np.linalg.norm(rows - query, axis=1) if metric == "euclidean" else rows @ query
        every.append(scores.astype(np.float32))
    scores = np.array(every, np.float32).reshape(len(queries), len(rows))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(positions[order], np.take_along_axis(scores, order, 1))


def recall(found: Neighbours, truth: Neighbours) -> float:
    """Tell which part of the true hits was found; a hit that scores as well as the last true one counts."""
    if truth.scores.size == 0:
        return 1.0
    last = truth.scores[:, -1:]
    return float((found.scores >= last - np.abs(last) * 1e-6 - 1e-6).sum() / truth.scores.size)


def check(
    index: Index,
    queries: Matrix,
    vectors: Matrix,
    k: int,
    allowed: Mask | None = None,
    least: float = 0.99,
    truth: Neighbours | None = None,
) -> None:
    """Search, and check the answer: shapes, types, exact scores, order, and recall against the oracle."""
    found = index.search(queries, k, allowed)
    truth = truth or oracle(queries, vectors, k, index.metric, allowed)
    assert found.positions.dtype == np.int64
    assert found.scores.dtype == np.float32
    assert found.positions.shape == found.scores.shape == truth.scores.shape
    assert all(len(set(row.tolist())) == len(row) for row in found.positions)
    assert allowed is None or allowed[found.positions].all()
    assert (np.diff(found.scores, axis=1) <= 0).all()
    tied = np.diff(found.scores, axis=1) == 0
    assert (np.diff(found.positions, axis=1)[tied] > 0).all()
    for query, positions, scores in zip(queries, found.positions, found.scores, strict=True):
        own = oracle(query[None], vectors[positions], len(positions), index.metric)
        np.testing.assert_allclose(scores, own.scores[0], rtol=1e-5, atol=1e-5)
    assert recall(found, truth) >= least


def _same(one: Neighbours, other: Neighbours) -> None:
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_array_equal(one.scores, other.scores)


@functools.cache
def _case(size: int, dimension: int, metric: Metric) -> tuple[Matrix, Matrix, NDArray[np.int64], Neighbours]:
    """Vectors, a hundred queries, the vectors' centres, and the hundred best; the same for all engines."""
    vectors, queries, of = clustered(size, dimension, metric, asked=100)
    return vectors, queries, of, oracle(queries, vectors, 100, metric)


_SHARED: dict[tuple[str, int, int, Metric], Index] = {}


class IndexContract:
    """Subclass it, and set ``engine``. An index that is not exact must reach a recall of .99 all the same."""

    engine: type[Index]
    size = 3_000

    def build(self, vectors: Matrix, metric: Metric) -> Index:
        """Make an index of all the vectors."""
        index = self.engine(vectors.shape[1], metric)
        index.extend(vectors)
        return index

    def shared(self, size: int, dimension: int, metric: Metric) -> Index:
        """An index for the tests that do not change it."""
        key = (type(self).__qualname__, size, dimension, metric)
        if key not in _SHARED:
            _SHARED[key] = self.build(_case(size, dimension, metric)[0], metric)
        return _SHARED[key]

    @_metrics
    @_dimensions
    def test_the_best_are_found_in_order(self, metric: Metric, dimension: int) -> None:
        self._find(self.size, dimension, metric)

    def test_long_vectors(self) -> None:
        self._find(1_100, 4_096, "dot")

    def _find(self, size: int, dimension: int, metric: Metric) -> None:
        vectors, queries, _, truth = _case(size, dimension, metric)
        index = self.shared(size, dimension, metric)
        assert len(index) == size
        for k in (1, 10, 100):
            best = Neighbours(truth.positions[:, :k], truth.scores[:, :k])
            check(index, queries, vectors, k, truth=best)

    @_metrics
    @pytest.mark.parametrize("dimension", [3, 100])
    def test_more_effort_finds_more(self, metric: Metric, dimension: int) -> None:
        _, queries, _, truth = _case(self.size, dimension, metric)
        index = self.shared(self.size, dimension, metric)
        assert list(index.efforts) == sorted(set(index.efforts))
        best = Neighbours(truth.positions[:, :10], truth.scores[:, :10])
        reached = [recall(index.search(queries, 10, effort=effort), best) for effort in (*index.efforts, None)]
        assert all(later > earlier - 0.02 for earlier, later in itertools.pairwise(reached[:-1]))
        assert min(reached[-2:]) >= 0.99

    @_metrics
    def test_half_precision(self, metric: Metric) -> None:
        vectors, queries, _ = clustered(self.size, 100, metric)
        half: Any = vectors.astype(np.float16)
        check(self.build(half, metric), queries, half, 10)

    @_metrics
    def test_some_vectors_are_repeated(self, metric: Metric) -> None:
        vectors, queries, _, _ = _case(self.size, 100, metric)
        random = np.random.default_rng(1)
        vectors = vectors[np.concatenate([np.arange(2_000), random.choice(200, self.size - 2_000)])]
        queries[0], queries[1] = vectors[0], vectors[-1]
        index = self.build(vectors, metric)
        for allowed in (None, np.arange(self.size) % 3 > 0):
            found, truth = index.search(queries, 10, allowed), oracle(queries, vectors, 10, metric, allowed)
            # Of equal ones the first are found, so the positions too are the oracle's.
            assert (found.positions == truth.positions).mean() >= 0.98
            check(index, queries, vectors, 10, allowed)

    @_metrics
    def test_threads_do_not_disturb_each_other(self, metric: Metric) -> None:
        vectors, queries, _, _ = _case(self.size, 100, metric)
        index = self.engine(100, metric)
        index.extend(vectors, threads=1)
        truth = [index.search(query[None], 10) for query in queries]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in range(2):
                found = pool.map(lambda query: index.search(query[None], 10), queries)
                for one, other in zip(found, truth, strict=True):
                    _same(one, other)

    @_metrics
    @pytest.mark.parametrize("dimension", [2, 7, 100])
    def test_equal_scores_come_in_order_of_positions(self, metric: Metric, dimension: int) -> None:
        vectors, queries, _ = clustered(30, dimension, metric, asked=5)
        which = np.random.default_rng(1).integers(0, 30, self.size)  # each vector a hundred times
        repeated = vectors[which]
        found = self.build(repeated, metric).search(queries, 250)
        for row, query in enumerate(queries):
            nearest = oracle(query[None], vectors, 3, metric).positions[0]
            expected = np.concatenate([np.flatnonzero(which == one) for one in nearest])[:250]
            assert found.positions[row].tolist() == expected.tolist()

    @_metrics
    @pytest.mark.parametrize("dimension", [3, 100])
    @pytest.mark.parametrize("part", [0.9, 0.5, 0.1, 0.02, 0.005])
    @pytest.mark.parametrize("by", ["chance", "cluster"])
    def test_only_allowed_positions_are_found(self, metric: Metric, dimension: int, part: float, by: str) -> None:
        vectors, queries, of, _ = _case(self.size, dimension, metric)
        order = np.random.default_rng(2).permutation(self.size) if by == "chance" else np.argsort(of)
        allowed = np.zeros(self.size, bool)
        allowed[order[: int(self.size * part)]] = True
        check(self.shared(self.size, dimension, metric), queries[:20], vectors, 10, allowed)

    @_metrics
    def test_fewer_allowed_than_asked_for(self, metric: Metric) -> None:
        vectors, queries, _, _ = _case(self.size, 8, metric)
        index = self.shared(self.size, 8, metric)
        for count in (0, 1, 7):
            allowed = np.zeros(self.size, bool)
            allowed[100 : 100 + count] = True
            found = index.search(queries, 10, allowed)
            assert found.positions.shape == (len(queries), count)
            check(index, queries, vectors, 10, allowed, least=1.0)

    @_metrics
    @pytest.mark.parametrize("n", [0, 1, 2, 50])
    def test_few_vectors(self, metric: Metric, n: int) -> None:
        vectors, queries, _ = clustered(50, 7, metric)
        index = self.build(vectors[:n], metric)
        check(index, queries, vectors[:n], 10, least=1.0)
        assert index.search(queries, 1_000).positions.shape == (len(queries), n)

    @_metrics
    def test_an_index_that_covers_nothing_answers(self, metric: Metric) -> None:
        index = self.engine(8, metric)
        assert len(index) == 0
        assert index.search(np.ones((2, 8), np.float32), 5).positions.shape == (2, 0)

    @_metrics
    def test_no_queries(self, metric: Metric) -> None:
        queries = np.empty((0, 8), np.float32)
        assert len(self.shared(self.size, 8, metric).search(queries, 5).positions) == 0

    @_metrics
    @pytest.mark.parametrize("dimension", [7, 100])
    def test_a_batch_answers_as_its_queries_do(self, metric: Metric, dimension: int) -> None:
        queries = _case(self.size, dimension, metric)[1]
        index = self.shared(self.size, dimension, metric)
        batch = index.search(queries, 10)
        for row in range(len(queries)):
            one = index.search(queries[row : row + 1], 10)
            _same(one, Neighbours(batch.positions[row : row + 1], batch.scores[row : row + 1]))

    @_metrics
    def test_growing_in_steps_is_as_good_as_one_build(self, metric: Metric) -> None:
        vectors, queries, _ = clustered(self.size, 100, metric)
        index = self.engine(100, metric)
        for end in (0, 1, 5, 90, 1_500, self.size, self.size):
            index.extend(vectors[:end])
            assert len(index) == end
        check(index, queries, vectors, 10)

    @_metrics
    @pytest.mark.parametrize("n", [0, 20, 3_000])
    def test_what_is_saved_is_loaded(self, metric: Metric, n: int, tmp_path: Path) -> None:
        vectors, queries, _, _ = _case(3_000, 7, metric)
        index = self.shared(n, 7, metric) if n == 3_000 else self.build(vectors[:n], metric)
        index.save(tmp_path / "index")
        again = self.engine.load(tmp_path / "index", vectors[:n], metric)
        assert len(again) == n
        assert again.memory == index.memory
        _same(again.search(queries, 10), index.search(queries, 10))
        again.extend(vectors)
        check(again, queries, vectors, 10)

    @_metrics
    def test_memory_maps_and_strides(self, metric: Metric, tmp_path: Path) -> None:
        vectors, queries, _ = clustered(self.size, 24, metric)
        vectors.tofile(tmp_path / "vectors")
        mapped = np.memmap(tmp_path / "vectors", np.float32, "r", shape=vectors.shape)
        index = self.build(mapped, metric)
        found = index.search(queries, 10)
        assert (type(found.positions), type(found.scores)) == (np.ndarray, np.ndarray)
        _same(index.search(np.asfortranarray(queries), 10), found)
        check(index, queries, vectors, 10)
        wide = np.zeros((self.size, 48), np.float32)
        wide[:, ::2] = vectors
        check(self.build(wide[:, ::2], metric), queries, vectors, 10)

    @pytest.mark.parametrize("metric", ["dot", "euclidean"])
    @pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e25])
    def test_numbers_of_any_size(self, metric: Metric, size: float) -> None:
        vectors, queries, _ = clustered(self.size, 8, metric)
        vectors *= np.float32(size)
        queries *= np.float32(min(size, 1e10))
        vectors[17], queries[3] = 0.0, 0.0
        found, truth = self.build(vectors, metric).search(queries, 10), oracle(queries, vectors, 10, metric)
        # One hit that an approximate engine misses moves all that follow it up a place, so places are not compared.
        largest = np.abs(truth.scores).max() or np.float32(1)
        scaled = [Neighbours(each.positions, each.scores / largest) for each in (found, truth)]
        assert recall(*scaled) >= 0.97

    @_metrics
    def test_searches_go_on_while_it_grows(self, metric: Metric) -> None:
        vectors, queries, _ = clustered(self.size, 8, metric)
        index = self.build(vectors[:1_200], metric)
        early, allowed = vectors[:1_200], np.arange(1_200) % 2 == 0  # a mask made before it grew
        failures: list[BaseException] = []
        done = threading.Event()

        def search() -> None:
            try:
                while not done.is_set():
                    check(index, queries[:3], early, 10, allowed, least=0.9)
                    index.search(queries[:1], 10)
            except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for end in range(1_200, self.size + 1, 600):
            index.extend(vectors[:end])
        done.set()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]
        check(index, queries, vectors, 10)
