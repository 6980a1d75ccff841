from __future__ import annotations

import numpy as np
import pytest

from samespace.encoders import encoder
from samespace.encoders.names import parse
from samespace.encoders.words import WordEncoder, open_words
from samespace.encoders.words.tokens import compounds, parts
from samespace.errors import InvalidInput

TABLE = {"the": (1, 0), "cat": (0, 2), "Paris": (3, 3), "don't": (5, 0), "twenty": (0, 7), "nothing": (0, 0)}


@pytest.fixture
def file(tmp_path):
    lines = (f"{word} {x} {y}\n" for word, (x, y) in TABLE.items())
    (tmp_path / "vectors.txt").write_text("".join(lines))
    return tmp_path / "vectors.txt"


@pytest.mark.parametrize(
    ("text", "words", "total"),
    [
        ("the cat", ["the", "cat"], 2),
        ("The CAT!", ["the", "cat"], 2),
        ("Paris, paris", ["Paris"], 2),
        ("cat cat the", ["cat", "cat", "the"], 3),
        ("Don’t", ["don't"], 1),
        ("twenty-two cat's", ["twenty", "cat"], 4),
        ("unknown cat", ["cat"], 2),
    ],
)
def test_a_text_is_the_mean_of_its_words(text, words, total, file):
    vectors = open_words(file).encode_documents([text])
    np.testing.assert_allclose(vectors.array[0], np.mean([TABLE[word] for word in words], axis=0))
    assert vectors.receipts.seen.tolist() == vectors.receipts.total.tolist() == [total], "nothing is cut off"


@pytest.mark.parametrize("text", ["unknown", "...", "nothing"])
def test_a_text_without_a_known_word(text, file):
    with pytest.raises(InvalidInput, match="Item 1 holds nothing that the encoder"):
        open_words(file).encode_queries(["cat", text])


def test_the_space_depends_on_the_vectors_and_not_on_the_file(file, tmp_path):
    first = open_words(file)
    other = tmp_path / "same.txt"
    other.write_text("6 2\n" + file.read_text())
    assert open_words(other).space == first.space
    other.write_text(file.read_text().replace("3 3", "3 4"))
    assert open_words(other).space != first.space
    assert first.space.metric == "cosine"
    assert first.space.pooling == "mean"
    assert not first.space.normalized


def test_it_opens_by_name(file):
    opened = encoder(str(file))
    assert isinstance(opened, WordEncoder)
    assert opened.encode_queries(["the"]).array.tolist() == [[1, 0]]
    limited = encoder(f"{file}?limit=1")
    assert len(limited.table) == 1
    assert limited.space != opened.space


@pytest.mark.parametrize(
    ("options", "says"), [("limit=0", "limit must be"), ("limit=x", "limit="), ("layer=1", "has no option layer")]
)
def test_options_that_there_are_not(options, says, file):
    with pytest.raises(InvalidInput, match=says):
        open_words(file, parse(f"{file}?{options}"))


def test_canaries_are_words_that_it_knows(file):
    opened = open_words(file)
    assert opened.canaries == ("the", "cat", "Paris", "don't", "twenty")
    assert len(opened.encode_documents(opened.canaries)) == 5
    assert not opened.cached


def test_texts_are_counted_without_encoding_errors(file):
    assert open_words(file).count_tokens(["the unknown cat", "..."]).tolist() == [3, 0]


def test_many_texts_are_encoded_in_order(file):
    texts = ["the", "cat", "Paris twenty"] * 900
    array = open_words(file).encode_documents(texts).array
    np.testing.assert_array_equal(array, np.tile([[1, 0], [0, 2], [1.5, 5]], (900, 1)).astype(np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: New_York's twenty-two!", ["Don't", "stop", "New_York's", "twenty-two"]),
        ("हिन्दी नमस्ते", ["हिन्दी", "नमस्ते"]),
        ("cafe\u0301", ["café"]),
        ("l’été, «déjà»", ["l'été", "déjà"]),
        ("3.14 a1 日本語。", ["3", "14", "a1", "日本語"]),
        ("- ' _ 👍", []),
    ],
)
def test_what_a_word_is(text, words):
    assert compounds(text) == words


def test_ascii_is_split_by_the_same_rule():
    text = "It's a_b-c 'quoted' --dash-- x' 'y 12-34, __init__ e.g. a'b-c_d"
    assert compounds(text) == compounds(text + " é")[:-1]
    assert parts("a'b-c_d") == ["a", "b", "c", "d"]
