from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.errors import InvalidInput, NotFound
from samespace.evaluation.pairs import Pairs, auc, read_pairs, spearman

values = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5]), min_size=3, max_size=30)


def test_spearman_as_scipy_computes_it():
    stats = pytest.importorskip("scipy.stats")
    random = Random(7)
    for _ in range(100):
        left, right = ([random.choice([0.0, 1.0, 2.0, 3.5]) for _ in range(12)] for _ in range(2))
        assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)
    assert spearman([1, 2, 2, 4], [4, 3, 3, 1]) == pytest.approx(-1.0)


@given(values, st.randoms(use_true_random=False))
def test_auc_counts_the_pairs_in_order(scores, random):
    labels = [random.randint(0, 1) for _ in scores]
    if len(set(labels)) == 2:
        ones = [score for score, label in zip(scores, labels, strict=True) if label]
        zeros = [score for score, label in zip(scores, labels, strict=True) if not label]
        wins = sum((one > zero) + (one == zero) / 2 for one in ones for zero in zeros)
        assert auc(scores, labels) == pytest.approx(wins / len(ones) / len(zeros))


def test_what_has_no_order():
    with pytest.raises(InvalidInput, match="All scores of one side are equal"):
        spearman([1, 1, 1], [1, 2, 3])
    with pytest.raises(InvalidInput, match="of at least 2"):
        spearman([1], [2])
    with pytest.raises(InvalidInput, match="NaN"):
        spearman([1, np.nan], [1, 2])
    with pytest.raises(InvalidInput, match="both must occur"):
        auc([1, 2], [1, 1])
    with pytest.raises(InvalidInput, match="without NaN"):
        auc([1, np.nan], [0, 1])


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", '{"anchor": "a", "positive": "b"}\n\n{"positive": "d", "anchor": "c", "x": 1}\n'),
        ("p.ndjson", '\ufeff{"query": "a", "positive": "b"}\n{"query": "c", "positive": "d"}\n'.replace("\ufeff", "")),
        ("p.csv", "Anchor, positive\r\na,b\r\n\r\nc,d\r\n"),
        ("p.tsv", "x\tanchor\tpositive\n1\ta\tb\n2\tc\td\n"),
        ("P.CSV", "anchor,positive\na,b\nc,d".encode("utf-16")),
        ("p.csv", b"\xef\xbb\xbfanchor,positive\na,b\nc,d\n"),
    ],
)
def test_pairs_that_belong_together(write, name, content):
    pairs = read_pairs(write(name, content))
    assert (list(pairs.first), list(pairs.second)) == (["a", "c"], ["b", "d"])
    assert (pairs.negatives, pairs.scores, pairs.labelled, len(pairs)) == ((), None, False, 2)


def test_negatives(write):
    lines = [
        '{"anchor": "a", "positive": "b", "negative": "n"}',
        '{"anchor": "c", "positive": "d", "negative": ["m", "o"]}',
        '{"anchor": "e", "positive": "f"}',
    ]
    pairs = read_pairs(write("p.jsonl", "\n".join(lines)))
    assert list(pairs.negatives) == [["n"], ["m", "o"], []]
    assert list(pairs.take([2, 0]).negatives) == [[], ["n"]]


def test_quotation_marks(write):
    assert read_pairs(write("p.csv", 'anchor,positive\n"a, ""b""\nc",d\n')).first == ['a, "b"\nc']
    assert read_pairs(write("p.tsv", 'anchor\tpositive\n"a\tb"\n')).first == ['"a']


@pytest.mark.parametrize("columns", ["a,b,score", "sentence1,sentence2,score", "a,b,label"])
def test_scored_pairs(write, columns):
    pairs = read_pairs(write("p.csv", f"{columns}\nx,y,1\nz,w,0\n"))
    np.testing.assert_array_equal(pairs.scores, [1.0, 0.0])
    assert pairs.labelled
    assert not read_pairs(write("q.csv", f"{columns}\nx,y,4.5\nz,w,0\n")).labelled


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.txt", "a b", r"ends in \.jsonl, \.ndjson, \.csv, \.tsv"),
        ("p.jsonl", "", "holds no pairs"),
        ("p.csv", "anchor,positive\n", "holds no pairs"),
        ("p.jsonl", "{", "line 1 is not JSON"),
        ("p.jsonl", "[1]", "expected a JSON object, got a list"),
        ("p.csv", "question,answer\nx,y\n", "has the columns 'question', 'answer'; expected anchor and positive"),
        ("p.csv", "a,b\nx,y\n", "has the columns 'a', 'b'"),
        ("p.csv", "anchor,positive\nx\n", "line 2: expected 2 fields, as the header has, got 1"),
        ("p.csv", 'anchor,positive\n"x,y\n', "is not CSV"),
        ("p.csv", "anchor,positive\nx, \n", "line 2: expected a text in 'positive', got a blank text"),
        ("p.jsonl", '{"anchor": "a", "positive": 3}', "got int"),
        ("p.jsonl", '{"anchor": "a", "positive": "b"}\n{"anchor": "a"}', "line 2: expected a text in 'positive'"),
        ("p.jsonl", '{"anchor": "a", "positive": "b", "negative": ["c", 4]}', "in 'negative', got int"),
        ("p.csv", "a,b,score\nx,y,high\n", "expected a finite number in 'score', got 'high'"),
        ("p.csv", "a,b,score\nx,y,nan\n", "got 'nan'"),
        ("p.csv", b"anchor,positive\nx\0,y\n", "binary"),
        ("p.csv", "anchor,positive\nschön,größer\n".encode("latin1"), "is not UTF-8"),
        ("p.csv", b"anchor,positive\n" + b"x,y\n" * 400_000 + b"x,\xff\n", "is not utf-8"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(write, name, content, says):
    with pytest.raises(InvalidInput, match=says):
        read_pairs(write(name, content))


def test_no_file(tmp_path):
    with pytest.raises(NotFound):
        read_pairs(tmp_path / "none.csv")


def test_parts_of_different_lengths():
    with pytest.raises(InvalidInput, match="of one length"):
        Pairs(["a"], ["b", "c"])
    with pytest.raises(InvalidInput, match="of one length"):
        Pairs(["a"], ["b"], scores=np.array([1.0, 2.0]))
