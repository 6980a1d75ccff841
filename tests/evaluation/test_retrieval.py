import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.errors import InvalidInput
from samespace.evaluation.pairs import Pairs
from samespace.evaluation.retrieval import bootstrap, evaluate_retrieval, mrr, ndcg, recall_at, retrieval_task
from samespace.testing.encoder import CharacterEncoder

SCORES = [[0.9, 0.5, 0.7, 0.1]]


def test_by_hand():
    relevant = [[False, True, True, False]]  # second and third place
    best = 1 + 1 / math.log2(3)
    assert ndcg(SCORES, relevant) == pytest.approx([(1 / math.log2(3) + 1 / math.log2(4)) / best])
    assert mrr(SCORES, relevant) == pytest.approx([1 / 2])
    assert recall_at(SCORES, relevant, 2) == pytest.approx([1 / 2])
    assert recall_at(SCORES, relevant, 3) == pytest.approx([1.0])
    assert ndcg(SCORES, relevant, 1) == mrr(SCORES, relevant, 1) == [0.0]


def test_one_score_for_everything_earns_nothing():
    relevant = np.eye(30, dtype=bool)
    assert not ndcg(np.ones((30, 30)), relevant).any()
    assert not mrr(np.ones((30, 30)), relevant).any()


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 15), st.randoms(use_true_random=False))
def test_as_a_loop_would_do_it(queries, documents, k, random):
    scores = [[random.choice([0.1, 0.2, 0.3, 0.4]) for _ in range(documents)] for _ in range(queries)]
    right = [sorted(random.sample(range(documents), random.randint(1, documents))) for _ in range(queries)]
    relevant = np.zeros((queries, documents), bool)
    for row, numbers in enumerate(right):
        relevant[row, numbers] = True
    for row, numbers in enumerate(right):
        order = sorted(range(documents), key=lambda at: (-scores[row][at], at in numbers))[:k]
        gain = sum(1 / math.log2(place + 2) for place, at in enumerate(order) if at in numbers)
        best = sum(1 / math.log2(place + 2) for place in range(min(len(numbers), k, documents)))
        places = [place for place, at in enumerate(order) if at in numbers]
        assert ndcg(scores, relevant, k)[row] == pytest.approx(gain / best)
        assert mrr(scores, relevant, k)[row] == pytest.approx(1 / (places[0] + 1) if places else 0)
        assert recall_at(scores, relevant, k)[row] == pytest.approx(len(places) / len(numbers))


@pytest.mark.parametrize(
    ("scores", "relevant", "k", "says"),
    [
        ([[1.0]], [[True, False]], 10, r"got \(1, 1\) and \(1, 2\)"),
        ([1.0], [True], 10, r"must both be \(queries, documents\)"),
        ([[math.nan, 1.0]], [[True, False]], 10, "query 0 contain NaN"),
        ([[1.0], [2.0]], [[True], [False]], 10, "Query 1 has no relevant document"),
        ([[1.0]], [[True]], 0, "k must be a positive int, got 0"),
    ],
)
def test_what_cannot_be_measured(scores, relevant, k, says):
    for measure in (ndcg, mrr, recall_at):
        with pytest.raises(InvalidInput, match=says):
            measure(scores, relevant, k)


def test_the_interval_holds_the_mean_and_narrows():
    generator = np.random.default_rng(0)
    few, many = generator.random(20), generator.random(2_000)
    for values in (few, many):
        low, high = bootstrap(values)
        assert low < values.mean() < high
    assert np.subtract(*bootstrap(few)) < 3 * np.subtract(*bootstrap(many))
    assert bootstrap([0.5] * 9) == (0.5, 0.5)
    with pytest.raises(InvalidInput, match="not empty"):
        bootstrap([])


PAIRS = Pairs(
    ["the cat", "the cat", "a dog"], ["the cat sat", "a cat ran", "a dog barked"], [["the cats"], [], ["dogs"]]
)


def test_the_task_of_pairs():
    task = retrieval_task(PAIRS, ["a bird", "a dog barked"])
    assert task.queries == ["the cat", "a dog"]
    assert task.documents == ["the cat sat", "a cat ran", "a dog barked", "the cats", "dogs", "a bird"]
    assert task.relevant == [{0, 1}, {2}]
    with pytest.raises(InvalidInput, match="these have scores"):
        retrieval_task(Pairs(["a"], ["b"], scores=np.array([1.0])))


def test_an_encoder_is_asked_in_its_roles():
    encoder = CharacterEncoder(256, prompts={"query": "Find: "})
    found = evaluate_retrieval(encoder, PAIRS, ["nothing like it"])
    assert set(found) == {"ndcg@10", "ndcg@10.low", "ndcg@10.high", "mrr@10", "recall@1", "recall@10"}
    assert found["recall@10"] == 1.0
    assert found["ndcg@10.low"] <= found["ndcg@10"] <= found["ndcg@10.high"]
    plain = evaluate_retrieval(CharacterEncoder(256, prompts={}), PAIRS, ["nothing like it"])
    assert plain["ndcg@10"] >= found["ndcg@10"]
    assert plain["recall@1"] == 0.75


def test_blocks_of_queries_are_one_whole(monkeypatch):
    task = retrieval_task(Pairs([f"a{n}" for n in range(40)], [f"b{n}" for n in range(40)]))
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((40, 8)).astype(np.float32)
    documents = (queries + generator.standard_normal((40, 8))).astype(np.float32)
    whole = {metric: task.measure(queries, documents, metric) for metric in ("cosine", "dot", "euclidean")}
    monkeypatch.setattr("samespace.evaluation.retrieval._SCORES_AT_ONCE", 7 * 40)
    assert {metric: task.measure(queries, documents, metric) for metric in whole} == whole
    assert whole["cosine"] != whole["euclidean"]
