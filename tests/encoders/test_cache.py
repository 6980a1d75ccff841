"""The cache of vectors."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from samespace.encoders.cache import VectorCache
from samespace.errors import InvalidInput, InvalidVectors
from samespace.space import Space
from samespace.testing.encoder import CharacterEncoder
from samespace.vectors import Receipts

SPACE = Space("m", 3, digest="x")


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "deep" / "vectors.sqlite")


def vectors(count, start=1):
    array = np.arange(start, start + 3 * count, dtype=np.float32).reshape(count, 3)
    return array, Receipts(np.full(count, 2, np.int32), np.full(count, 5, np.int32))


class Counting(CharacterEncoder):
    """Notes what it was asked to encode."""

    cached = True

    def __init__(self, cache, **more):
        super().__init__(**more)
        self.cache = cache
        self.asked = []

    def _encode(self, texts, role, progress):
        self.asked.append((role, list(texts)))
        return super()._encode(texts, role, progress)


def test_what_is_kept_is_found(cache):
    array, receipts = vectors(2)
    cache.keep(SPACE, "document", ["a", "b"], array, receipts)
    found = cache.find(SPACE, "document", ["b", "?", "a", "b"])
    assert found.there.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(found.array, [array[1], [0, 0, 0], array[0], array[1]])
    assert found.seen.tolist() == [2, 0, 2, 2]
    assert found.total.tolist() == [5, 0, 5, 5]


def test_role_space_and_content_are_told_apart(cache):
    cache.keep(SPACE, "document", ["a"], *vectors(1))
    for space, role, text in [(SPACE, "query", "a"), (Space("n", 3), "document", "a"), (SPACE, "document", "a ")]:
        assert not cache.find(space, role, [text]).there.any()


def test_many_more_than_a_query_takes(cache):
    texts = list(map(str, range(2_500)))
    array, receipts = vectors(2_500)
    cache.keep(SPACE, "document", texts, array, receipts)
    found = cache.find(SPACE, "document", texts[::-1])
    assert found.there.all()
    np.testing.assert_array_equal(found.array, array[::-1])


def test_the_size_is_bounded_and_the_oldest_go(cache, monkeypatch):
    cache.limit = 300_000
    space = Space("wide", 512)
    for day in range(10):
        monkeypatch.setattr("samespace.encoders.cache.time.time", lambda day=day: day * 86_400.0)
        array = np.full((20, 512), day + 1, np.float32)
        receipts = Receipts(np.ones(20, np.int32), np.ones(20, np.int32))
        cache.keep(space, "document", [f"{day} {row}" for row in range(20)], array, receipts)
        cache.find(space, "document", ["0 0"])
    count, size = cache.size()
    assert 0 < count < 150
    assert size <= 300_000
    assert cache.find(space, "document", ["9 19"]).there.all()
    assert cache.find(space, "document", ["0 0"]).there.all(), "used every day"
    assert not cache.find(space, "document", ["0 1"]).there.any()


def test_a_changed_byte_is_not_returned(cache):
    cache.keep(SPACE, "document", ["a", "b"], *vectors(2))
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(12) WHERE rowid = 1")
    connection.close()
    assert cache.find(SPACE, "document", ["a", "b"]).there.tolist() == [False, True]


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at " * 100, b"SQLite format 3\0" * 99]
)
def test_a_damaged_file_is_begun_anew(cache, content, caplog):
    cache.path.parent.mkdir()
    cache.path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert not cache.find(SPACE, "document", ["a"]).there.any()
    assert "is damaged" in caplog.text
    cache.keep(SPACE, "document", ["a"], *vectors(1))
    assert cache.find(SPACE, "document", ["a"]).there.all()


def test_no_place_for_it_costs_a_line_in_the_log_and_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file" / "vectors.sqlite")
    encoder = Counting(cache)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert len(encoder.encode_documents(["a text"])) == 1
    assert caplog.text.count("Vectors are not cached") == 1
    assert len(encoder.asked) == 2


def test_a_newer_format_is_left_alone(cache, caplog):
    cache.path.parent.mkdir()
    with sqlite3.connect(cache.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert not cache.find(SPACE, "document", ["a"]).there.any()
    assert "a newer samespace made it" in caplog.text
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_an_encoder_encodes_what_is_new_and_each_text_once(cache):
    encoder = Counting(cache)
    progress = []
    first = encoder.encode_documents(["a", "b", "a", "c"], progress=progress.append)
    assert encoder.asked == [("document", ["a", "b", "c"])]
    assert sum(progress) == 4
    again = encoder.encode_documents(["c", "d", "b", "a", "d"], progress=progress.append)
    assert encoder.asked[1:] == [("document", ["d"])]
    assert sum(progress) == 9
    np.testing.assert_array_equal(again.array[[3, 2, 0]], first.array[[0, 1, 3]])
    plain = CharacterEncoder().encode_documents(["c", "d", "b", "a", "d"])
    np.testing.assert_array_equal(again.array, plain.array)
    np.testing.assert_array_equal(again.receipts.total, plain.receipts.total)
    encoder.encode_queries(["a"])
    assert encoder.asked[-1] == ("query", ["? a"])


def test_another_collection_of_the_same_texts_costs_nothing(cache, tmp_path):
    import samespace as ss

    texts = [f"the text of number {number}" for number in range(1_000)]
    encoder = Counting(cache)
    with ss.open(tmp_path / "a.ss", encoder) as notes:
        notes.add(texts)
    before = sum(len(asked) for _, asked in encoder.asked)
    with ss.open(tmp_path / "b.ss", Counting(VectorCache(cache.path))) as notes:
        notes.add([*texts[:980], *(f"another text {number}" for number in range(20))])
        again = sum(len(asked) for _, asked in notes.encoder.asked)
    assert before >= 1_000
    assert again == 20, "98 % were there, and so were the canaries"


def test_what_the_model_does_not_know_is_not_kept(cache):
    class Blind(Counting):
        def _encode(self, texts, role, progress):
            array, receipts = super()._encode(texts, role, progress)
            array[[text == "unknown" for text in texts]] = 0
            return array, receipts

    encoder = Blind(cache)
    for _ in range(2):
        with pytest.raises(InvalidInput, match="Item 1 holds nothing"):
            encoder.encode_documents(["known", "unknown"])
    assert encoder.asked == [("document", ["known", "unknown"]), ("document", ["unknown"])]


def test_threads_share_it(cache):
    encoder = Counting(cache)
    texts = [f"text {number}" for number in range(50)]
    expected = CharacterEncoder().encode_documents(texts).array
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: encoder.encode_documents(texts).array, range(16)):
            np.testing.assert_array_equal(result, expected)


def _fill(path, number):
    cache = VectorCache(path)
    for round_ in range(10):
        cache.keep(SPACE, "document", [f"{number} {round_}"], *vectors(1, number + 1), durable=True)


def test_processes_share_it(cache):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(cache.path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    texts = [f"{number} {round_}" for number in range(3) for round_ in range(10)]
    found = cache.find(SPACE, "document", texts)
    assert found.there.all()
    assert found.array[:, 0].tolist() == [number + 1 for number in range(3) for _ in range(10)]


def test_clear(cache):
    cache.keep(SPACE, "document", ["a", "b"], *vectors(2))
    cache.keep_canaries(SPACE, "here", b"kept")
    assert cache.size()[0] == 2
    assert cache.clear() == 2
    assert cache.size()[0] == 0
    assert cache.canaries(SPACE)["here"][1] == b"kept"


def test_one_space_is_forgotten(cache):
    other = Space("n", 3)
    for space in (SPACE, other):
        cache.keep(space, "document", ["a", "b"], *vectors(2))
        cache.keep_canaries(space, "here", b"kept")
    assert cache.forget(SPACE.id) == 2
    assert not cache.find(SPACE, "document", ["a", "b"]).there.any()
    assert cache.canaries(SPACE) == {}
    assert cache.find(other, "document", ["a", "b"]).there.all()
    assert set(cache.canaries(other)) == {"here"}


def test_the_first_canaries_of_a_setup_stay(cache):
    for content in (b"first", b"second"):
        cache.keep_canaries(SPACE, "here", content)
    assert cache.canaries(SPACE)["here"][1] == b"first"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5])
def test_what_is_no_vector_is_not_kept(cache, value):
    class Sick(Counting):
        def _encode(self, texts, role, progress):
            array, receipts = super()._encode(texts, role, progress)
            array[-1] = value
            return array, receipts

    with pytest.raises(InvalidVectors):
        Sick(cache).encode_documents(["fine", "bad"])
    encoder = Counting(cache)
    np.testing.assert_array_equal(
        encoder.encode_documents(["fine", "bad"]).array, CharacterEncoder().encode_documents(["fine", "bad"]).array
    )
    assert encoder.asked == [("document", ["bad"])]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_a_connection_of_its_own(cache, monkeypatch):
    monkeypatch.setattr("samespace.encoders.cache._caches", {cache.path: cache})
    cache.keep(SPACE, "document", ["a"], *vectors(1))
    before = cache._connection
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, about threads
        child = os.fork()
    if not child:
        fine = cache._connection is None and cache.keep(SPACE, "document", ["b"], *vectors(1))
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache._connection is before
    assert cache.find(SPACE, "document", ["a", "b"]).there.all()
