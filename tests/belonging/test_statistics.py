from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samespace as ss
from samespace.belonging.statistics import FEWEST, Statistics
from samespace.errors import CollectionCorrupt, InvalidInput, InvalidVectors


def gaussian(n, dimension, seed=0, *, spectrum=2.0, basis=0):
    """Vectors of a known distribution: variances that fall to 1 / exp(2 * spectrum), in directions of a seed."""
    turn, _ = np.linalg.qr(np.random.default_rng(basis).standard_normal((dimension, dimension)))
    spread = np.exp(-spectrum * np.linspace(0, 1, dimension))
    return ((np.random.default_rng(seed).standard_normal((n, dimension)) * spread) @ turn).astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def statistics(learned, minilm):
    return Statistics.learn(learned, minilm.space)


# Real vectors


def test_own_vectors_belong(statistics, held_out):
    assert statistics.foreign(held_out).mean() <= 2 / 900
    assert np.median(statistics.distance(held_out)) == pytest.approx(1, abs=0.3)


def test_foreign_vectors_do_not(statistics, held_out, rotated):
    columns = np.random.default_rng(1).permutation(held_out.shape[1])
    random = unit(np.random.default_rng(2).standard_normal(held_out.shape).astype(np.float32))
    for foreign in (rotated, held_out[:, columns], random):
        assert statistics.foreign(foreign).mean() >= 0.9  # of 1,600 rows; bench/foreign.py has what 50,000 find
    assert statistics.power >= 0.9


def test_another_model_of_fewer_dimensions_padded(statistics, texts):
    other = ss.encoder("wordllama", cache=False).encode_documents(texts[:500]).comparable
    padded = np.pad(other, ((0, 0), (0, 384 - other.shape[1])))
    assert statistics.foreign(padded).mean() >= 0.8


def test_other_precisions_of_the_same_vectors_belong(statistics, held_out):
    half = held_out.astype(np.float16).astype(np.float32)
    reach = np.abs(held_out).max()
    eight_bits = (np.round(held_out / reach * 127) / 127 * reach).astype(np.float32)
    for kept in (half, eight_bits):
        assert statistics.foreign(kept).mean() <= 2 / 900


def test_texts_of_another_kind_mostly_belong(statistics, minilm):
    numbers = [str(7 * n) for n in range(200)]
    verses = [f"And the {n}th day the king rode out, and wept for his son." for n in range(100)]
    assert statistics.foreign(minilm.encode_documents(numbers + verses).comparable).mean() <= 0.02


@pytest.mark.parametrize("share", [0.001, 0.01])
def test_a_few_foreign_rows_in_the_sample_are_left_out(statistics, learned, minilm, rotated, held_out, share):
    planted = max(1, round(share * len(learned)))
    mixed = np.concatenate([learned, rotated[:planted]])
    np.random.default_rng(0).shuffle(mixed)
    again = Statistics.learn(mixed, minilm.space)
    assert again.rows == len(learned)
    assert again.threshold == pytest.approx(statistics.threshold, rel=0.05)
    assert again.foreign(rotated[planted:]).mean() >= 0.9
    assert again.foreign(held_out).mean() <= 2 / 900


# A known truth


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_the_rate_of_false_alarms_comes_out(metric):
    space = ss.Space("normal", 24, metric)
    rows = gaussian(300_000, 24, 1_000)
    fresh = unit(rows) if metric == "cosine" else rows
    rates = []
    for seed in range(10):
        sample = gaussian(3_000, 24, seed)
        statistics = Statistics.learn(unit(sample) if metric == "cosine" else sample, space)
        rates.append(statistics.foreign(fresh).mean())
    # On the average over samples it is what it says; of one sample of 3,000 it is known to some factor.
    assert 0 < np.mean(rates) <= 2.5 * statistics.false_alarms
    assert max(rates) < 1e-3


def test_other_directions_are_found():
    space = ss.Space("normal", 128)
    statistics = Statistics.learn(unit(gaussian(5_000, 128)), space)
    assert statistics.foreign(unit(gaussian(5_000, 128, 1, basis=1))).mean() >= 0.99


def test_the_power_is_what_is_found_of_random_directions():
    space = ss.Space("normal", 48)
    statistics = Statistics.learn(unit(gaussian(5_000, 48, spectrum=1.2)), space)
    random = np.random.default_rng(5).standard_normal((20_000, 48)).astype(np.float32)
    assert 0.05 < statistics.power < 0.95
    assert statistics.foreign(random).mean() == pytest.approx(statistics.power, abs=0.03)


def test_length_counts_where_the_metric_does_not_ignore_it():
    vectors = gaussian(3_000, 64) * 5
    dot = Statistics.learn(vectors, ss.Space("normal", 64, "dot"))
    cosine = Statistics.learn(unit(vectors), ss.Space("normal", 64))
    rest = gaussian(1_000, 64, 1) * 5
    assert not dot.foreign(rest).any()
    assert dot.foreign(unit(rest)).all()
    assert dot.foreign(rest * 100).all()
    assert dot.foreign(np.zeros((1, 64), np.float32)).all()
    assert np.allclose(cosine.distance(rest * 100), cosine.distance(unit(rest)), rtol=1e-4)


def test_a_direction_that_is_never_used_betrays_a_stranger():
    vectors = gaussian(2_000, 64)
    vectors[:, 7] = 0
    statistics = Statistics.learn(unit(vectors), ss.Space("normal", 64))
    stranger = gaussian(1, 64, 9)
    stranger[:, 7] = 0.5 * np.linalg.norm(stranger)
    assert statistics.foreign(unit(stranger)).all()


def test_long_vectors_are_folded():
    dimension = 1_100
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((40, dimension))

    def rows(n, seed):
        draw = np.random.default_rng(seed)
        return unit((draw.standard_normal((n, 40)) @ loadings + draw.standard_normal((n, dimension))).astype("f4"))

    statistics = Statistics.learn(rows(1_200, 1), ss.Space("long", dimension))
    assert len(statistics.to_bytes()) < 3_000_000
    assert not statistics.foreign(rows(300, 2)).any()
    assert statistics.foreign(rng.standard_normal((300, dimension)).astype(np.float32)).mean() > 0.98
    again = Statistics.from_bytes(statistics.to_bytes())
    assert np.array_equal(again.distance(rows(50, 3)), statistics.distance(rows(50, 3)))


# Odd input


def test_nan_and_infinity_are_foreign(statistics, held_out):
    rows = held_out[:4].copy()
    rows[0, 3], rows[1, 0], rows[2, 5] = np.nan, np.inf, -np.inf
    assert statistics.foreign(rows).tolist() == [True, True, True, False]
    assert np.isinf(statistics.distance(rows)[:3]).all()


def test_no_rows(statistics):
    assert statistics.distance(np.empty((0, 384), np.float32)).shape == (0,)


def test_rows_with_nan_are_passed_over():
    vectors = gaussian(1_000, 16)
    space = ss.Space("normal", 16, "dot")
    holed = np.concatenate([vectors, np.full((50, 16), np.nan, np.float32)])
    assert Statistics.learn(holed, space).threshold == Statistics.learn(vectors, space).threshold


def test_too_few_rows_say_how_many_are_needed():
    with pytest.raises(InvalidInput, match=f"199 vectors are too few .* {FEWEST} are needed"):
        Statistics.learn(gaussian(199, 8), ss.Space("few", 8, "dot"))


def test_rows_that_are_all_alike_teach_nothing():
    with pytest.raises(InvalidInput, match="alike"):
        Statistics.learn(np.ones((300, 8), np.float32), ss.Space("alike", 8, "dot"))


def test_many_copies_of_one_row():
    vectors = gaussian(1_000, 16)
    vectors[:700] = vectors[0]
    statistics = Statistics.learn(vectors, ss.Space("copies", 16, "dot"))
    assert not statistics.foreign(vectors).any()


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_few_dimensions(dimension):
    vectors = gaussian(500, dimension)
    for rows, metric in ((unit(vectors), "cosine"), (vectors, "dot")):
        statistics = Statistics.learn(rows, ss.Space("few", dimension, metric))
        assert statistics.foreign(rows).mean() <= 2 / 500


@pytest.mark.parametrize(
    "wrong", [np.zeros((300, 7), np.float32), np.zeros((300, 8)), np.zeros(8, np.float32)], ids=["7-d", "float64", "1"]
)
def test_what_is_no_matrix_of_the_space(wrong):
    space = ss.Space("normal", 8, "dot")
    with pytest.raises(InvalidVectors, match=r"Expected float32 vectors of shape \(n, 8\)"):
        Statistics.learn(wrong, space)
    with pytest.raises(InvalidVectors, match=r"Expected float32 vectors of shape \(n, 8\)"):
        Statistics.learn(gaussian(300, 8), space).distance(wrong)


def test_huge_and_tiny_numbers():
    for scale in (1e30, 1e-30):
        vectors = (gaussian(500, 16) * scale).astype(np.float32)
        statistics = Statistics.learn(vectors, ss.Space("far", 16, "dot"))
        assert not statistics.foreign(vectors).any()
        assert statistics.foreign(gaussian(10, 16)).all()


def test_the_same_seed_learns_the_same(learned, minilm, statistics):
    assert Statistics.learn(learned, minilm.space, seed=0).to_bytes() == statistics.to_bytes()


def test_it_is_quick(statistics, held_out):
    rows = np.resize(held_out, (20_000, 384))
    began = time.process_time()
    statistics.distance(rows)
    assert time.process_time() - began < 2  # a tenth of that on an idle machine


# Bytes


@pytest.fixture(scope="module")
def small():
    return Statistics.learn(gaussian(300, 6), ss.Space("small", 6, "dot"))


def test_bytes_round_trip(statistics, small, held_out):
    again = Statistics.from_bytes(statistics.to_bytes())
    assert again.to_bytes() == statistics.to_bytes()
    assert np.array_equal(again.distance(held_out), statistics.distance(held_out))
    for name in ("space_id", "dimension", "rows", "false_alarms", "power", "threshold", "lengths"):
        assert getattr(Statistics.from_bytes(small.to_bytes()), name) == getattr(small, name)


@given(data=st.data())
def test_torn_bytes_are_told(small, data):
    content = bytearray(small.to_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CollectionCorrupt):
        Statistics.from_bytes(bytes(content))


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_other_bytes_are_told(content):
    for whole in (content, b"SSBL\1\0" + content):
        with pytest.raises(CollectionCorrupt):
            Statistics.from_bytes(whole)


def test_a_later_version_asks_for_an_upgrade(small):
    content = bytearray(small.to_bytes()[:-16])
    content[4] = 2
    content += hashlib.blake2b(content, digest_size=16).digest()
    with pytest.raises(CollectionCorrupt, match=r"version 2.*Upgrade samespace"):
        Statistics.from_bytes(bytes(content))
