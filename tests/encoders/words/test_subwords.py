from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.encoders.words import open_table, open_words
from samespace.encoders.words.subwords import END_OF_LINE, Subwords
from samespace.errors import InvalidInput

# Written by Facebook's own program; gensim carries them.
DATA = Path(find_spec("gensim").submodule_search_locations[0], "test", "test_data")
MODELS = ["crime-and-punishment", "toy-model"]


def slowly(word, shortest, longest, buckets):
    """The n-grams of fastText's source, step by step."""
    if word == END_OF_LINE:
        return []
    text, found = f"<{word}>", []
    for start in range(len(text)):
        for stop in range(start + shortest, min(start + longest, len(text)) + 1):
            if stop - start == 1 and (start == 0 or stop == len(text)):
                continue
            value = 2_166_136_261
            for byte in text[start:stop].encode():
                value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16_777_619) & 0xFFFFFFFF
            found.append(value % buckets)
    return found


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.just(END_OF_LINE)),
    st.sampled_from([(3, 6), (1, 3), (2, 2), (5, 5), (1, 1)]),
)
def test_ngrams_are_those_of_fasttext(words, sizes):
    buckets, owners = Subwords(*sizes, np.zeros((1_000, 1), np.float32)).buckets(words)
    for at, word in enumerate(words):
        assert buckets[owners == at].tolist() == slowly(word, *sizes, 1_000)
    assert owners.tolist() == sorted(owners.tolist())


@pytest.mark.parametrize("name", MODELS)
def test_words_have_the_vectors_that_facebook_wrote(name):
    table, printed = open_table(DATA / f"{name}.bin"), open_table(DATA / f"{name}.vec")
    assert list(table.words) == list(printed.words)
    np.testing.assert_allclose(table.vectors, printed.vectors, atol=5.1e-6)  # it prints five digits


@pytest.mark.parametrize("name", MODELS)
def test_unseen_words_have_the_vectors_of_gensim(name):
    from gensim.models.fasttext import load_facebook_vectors

    table, theirs = open_table(DATA / f"{name}.bin"), load_facebook_vectors(str(DATA / f"{name}.bin"))
    unseen = ["unseenword", "naïvety", "日本語で", "éé"]
    assert (table.find(unseen) == -1).all()
    np.testing.assert_allclose(table.look_up(unseen), [theirs[word] for word in unseen], atol=1e-6)


def test_an_encoder_of_subwords_knows_every_word():
    encoder = open_words(DATA / "toy-model.bin")
    vectors = encoder.encode_documents(["the unseenword", "unseenword the zzz", "the"])
    assert vectors.receipts.seen.tolist() == vectors.receipts.total.tolist() == [2, 3, 1]
    own = encoder.table.look_up(["the", "unseenword"])
    np.testing.assert_allclose(vectors.array[0], own.mean(axis=0), rtol=1e-6)


def model(*, quantised=False, version=12, labels=0, pruned=-1):
    words, dimension, buckets = ["</s>", "king"], 3, 4
    settings = [dimension, 5, 5, 1, 5, 1, 2, 1, buckets, 3, 6, 100]
    head = struct.pack("<2i12id", 793_712_314, version, *settings, 1e-4)
    sizes = struct.pack("<3iqq", len(words) + labels, len(words), labels, 99, pruned)
    entries = [(word, 0) for word in words] + [(f"__label__{at}", 1) for at in range(labels)]
    dictionary = b"".join(word.encode() + struct.pack("<bqb", 0, 7, kind) for word, kind in entries)
    matrix = np.arange((len(words) + buckets) * dimension, dtype="<f4")
    return (
        head + sizes + dictionary + struct.pack("<?qq", quantised, len(words) + buckets, dimension) + matrix.tobytes()
    )


def test_a_model_made_by_hand(tmp_path):
    (tmp_path / "model.bin").write_bytes(model())
    table = open_table(tmp_path / "model.bin")
    np.testing.assert_array_equal(table.vectors[0], [0, 1, 2])  # the end of a line has no n-grams
    ngrams = np.arange(6, 18, dtype=np.float32).reshape(4, 3)[slowly("king", 3, 6, 4)]
    np.testing.assert_allclose(table.vectors[1], np.vstack([[[3, 4, 5]], ngrams]).mean(axis=0), rtol=1e-6)


def test_a_classifier_has_words_too(tmp_path):
    (tmp_path / "model.bin").write_bytes(model(labels=2))
    assert list(open_table(tmp_path / "model.bin").words) == ["</s>", "king"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (model(quantised=True), "is quantised"),
        (model(version=11), "is of version 11 of fastText's format; expected 12"),
        (model()[:-1], "The file is torn"),
        (model()[:110], "ends in the middle of its dictionary"),
        (model()[:40], "ends in the middle of its dictionary"),
    ],
)
def test_models_that_cannot_be_read(content, says, tmp_path):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        open_table(tmp_path / "model.bin")
