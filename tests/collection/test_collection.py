"""The collection as a user meets it."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samespace as ss
from samespace.testing.encoder import CharacterEncoder

TEXTS = ["the cat sat on the mat", "a dog in the fog", "king of the hill", "cats and mats"]
SPACE = ss.Space("declared", 8, "cosine")


def vectors(count, space=SPACE, seed=0, role="document"):
    array = np.random.default_rng(seed).standard_normal((count, space.dimension)).astype(np.float32)
    return ss.Vectors(array, space, role)


def test_add_search_get_delete(notes):
    report = notes.add(TEXTS, ids=list("abcd"), metadata=[{"n": n} for n in range(4)])
    assert report == (4, 0, 0, 0)
    hits = notes.search("the cat sat on the mat", k=2)
    assert (len(hits), hits[0].id) == (2, "a")
    assert hits[0].content == TEXTS[0]
    assert hits[0].metadata == {"n": 0}
    assert hits[0].score > hits[1].score
    assert [row.id for row in notes.get(["d", "nothing", "a"])] == ["d", "a"]
    assert notes.delete(["a", "nothing"]) == 1
    assert notes.count() == len(notes) == 3
    assert "a" not in [hit.id for hit in notes.search("the cat sat on the mat", k=10)]


def test_k_larger_than_the_collection_returns_all_there_is(notes):
    notes.add(TEXTS)
    assert len(notes.search("cat", k=100)) == 4
    assert len(notes.search("cat", k=np.int64(2))) == 2


def test_an_empty_collection_has_no_hits(notes):
    for mode in ("vector", "text", "hybrid"):
        assert notes.search("cat", mode=mode) == []
    assert notes.add([]) == (0, 0, 0, 0)
    assert list(notes) == []
    assert notes.get([]) == []


def test_ids_come_from_content(notes):
    notes.add(["same", "same", "other"])
    assert notes.count() == 2
    assert [row.id for row in notes] == [ss.content_id("same"), ss.content_id("other")]


def test_rows_that_are_there_just_so_are_not_encoded_again(path):
    class Counting(CharacterEncoder):
        encoded = 0

        def _encode(self, texts, role, progress):
            Counting.encoded += sum(text in [*TEXTS, "another text"] for text in texts)
            return super()._encode(texts, role, progress)

    with ss.open(path, Counting()) as notes:
        assert notes.add(TEXTS, ids=list("abcd")) == (4, 0, 0, 0)
        assert notes.add(TEXTS, ids=list("abcd")) == (0, 0, 4, 0)
        assert Counting.encoded == 4
        before = notes.get(["a"])[0].vector
        assert notes.add(TEXTS, ids=list("abcd"), metadata=[{"new": True}] * 4) == (0, 4, 0, 0)
        assert Counting.encoded == 4, "the content is the same, so is its vector"
        np.testing.assert_array_equal(notes.get(["a"])[0].vector, before)
        assert notes.add(["another text"], ids=["a"]) == (0, 1, 0, 0)
        assert Counting.encoded == 5


def test_of_one_id_the_last_row_counts(notes):
    notes.add(["one", "two", "three"], ids=["x", "y", "x"])
    assert [(row.id, row.content) for row in notes] == [("y", "two"), ("x", "three")]


def test_an_iterator_of_any_length(path):
    with ss.open(path, space=SPACE) as notes:
        blocks = (vectors(700, seed=seed) for seed in range(30))
        seen = []
        report = notes.add(
            (f"text {n}" for n in range(21_000)),
            ids=(str(n) for n in range(21_000)),
            metadata=({"n": n} for n in range(21_000)),
            vectors=blocks,
            progress=seen.append,
        )
        assert report.added == notes.count() == sum(seen) == 21_000
        expected = vectors(700, seed=7)[[13]].comparable
        np.testing.assert_array_equal(notes.get([str(7 * 700 + 13)])[0].vector, expected[0])


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("rows", [50, 6_000])
def test_search_is_right_the_moment_after_any_write(path, metric, rows):
    space = ss.Space("declared", 8, metric)
    rng = np.random.default_rng(5)
    with ss.open(path, space=space) as notes:
        alive: dict[str, np.ndarray] = {}
        for step in range(12):
            block = vectors(rows // 10, space, seed=step)
            ids = [f"{(step * 7 + n) % (rows // 2)}" for n in range(len(block))]
            notes.add(ids, ids=ids, vectors=block)
            alive.update(zip(ids, block.comparable, strict=True))
            for name in rng.choice(sorted(alive), 3, replace=False).tolist():
                notes.delete([name])
                del alive[name]
            query = vectors(1, space, seed=100 + step, role="query")
            matrix = ss.Vectors(np.array(list(alive.values())), space)
            scores = dict(zip(alive, ss.similarity(query, matrix)[0].tolist(), strict=True))
            expected = sorted(scores.values(), reverse=True)[:10]
            hits = notes.search(query, k=10)
            np.testing.assert_allclose([hit.score for hit in hits], expected, rtol=1e-5, atol=1e-5)
            for hit in hits:
                assert scores[hit.id] == pytest.approx(hit.score, rel=1e-5, abs=1e-5)


def test_equal_scores_keep_the_order_of_insertion(path):
    with ss.open(path, space=SPACE) as notes:
        same = ss.Vectors(np.repeat(vectors(1).array, 9, axis=0), SPACE)
        notes.add(list("ihgfedcba"), ids=list("ihgfedcba"), vectors=same)
        assert [hit.id for hit in notes.search(same[:1], k=5)] == list("ihgfe")


def test_min_score_is_inclusive(notes):
    notes.add(TEXTS)
    best = notes.search("cat on a mat", k=4)
    threshold = best[1].score
    kept = notes.search("cat on a mat", k=4, min_score=threshold)
    assert kept == [hit for hit in best if hit.score >= threshold]
    assert 2 <= len(kept) < 4


def test_text_and_hybrid(notes):
    notes.add(TEXTS, ids=list("abcd"), metadata=[{"n": n} for n in range(4)])
    assert {hit.id for hit in notes.search("Cat", mode="text")} == {"a", "d"}, "stemmed, folded, any word"
    assert [hit.id for hit in notes.search("cat", mode="text", where={"n": {"$gt": 1}})] == ["d"]
    assert notes.search("zebra", mode="text") == []
    assert notes.search('"cat" AND (NEAR * ^', mode="text", k=1) != [], "never read as a query language"
    hits = notes.search("king of cats", mode="hybrid", k=4)
    assert {hit.id for hit in hits} == set("abcd")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    notes.add(["no feline"], ids=["a"])
    assert "a" not in [hit.id for hit in notes.search("sat", mode="text")], "the words of a replaced row are forgotten"
    notes.delete(["c"])
    assert notes.search("hill", mode="text") == []


def test_search_batch_is_many_searches(notes):
    notes.add(TEXTS)
    queries = ["cat", "dog fog", "hill"]
    for mode in ("vector", "text", "hybrid"):
        assert notes.search_batch(queries, k=3, mode=mode) == [notes.search(q, k=3, mode=mode) for q in queries]
    assert notes.search_batch([], k=3) == []


def test_everything_is_there_after_opening_again(path, encoder):
    with ss.open(path, encoder) as notes:
        notes.add(TEXTS, ids=list("abcd"), metadata=[{"ü": ["x", None, 1.5]}] * 4)
        rows, hits = list(notes), notes.search("cat")
    with ss.open(path, encoder, create=False) as notes:
        again = list(notes)
        assert [(r.id, r.content, r.metadata) for r in again] == [(r.id, r.content, r.metadata) for r in rows]
        np.testing.assert_array_equal([r.vector for r in again], [r.vector for r in rows])
        assert notes.search("cat") == hits


def test_the_guard_of_spaces(path, encoder):
    with ss.open(path, encoder) as notes:
        notes.add(TEXTS)
        other = CharacterEncoder(model="another/model")
        with pytest.raises(ss.SpaceMismatch, match="model: 'samespace/characters' against 'another/model'"):
            notes.search(other.encode_queries(["cat"]))
        with pytest.raises(ss.SpaceMismatch, match="model"):
            notes.add(["x"], vectors=other.encode_documents(["x"]))
        with pytest.raises(ss.InvalidInput, match="have the role 'query'"):
            notes.add(["x"], vectors=encoder.encode_queries(["x"]))
        assert notes.count() == 4
    with pytest.raises(ss.SpaceMismatch, match="model"):
        ss.open(path, other)
    with pytest.raises(ss.SpaceMismatch, match="metric"):
        ss.open(path, CharacterEncoder(metric="dot"))
    with pytest.raises(ss.SpaceMismatch):
        ss.open(path, "minilm")
    with pytest.raises(ss.SpaceMismatch):
        ss.open(path, space=SPACE)
    with pytest.raises(ss.SpaceMismatch):
        ss.open(path, encoder, space=SPACE)


def test_a_remembered_encoder_that_changed_stops_encoding_and_nothing_else(path):
    with ss.open(path, CharacterEncoder(name="minilm")) as notes:
        notes.add(TEXTS, ids=list("abcd"))
    with ss.open(path) as notes:
        for call in (lambda: notes.search("cat"), lambda: notes.add(["x"])):
            with pytest.raises(ss.SpaceMismatch, match="Cannot use the encoder 'minilm' for"):
                call()
        assert len(list(notes)) == notes.info().count == 4
        assert notes.search("cat", mode="text") != []
        assert notes.delete(["a"]) == 1


def test_an_encoder_of_the_users_own_is_asked_for(path, encoder):
    ss.open(path, encoder).close()
    with ss.open(path) as notes, pytest.raises(ss.InvalidInput, match="encoder 'characters', which is not here"):
        notes.search("cat")


def test_queries_and_documents_are_encoded_in_their_roles(path):
    with ss.open(path, CharacterEncoder(prompts={"query": "find: "})) as notes:
        notes.add(["find: me", "me"], ids=["prompted", "plain"])
        assert notes.search("me", k=1)[0].id == "prompted"


def test_truncation_is_told(path):
    with ss.open(path, CharacterEncoder(max_tokens=10)) as notes:
        with pytest.warns(ss.TruncationWarning, match="1 of the rows added are longer than 10 tokens"):
            report = notes.add(["short", "much longer than ten"], ids=["s", "l"])
        assert report.truncated == notes.info().truncated == 1
        short, long = notes.get(["s", "l"])
        assert (short.truncated, long.truncated) == (False, True)
        assert (long.tokens_seen, long.tokens_total) == (10, 20)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            notes.add(["much longer than ten"], ids=["l"])


def test_compaction_gives_space_back_and_loses_nothing(path):
    with ss.open(path, space=SPACE) as notes, ss.open(path) as reader:
        notes.add([f"text {n}" for n in range(5_000)], ids=map(str, range(5_000)), vectors=vectors(5_000))
        query = vectors(1, seed=9, role="query")
        notes.delete([str(n) for n in range(0, 5_000, 2)])
        before, info = notes.search(query, k=20), notes.info()
        old = reader.search(query, k=20)
        report = notes.compact()
        assert info.deleted == 2_500
        assert notes.info().deleted == 0
        assert notes.info().bytes_vectors == 2_500 * 8 * 4
        assert report.after < report.before
        assert notes.search(query, k=20) == before == old == reader.search(query, k=20)
        assert [row.id for row in reader.get(["1", "2", "4999"])] == ["1", "4999"]
        assert reader.search("text 4998 4999", mode="text")[0].id == "4999"
        assert notes.verify() == reader.verify() == []
        notes.add(["new"], ids=["new"], vectors=vectors(1, seed=77))
        assert reader.count() == 2_501
        assert notes.info().sequence > info.sequence
        assert len(list(path.glob("vectors-*.f32"))) == 1


def test_reading_through_a_compaction_never_leaves_rows_out_in_silence(path):
    with ss.open(path, space=SPACE) as notes, ss.open(path) as other:
        notes.add([f"text {n}" for n in range(5_000)], ids=map(str, range(5_000)), vectors=vectors(5_000))
        notes.delete(["0"])
        rows = iter(notes)
        seen = [next(rows).id for _ in range(10)]
        other.compact()
        with pytest.raises(ss.StorageError, match="was compacted while it was read"):
            seen.extend(row.id for row in rows)
        assert seen == [str(n) for n in range(1, len(seen) + 1)]


def test_compacting_an_emptied_collection(notes):
    notes.add(TEXTS)
    notes.delete(where={"n": {"$exists": False}})
    notes.compact()
    assert notes.info().bytes_vectors == 0
    notes.add(TEXTS)
    assert len(notes.search("cat")) == 4


def test_rows_filtered_and_in_order(notes):
    notes.add(
        [f"text {n}" for n in range(3_000)], ids=map(str, range(3_000)), metadata=[{"n": n} for n in range(3_000)]
    )
    assert list(notes.ids({"n": {"$lt": 3}})) == ["0", "1", "2"]
    assert notes.count({"n": {"$gte": 2_000}}) == 1_000
    assert [row.metadata["n"] for row in notes.rows({"n": {"$in": [5, 1_500]}})] == [5, 1_500]
    assert notes.delete(where={"n": {"$lt": 2_999}}) == 2_999
    assert list(notes.ids()) == ["2999"]


def test_a_filter_sees_rows_as_they_come_and_go(notes):
    for n in range(20):
        notes.add([f"text {n}"], ids=[str(n % 10)], metadata=[{"n": n, "odd field$\"'": n}])
        for field in ("n", "odd field$\"'"):
            assert notes.count({field: {"$lte": n}}) == min(n + 1, 10)
            assert list(notes.ids({field: n})) == [str(n % 10)]


def test_true_is_not_one_in_a_filter(notes):
    notes.add(["a", "b", "c"], ids=list("abc"), metadata=[{"v": True}, {"v": 1}, {"v": 1.0}])
    assert list(notes.ids({"v": 1})) == ["b", "c"]
    assert list(notes.ids({"v": True})) == ["a"]
    assert list(notes.ids({"v": 1})) == ["b", "c"]


def test_threads_search_while_one_writes(path):
    with ss.open(path, space=SPACE) as notes:
        notes.add([str(n) for n in range(500)], vectors=vectors(500))
        stop, errors = threading.Event(), []

        def search():
            try:
                while not stop.is_set():
                    for hit in notes.search(vectors(1, role="query", seed=3), k=5):
                        assert hit.content is not None
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                errors.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for step in range(30):
            notes.add([f"{step}-{n}" for n in range(50)], vectors=vectors(50, seed=step))
            notes.delete(list(notes.ids())[:20])
            if step % 10 == 9:
                notes.compact()
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []


def test_use_after_close(path, encoder):
    notes = ss.open(path, encoder)
    notes.close()
    notes.close()
    for call in (lambda: notes.search("x"), lambda: notes.add(["x"]), notes.count, lambda: notes.get(["x"])):
        with pytest.raises(ss.CollectionClosed, match="was closed"):
            call()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=5).filter(lambda name: "\0" not in name), st.text())))
def test_any_unicode_comes_back(tmp_path_factory, rows):
    space = ss.Space("declared", 2, "dot")
    with ss.open(tmp_path_factory.mktemp("unicode") / "notes.ss", space=space) as notes:
        good = [(name, text) for name, text in rows if _encodable(name + text)]
        notes.add(
            [text for _, text in good],
            ids=[name for name, _ in good],
            metadata=[{name: text} for name, text in good],
            vectors=vectors(len(good), space),
        )
        expected = dict(good)
        assert {row.id: row.content for row in notes} == expected
        assert all(row.metadata == {row.id: row.content} for row in notes)
        assert {row.id for row in notes.get(list(expected))} == set(expected)


def _encodable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "variable", "familiar"),
    [
        ("http://localhost:11434/v1", None, True),
        ("http://127.0.0.1:8000", None, True),
        ("http://[::1]:8000", None, True),
        ("https://embed.example.com/v1", None, False),
        ("https://embed.example.com/v1", "SAMESPACE_KEY_EMBED_EXAMPLE_COM", True),
        ("https://localhost.example.com/v1", None, False),
    ],
)
def test_a_collection_does_not_send_queries_to_a_stranger(path, monkeypatch, url, variable, familiar):
    name = f"openai:model?dimension=32&url={url}"
    made = CharacterEncoder(name=name, model="model", prompts={})
    with ss.open(path, made) as notes:
        notes.add(["a text"])
    if variable:
        monkeypatch.setenv(variable, "")
    sent = []
    monkeypatch.setattr("samespace.opening.encoder_by_name", lambda name, **_: sent.append(name) or made)
    with ss.open(path) as notes:
        assert notes.count() == 1
        assert sent == [], "nothing is asked before something is encoded"
        assert (notes.encoder is not None) is familiar
        assert sent == ([name] if familiar else [])
        if not familiar:
            with pytest.raises(ss.InvalidInput, match=r"would send every text and query to https://.*SAMESPACE_KEY_"):
                notes.search("a text")
