import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samespace.evaluation.pairs import Pairs
from samespace.training.batches import distinct, epoch_batches, hold_out, mine

texts = st.sampled_from([f"text {number}" for number in range(12)])
rows = st.lists(st.tuples(texts, texts, st.lists(texts, max_size=2)), max_size=40)


def made(rows):
    return distinct(Pairs([a for a, _, _ in rows], [b for _, b, _ in rows], [c for _, _, c in rows]))


@given(rows)
def test_distinct_pairs(rows):
    pairs = made(rows)
    keys = list(zip(pairs.first, pairs.second, strict=True))
    assert len(keys) == len(set(keys))
    assert set(keys) == {(a, b) for a, b, _ in rows if a != b}


@given(rows, st.integers(2, 8), st.integers(0, 3))
def test_no_right_text_of_a_row_is_a_wrong_one_of_another(rows, size, epoch):
    pairs = made(rows)
    right = {}
    for anchor, positive in zip(pairs.first, pairs.second, strict=True):
        right.setdefault(anchor, set()).add(positive)
    batches = epoch_batches(pairs, size, 7, epoch)
    seen = np.concatenate([np.empty(0, int), *batches])
    assert len(seen) == len(set(seen.tolist()))
    for batch in batches:
        assert 2 <= len(batch) <= size
        for row in batch:
            others = [other for other in batch if other != row]
            wrong = {pairs.second[other] for other in others}
            wrong |= {text for other in others for text in (pairs.negatives[other] if pairs.negatives else ())}
            assert not right[pairs.first[row]] & wrong


def test_every_row_comes_once_where_no_texts_are_shared():
    pairs = Pairs([f"a{n}" for n in range(50)], [f"b{n}" for n in range(50)])
    first, again, second = (epoch_batches(pairs, 8, 1, epoch) for epoch in (0, 0, 1))
    assert sorted(np.concatenate(first).tolist()) == list(range(50))
    assert [each.tolist() for each in first] == [each.tolist() for each in again]
    assert [each.tolist() for each in first] != [each.tolist() for each in second]


def test_pairs_that_all_share_a_text_make_no_batch():
    assert epoch_batches(Pairs([f"a{n}" for n in range(9)], ["yes"] * 9), 4, 0, 0) == []


@given(rows, st.integers(0, 5))
def test_no_text_is_on_both_sides(rows, seed):
    train, held = hold_out(made(rows), 0.3, 100, seed)
    kept, out = ({*each.first, *each.second} for each in (train, held))
    assert not set(train.first) & out
    assert not set(train.second) & out
    assert not kept & set(held.first)


def test_at_most_so_many_are_held_out():
    pairs = Pairs([f"a{n}" for n in range(100)], [f"b{n}" for n in range(100)])
    train, held = hold_out(pairs, 0.5, 10, 0)
    assert (len(train), len(held)) == (90, 10)


def test_hard_negatives_are_near_and_not_right():
    angles = np.radians([0, 10, 20, 40, 180])
    positives = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    pairs = Pairs(["q", "q", "r", "s", "t"], ["p0", "p10", "p20", "p40", "p180"])
    anchors = positives[[4, 4, 2, 3, 4]]  # of q, the farthest, so that nothing is too near
    anchors[0] = anchors[1] = (np.cos(np.radians(-30)), np.sin(np.radians(-30)))
    found = mine(pairs, anchors, positives, 2)
    assert found[0] == ["p20", "p40"]  # p10 is q's own
    assert found[1] == ["p20", "p40"]
    assert set(found[2]) == {"p40", "p0"}  # p10 is nearer than .95 of its positive's score
    assert found[4] == ["p40", "p20"]
