"""What every encoder keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samespace.encoders import MODELS, Encoder, encoder
from samespace.errors import InvalidInput
from samespace.testing.encoder import CharacterEncoder

TEXTS = ["a cat sat on the mat", "zip", "Übergrößenträger in Łódź", "how to undo gzip " * 40, "東京は晴れです", "🙂 ok"]
READABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map("word {}".format)


@pytest.fixture(scope="module", params=["characters", *MODELS])
def each(request) -> Encoder:
    if request.param == "characters":
        return CharacterEncoder(max_tokens=100)
    if not MODELS[request.param].installed:
        pytest.skip(f"needs the extra {MODELS[request.param].extra!r}")
    return encoder(request.param)


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return np.einsum("ij,ij->i", a, b)


@pytest.mark.parametrize("role", ["document", "query"])
def test_vectors_carry_space_role_and_receipts(each, role):
    encode = each.encode_documents if role == "document" else each.encode_queries
    vectors = encode(TEXTS)
    assert vectors.space == each.space
    assert vectors.role == role
    assert vectors.array.shape == (len(TEXTS), each.space.dimension)
    assert vectors.array.dtype == np.float32
    assert vectors.receipts.seen.dtype == vectors.receipts.total.dtype == np.int32
    assert (vectors.receipts.seen >= 1).all()
    limit = each.max_tokens or vectors.receipts.total.max()
    assert np.array_equal(vectors.receipts.seen, np.minimum(vectors.receipts.total, limit))


def test_no_items_give_no_rows(each):
    vectors = each.encode_documents([])
    assert vectors.array.shape == (0, each.space.dimension)
    assert len(vectors.receipts) == 0
    assert list(each.stream([])) == []
    assert each.count_tokens([]).shape == (0,)


def test_a_text_gets_the_same_vector_alone_and_among_others(each):
    together = each.encode_documents(TEXTS * 4).array
    alone = np.concatenate([each.encode_documents([text]).array for text in TEXTS])
    assert cosines(together, np.tile(alone, (4, 1))).min() > 0.9995


def test_different_texts_get_different_vectors(each):
    vectors = each.encode_documents(TEXTS).array
    assert (cosines(vectors[:-1], vectors[1:]) < 0.98).all()


def test_what_is_truncated_does_not_change_the_vector(each):
    if each.max_tokens is None:
        pytest.skip("reads everything")
    read = "x y " * each.max_tokens
    vectors = each.encode_documents([read + "gzip", read + "the end of the world"])
    assert vectors.receipts.truncated.all()
    assert np.allclose(vectors.array[0], vectors.array[1], atol=1e-6)


def test_stream_reads_one_batch_at_a_time_and_keeps_order(each):
    taken = []

    def texts():
        for number in count():
            taken.append(number)
            yield f"number {number}"

    batches = list(islice(each.stream(texts(), batch=3), 4))
    assert [len(batch) for batch in batches] == [3, 3, 3, 3]
    assert len(taken) <= 15
    whole = each.encode_documents(f"number {number}" for number in range(12)).array
    assert cosines(np.concatenate([batch.array for batch in batches]), whole).min() > 0.9995


def test_progress_counts_every_item(each):
    seen = []
    each.encode_documents(TEXTS * 5, progress=seen.append)
    assert sum(seen) == len(TEXTS) * 5


def test_an_error_in_progress_reaches_the_caller_and_harms_nothing(each):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each.encode_documents(TEXTS * 5, progress=stop)
    assert len(each.encode_documents(TEXTS)) == len(TEXTS)


def test_threads_share_an_encoder(each):
    expected = each.encode_documents(TEXTS).array
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: each.encode_documents(TEXTS).array, range(8)))
    assert all(cosines(result, expected).min() > 0.9995 for result in results)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("a text", r"Expected a list of texts, got one str\. Put it in a list: \[text\]\."),
        (b"a text", "Expected a list of texts, got one bytes"),
        (5, "Expected a list of texts, got int"),
        (["fine", 7], r"Item 1 must be a text \(str\), got int"),
        (["fine", None], "Item 1 must be a text"),
        (["fine", "fine", ""], "Item 2 is blank"),
        (["fine", " \n\t "], "Item 1 is blank"),
        (["fine", "\ud800"], "Item 1 is not valid Unicode"),
    ],
)
def test_bad_items_are_named(each, items, message):
    with pytest.raises(InvalidInput, match=message):
        each.encode_documents(items)


def test_rows_are_counted_over_the_whole_stream(each):
    batches = each.stream(["a b", "c d", "e f", ""], batch=2)
    assert len(next(batches)) == 2
    with pytest.raises(InvalidInput, match="Item 3 is blank"):
        next(batches)


def test_stream_refuses_bad_arguments_at_once(each):
    with pytest.raises(InvalidInput, match="batch must be a positive int, got 0"):
        each.stream(["a"], batch=0)
    with pytest.raises(InvalidInput, match="role must be 'document' or 'query', got 'doc'"):
        each.stream(["a"], "doc")


def test_count_tokens_accepts_blank_texts(each):
    assert (each.count_tokens(["", " "]) <= each.count_tokens(["a word", "a word"])).all()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(READABLE, min_size=1, max_size=8))
def test_any_texts_keep_their_order_and_their_counts(each, texts):
    vectors = each.encode_documents(texts)
    assert np.array_equal(each.count_tokens(texts), vectors.receipts.total)
    backwards = each.encode_documents(texts[::-1]).array[::-1]
    assert cosines(vectors.array, backwards).min() > 0.9995
