"""Choosing a layer: the figures are right, and the choice is not flattered."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samespace.errors import InvalidInput
from samespace.evaluation import layers
from samespace.evaluation.layers import score_layers, texts_of
from samespace.evaluation.pairs import Pairs, auc, spearman
from samespace.evaluation.retrieval import ndcg
from samespace.vectors import unit


def noisy(seed, count, noises, kind="score", poolings=("mean",)):
    """Pairs, and for each layer the vectors of their texts; the more noise in a layer, the less it knows."""
    draw = np.random.default_rng(seed)
    left = unit(draw.standard_normal((count, 8)).astype(np.float32))
    alike = draw.uniform(-1, 1, count)
    if kind != "score":
        alike = np.where(draw.random(count) < 0.5, 0.9, -0.2)
    if kind == "positive":
        alike[:] = 0.9
    away = unit(draw.standard_normal((count, 8)).astype(np.float32))
    away = unit(away - np.vecdot(away, left)[:, None] * left)
    right = (alike[:, None] * left + np.sqrt(1 - alike**2)[:, None] * away).astype(np.float32)
    scores = {"score": alike, "label": (alike > 0.5).astype(float), "positive": None}[kind]
    pairs = Pairs([f"left {n}" for n in range(count)], [f"right {n}" for n in range(count)], scores=scores)

    def blurred(base, noise):
        return unit((base + noise * draw.standard_normal(base.shape)).astype(np.float32))

    def table(base):
        return {pooling: np.stack([blurred(base, noise) for noise in noises]) for pooling in poolings}

    return table(left), table(right), pairs


@pytest.mark.parametrize("kind", ["score", "label", "positive"])
def test_the_layer_that_knows_most_is_chosen(kind):
    scores = score_layers(*noisy(0, 300, [1.0, 0.4, 0.02, 0.4], kind))
    assert scores.best.layer == 2
    assert scores.last.layer == 3
    assert scores.is_clear
    assert scores.gain.low > 0
    assert scores.gain.value == pytest.approx(scores.best.checked_on.value - scores.last.checked_on.value)
    assert scores.pairs == (150, 150)
    assert scores.metric == {"score": "spearman", "label": "auc", "positive": "ndcg@10"}[kind]


@pytest.mark.parametrize("kind", ["score", "label", "positive"])
def test_figures_are_those_of_the_metrics(kind):
    """Without resampling: each half's figure is what the metric says of its pairs."""
    left, right, pairs = noisy(1, 101, [0.3], kind)
    cell = score_layers(left, right, pairs, seed=5).best
    task = layers._task(pairs, *texts_of(pairs))
    halves = layers._halves(task, np.random.default_rng(5))
    assert sorted(np.concatenate(halves)) == list(range(101))
    for half, figure in zip(halves, (cell.chosen_on, cell.checked_on), strict=True):
        x, y = left["mean"][0], right["mean"][0]
        if kind == "positive":
            expected = ndcg(x @ y.T, np.eye(101, dtype=bool))[half].mean()
        else:
            metric = spearman if kind == "score" else auc
            expected = metric(np.vecdot(x, y)[half], pairs.scores[half])
        assert figure.value == pytest.approx(expected, abs=1e-6)
        assert figure.low < figure.value < figure.high


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_weights_stand_for_a_sample(seed, count):
    """A row that is drawn twice counts as two rows: ranks of the sample, equal values and all."""
    draw = np.random.default_rng(seed)
    values, gold = draw.integers(0, 4, count).astype(float), draw.integers(0, 2, count).astype(float)
    weights = layers._resampled(count, draw)[:20]
    for number, weight in enumerate(weights.astype(int)):
        sample = np.repeat(np.arange(count), weight)
        if len(set(gold[sample])) == 2:
            assert layers._auc(weights, values, gold)[number] == pytest.approx(auc(values[sample], gold[sample]))
            if len(set(values[sample])) > 1:
                came = layers._spearman(weights, values, gold)[number]
                assert came == pytest.approx(spearman(values[sample], gold[sample]))


def test_equal_layers_are_told_to_be_equal():
    """Where layers differ by chance alone, the choice is seldom called clear."""
    clear = [score_layers(*noisy(seed, 60, [0.5] * 8), seed=seed).is_clear for seed in range(20)]
    assert sum(clear) <= 3


def test_the_choice_is_not_flattered():
    """Of forty cells that know nothing, the best looks good on the pairs that chose it, and not on the others."""
    chosen, checked = [], []
    for seed in range(20):
        left, right, pairs = noisy(seed, 60, [1e6] * 20, poolings=("mean", "cls"))
        best = score_layers(left, right, pairs, seed=seed).best
        chosen.append(best.chosen_on.value)
        checked.append(best.checked_on.value)
    assert np.mean(chosen) > 0.3
    assert abs(np.mean(checked)) < 0.12


def test_intervals_hold_what_they_should():
    """Of 60 samples, the 95 % interval misses the truth about three times."""
    truth = score_layers(*noisy(99, 4_000, [0.4])).best.checked_on.value
    figures = [score_layers(*noisy(seed, 100, [0.4]), seed=seed).best.checked_on for seed in range(60)]
    assert sum(not figure.low <= truth <= figure.high for figure in figures) <= 9


def test_the_same_seed_gives_the_same_figures():
    tables = noisy(3, 60, [0.3, 0.5], poolings=("mean", "max"))
    assert score_layers(*tables).to_dict() == score_layers(*tables).to_dict()
    assert score_layers(*tables, seed=1).best.chosen_on != score_layers(*tables).best.chosen_on


def test_they_are_written_as_json():
    scores = score_layers(*noisy(3, 60, [0.3, 0.5], poolings=("mean", "max")))
    said = json.loads(json.dumps(scores.to_dict()))
    assert [(cell["layer"], cell["pooling"]) for cell in said["cells"]] == [
        (0, "mean"), (0, "max"), (1, "mean"), (1, "max"),
    ]  # fmt: skip
    assert said["best"]["checked_on"]["low"] <= said["best"]["checked_on"]["value"]


def test_texts_are_taken_once():
    """A text that stands on many lines is one row of the tables; negatives stand among the right texts."""
    pairs = Pairs(["a", "b", "a"], ["x", "x", "y"], [["n"], [], ["m", "x"]])
    assert texts_of(pairs) == (["a", "b"], ["x", "y", "n", "m"])


@pytest.mark.parametrize(("kind", "nothing"), [("score", 0.0), ("label", 0.5)])
def test_a_layer_that_tells_nothing_apart(kind, nothing):
    """Such as the first token below the first layer, whose vector is the same in every text."""
    left, right, pairs = noisy(3, 60, [0.3, 0.2], kind)
    for table in (left, right):
        table["mean"][0] = unit(np.ones((1, 8), np.float32) + np.float32(1e-8) * np.arange(8, dtype=np.float32))
    first = score_layers(left, right, pairs).cells[0]
    assert (first.chosen_on.low, first.chosen_on.value, first.chosen_on.high) == (nothing,) * 3


def test_half_precision_will_do():
    left, right, pairs = noisy(3, 200, [0.3, 0.2])
    half = score_layers(*({k: v.astype(np.float16) for k, v in side.items()} for side in (left, right)), pairs)
    assert half.best.checked_on.value == pytest.approx(score_layers(left, right, pairs).best.checked_on.value, abs=1e-3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda left, right, pairs: (left, right, pairs.take(range(19))), r"19 pairs are too few"),
        (
            lambda left, right, pairs: (left, right, Pairs(pairs.first, pairs.second, scores=np.ones(40))),
            r"All pairs have the score 1",
        ),
        (
            lambda left, right, pairs: (left, right, Pairs(pairs.first, pairs.second, scores=np.eye(40)[0])),
            r"Too few pairs have another score than the rest",
        ),
        (lambda left, right, pairs: (left, {"cls": right["mean"]}, pairs), r"the same poolings"),
        (lambda left, right, pairs: (left, {"mean": right["mean"][:, :9]}, pairs), r"tables of the pairs' texts"),
        (lambda left, right, pairs: ({}, {}, pairs), r"tables of the pairs' texts"),
    ],
)
def test_what_cannot_be_scored(spoil, message):
    with pytest.raises(InvalidInput, match=message):
        score_layers(*spoil(*noisy(0, 40, [0.1, 0.2])))
