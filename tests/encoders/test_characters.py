"""The encoder that a person can check by hand."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from samespace.errors import InvalidInput
from samespace.testing.encoder import CharacterEncoder


def test_counts_trigrams():
    encoder = CharacterEncoder(8, metric="dot")
    expected = np.zeros(8)
    for trigram in (b" ab", b"abc", b"bc "):
        expected[zlib.crc32(trigram) % 8] += 1
    assert np.array_equal(encoder.encode_documents(["abc"]).array[0], expected)
    assert encoder.count_tokens(["abc"]).tolist() == [3]


def test_roles_differ_by_the_prompt():
    encoder = CharacterEncoder()
    query, document = encoder.encode_queries(["abc"]), encoder.encode_documents(["? abc"])
    assert np.array_equal(query.array, document.array)
    assert query.receipts.total.tolist() == [5]


def test_what_it_does_not_know_is_an_error_that_names_the_row():
    with pytest.raises(InvalidInput, match=r"Item 1 holds nothing that the encoder 'characters' knows: ' b'"):
        CharacterEncoder(max_tokens=1).encode_documents(["a", " b"])


def test_options_make_other_spaces():
    spaces = {
        CharacterEncoder().space,
        CharacterEncoder(16).space,
        CharacterEncoder(metric="euclidean").space,
        CharacterEncoder(model="other").space,
        CharacterEncoder(prompts={}).space,
    }
    assert len(spaces) == 5
