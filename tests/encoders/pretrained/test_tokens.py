"""Contextual embeddings: tokens with their places, and words in their sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samespace as ss
from encoders.pretrained.tiny import TEXTS, make
from samespace.encoders.pretrained.hidden import HiddenLayerEncoder
from samespace.encoders.pretrained.tokens import TokenVectors
from samespace.errors import InvalidInput, NotFound
from samespace.space import Space
from samespace.vectors import Vectors, similarity

torch.set_num_threads(1)

MONEY = ["He withdrew cash from the bank.", "The bank raised its interest rates.", "My bank refused to lend me money."]
RIVER = ["They sat on the bank of the river.", "The boat drifted to the muddy bank.", "Reeds grew along the bank."]


def opened(folder, **options):
    return HiddenLayerEncoder(folder, name="test", model="test", digest="sha256:0", threads=1, **options)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return make("bert", tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("layer", ["4", "5", "6"])
def test_the_two_banks_differ(original, layer):
    """A bank of money is nearer to every other bank of money than to any bank of a river."""
    encoder = opened(original, layer=layer)
    banks = [each.of("bank") for each in encoder.encode_tokens(MONEY + RIVER)]
    scores = np.block([[similarity(a, b) for b in banks] for a in banks])
    alike = [scores[a, b] for a in range(3) for b in range(a)]
    across = scores[:3, 3:]
    assert across.max() < 0.95
    assert min(alike) > across.max()


def test_the_embeddings_differ_by_place_alone(original):
    """What goes into the first layer knows the word and its position, and nothing of its neighbours."""
    first, second = opened(original, layer="0").encode_tokens(["the bank of money", "the bank of sand"])
    np.testing.assert_allclose(first.of("bank").array, second.of("bank").array, atol=1e-6)


def test_tokens_have_their_places(original):
    text = "Ångströms of the antidisestablishmentarians"
    (tokens,) = opened(original, layer="6").encode_tokens([text])
    assert tokens.tokens[:4] == ["ang", "##strom", "##s", "of"]
    assert tokens.offsets.dtype == np.int32
    assert [text[start:end] for start, end in tokens.offsets[:4]] == ["Ång", "ström", "s", "of"]
    assert tokens.words[:5].tolist() == [0, 0, 0, 1, 2]
    assert set(tokens.words[5:].tolist()) == {3}
    assert tokens.vectors.array.shape == (len(tokens), 384)


def test_a_word_of_several_tokens_is_their_mean(original):
    text = "Ångströms of the antidisestablishmentarians"
    (tokens,) = opened(original, layer="6").encode_tokens([text])
    np.testing.assert_allclose(tokens.word(0, 9).array[0], tokens.vectors.array[:3].mean(0), atol=1e-6)
    np.testing.assert_array_equal(tokens.of("ångströms").array, tokens.word(0, 9).array)
    np.testing.assert_allclose(
        tokens.of("antidisestablishmentarians").array[0], tokens.vectors.array[5:].mean(0), atol=1e-6
    )


def test_every_place_of_a_word_is_found(original):
    (tokens,) = opened(original, layer="6").encode_tokens(["A Bank is no banker, but a bank. River bank?"])
    assert len(tokens.of("bank")) == 3
    assert len(tokens.of("river bank")) == 1


def test_tokens_and_special_tokens_make_the_texts_vector(bert):
    """The mean over the text's own tokens and the two around them is the vector of the text."""
    from samespace.encoders.pretrained.states import Transformer

    encoder = opened(bert, layer="2")
    (tokens,) = encoder.encode_tokens(TEXTS[:1])
    network = Transformer(bert, threads=1)
    (batch,) = network.batches(network.read(TEXTS[:1], None), [2])
    around = batch.states[0, 0, [0, -1]].numpy()
    mean = (tokens.vectors.array.sum(0) + around.sum(0)) / (len(tokens) + 2)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS[:1]).array[0], mean, atol=1e-6)


def test_texts_of_any_length_come_back_in_order(bert):
    encoder = opened(bert, layer="2")
    together = encoder.encode_tokens(TEXTS * 30)
    assert [each.text for each in together] == TEXTS * 30
    (alone,) = encoder.encode_tokens(TEXTS[1:2])
    np.testing.assert_allclose(together[6].vectors.array, alone.vectors.array, atol=1e-6)
    assert encoder.encode_tokens([]) == []


def test_a_prompt_is_read_and_left_out(bert):
    encoder = opened(bert, layer="2", prompts={"query": "query: "})
    (document,) = encoder.encode_tokens(["the bank"])
    (query,) = encoder.encode_tokens(["the bank"], "query")
    assert query.offsets.tolist()[0][0] == 0
    assert query.offsets.max() == 8
    assert np.abs(query.of("bank").array - document.of("bank").array).max() > 1e-4
    assert query.vectors.role == "query"


def test_their_space_is_one_of_tokens(bert):
    encoder = opened(bert, layer="1,2", combine="join")
    (tokens,) = encoder.encode_tokens(TEXTS[:1])
    assert (tokens.vectors.space.pooling, tokens.vectors.space.layer) == ("token", "join(1,2)")
    assert tokens.vectors.space != encoder.space
    assert tokens.vectors.array.shape[1] == 32


def test_a_text_that_is_cut_says_so(bert):
    encoder = opened(bert, layer="2")
    text = " ".join(TEXTS)
    (tokens,) = encoder.encode_tokens([text])
    assert tokens.truncated
    assert len(tokens) == 30
    with pytest.raises(InvalidInput, match=r"have no vector: the model did not read that far"):
        tokens.word(len(text) - 4, len(text))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("a bank", r"Expected a list of texts, got one str"),
        ([b"bank"], r"Item 0 must be a text \(str\), got bytes"),
        (["bank", "  "], r"Item 1 is blank"),
        (["\ud800"], r"Item 0 is not valid Unicode"),
        (7, r"Expected a list of texts, got int"),
    ],
)
def test_what_cannot_be_encoded(bert, items, message):
    with pytest.raises(InvalidInput, match=message):
        opened(bert, layer="1").encode_tokens(items)


SPACE = Space("test", 2, pooling="token")
HAND = TokenVectors(
    "ab c",
    ["a", "##b"],
    np.array([[0, 1], [1, 2]], np.int32),
    np.array([0, 0], np.int32),
    Vectors([[1.0, 0.0], [0.0, 1.0]], SPACE),
    False,
)


def test_by_hand():
    assert HAND.of("AB").array.tolist() == [[0.5, 0.5]]
    assert HAND.word(1, 2).array.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: HAND.word(3, 3), InvalidInput, r"from start to end of a text of 4, got 3 to 3"),
        (lambda: HAND.word(0, 5), InvalidInput, r"got 0 to 5"),
        (lambda: HAND.word("a", 2), InvalidInput, r"got 'a' to 2"),
        (lambda: HAND.word(3, 4), InvalidInput, r"Characters 3 to 4, 'c', have no vector: no token is there"),
        (lambda: HAND.of("b"), NotFound, r"The word 'b' is not in 'ab c'; 'of' looks for whole words"),
        (lambda: HAND.of(" "), InvalidInput, r"A word must be a text"),
        (lambda: HAND.of(None), InvalidInput, r"A word must be a text, got None"),
    ],
)
def test_words_that_are_not_there(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_any_pretrained_model_has_tokens(original):
    encoder = ss.encoder(str(original), cache=False)
    (one,) = encoder.encode_tokens(["The bank raised its rates."])
    (same,) = opened(original).encode_tokens(["The bank raised its rates."])
    assert one.tokens == same.tokens
    np.testing.assert_allclose(one.vectors.array, same.vectors.array, atol=1e-5)
    assert one.vectors.space.pooling == "token"
