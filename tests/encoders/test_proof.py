"""Canaries: what is the same space, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

import samespace as ss
from samespace.encoders import encoder as by_name
from samespace.encoders.cache import VectorCache
from samespace.encoders.canaries import CANARIES, TOLERANCE, Canaries, distance
from samespace.encoders.proof import adopt, make, proven
from samespace.errors import EncoderError, PromptWarning, SpaceMismatch
from samespace.interchange import export_collection, import_collection
from samespace.testing.encoder import CharacterEncoder


class Shifted(CharacterEncoder):
    """Moves every vector by noise of a size, as a runtime or a fine-tuning would."""

    def __init__(self, size=0.0, setup="here", digest=True, **more):
        super().__init__(**more)
        self.size, self.setup, self.made = size, setup, 0
        if not digest:
            values = self.space.to_dict()
            del values["digest"]
            self.space = ss.Space.from_dict(values)

    def _encode(self, texts, role, progress):
        self.made += 1
        array, receipts = super()._encode(texts, role, progress)
        noise = np.random.default_rng(0).standard_normal(array.shape).astype(np.float32)
        moved = array + self.size * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True), receipts


@pytest.fixture
def kept(tmp_path):
    return VectorCache(tmp_path / "vectors.sqlite")


def test_distance_is_one_minus_cosine_for_vectors_in_all_directions():
    rng = np.random.default_rng(0)
    kept = rng.standard_normal((16, 4_000)).astype(np.float32)
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    now = kept + 0.01 * rng.standard_normal(kept.shape).astype(np.float32) / 63
    now /= np.linalg.norm(now, axis=1, keepdims=True)
    assert distance(kept, now) == pytest.approx((1 - (kept * now).sum(axis=1)).max(), rel=0.1)


def test_distance_is_as_strict_where_all_vectors_point_one_way():
    rng = np.random.default_rng(0)
    kept = rng.standard_normal((16, 100)).astype(np.float32)
    other = rng.standard_normal((16, 100)).astype(np.float32)
    assert distance(kept + 100, other + 100) == pytest.approx(distance(kept, other), rel=1e-3)
    assert distance(kept + 100, other + 100) > 0.5
    assert distance(7 * kept, 7 * other) == pytest.approx(distance(kept, other), rel=1e-3)


@pytest.mark.parametrize(
    "now", [np.ones((2, 3), np.float32), np.full((3, 3), np.nan, np.float32), np.full((3, 3), np.inf, np.float32)]
)
def test_what_cannot_be_compared_is_infinitely_far(now):
    assert distance(np.eye(3, dtype=np.float32), now) == float("inf")


def test_canaries_survive_as_bytes():
    made = make(CharacterEncoder())
    back = Canaries.from_bytes(made.to_bytes())
    np.testing.assert_array_equal(back.document, made.document)
    np.testing.assert_array_equal(back.query, made.query)
    alike = make(CharacterEncoder(prompts={}))
    assert alike.query is alike.document
    assert len(alike.to_bytes()) < len(made.to_bytes())
    good = made.to_bytes()
    hole = np.full(4, np.nan, "<f4").tobytes()
    for torn in (b"", b"x" * 100, b"PK" + good, good[:50], good[:-1], good + b"x", good[:-16] + hole):
        assert Canaries.from_bytes(torn) is None


def test_canaries_are_made_once_for_a_setup(kept):
    for setup, made in (("one", 2), ("one", 0), ("two", 2), ("two", 0), ("one", 0)):
        encoder = Shifted(setup=setup)
        encoder.cache = kept
        encoder.prove()
        encoder.prove()
        assert encoder.made == made


def test_without_a_digest_they_are_made_again_after_a_day(kept, monkeypatch):
    def made(now):
        monkeypatch.setattr("time.time", lambda: now)
        encoder = Shifted(digest=False)
        encoder.cache = kept
        encoder.prove()
        return encoder.made

    assert [made(hour * 3_600.0) for hour in (0, 1, 23, 25, 26)] == [2, 0, 0, 2, 0]


def test_another_setup_that_moves_vectors_is_refused(kept):
    first, second, third = Shifted(), Shifted(1e-3, "faster"), Shifted(0.3, "broken")
    for encoder in (first, second, third):
        encoder.cache = kept
    proven(first)
    proven(second)
    with pytest.raises(SpaceMismatch, match=r"Cannot use the encoder 'characters' by broken.*as \w+ made them.*0\.\d+"):
        proven(third)
    assert set(kept.canaries(first.space)) == {"here", "faster"}


def test_the_first_encoding_proves(kept):
    good, bad = Shifted(), Shifted(0.3, "broken")
    for encoder in (good, bad):
        encoder.cache, encoder._proven = kept, False
    good.encode_documents(["a text"])
    with pytest.raises(SpaceMismatch, match="by broken"):
        bad.encode_queries(["a text"])


def test_a_collection_keeps_canaries_and_refuses_what_is_not_its_encoder_any_more(path):
    with ss.open(path, Shifted()) as notes:
        notes.add(["a text"])
    with ss.open(path, Shifted(1e-3)) as notes:
        assert notes.search("a text")[0].content == "a text"
    with ss.open(path, Shifted(0.3)) as notes:
        for act in (lambda: notes.search("a text"), lambda: notes.add(["another"])):
            with pytest.raises(
                SpaceMismatch, match=r"as they were when the collection was made\. The distance is 0\.0"
            ):
                act()
        assert notes.count() == len(notes.search("text", mode="text")) == 1


def test_one_model_under_two_names_is_one_space(path):
    class Elsewhere(Shifted):
        """The same vectors, told otherwise."""

        def __init__(self, **more):
            super().__init__(**more)
            self.space = ss.Space.from_dict({**self.space.to_dict(), "model": "served/elsewhere"})
            self.name = "elsewhere"

    with ss.open(path, Shifted()) as notes:
        notes.add(["a cat", "a dog"])
        expected = notes.search("cat")
    with ss.open(path, Elsewhere(size=1e-3, setup="elsewhere")) as notes:
        assert notes.encoder.name == "elsewhere"
        assert notes.encoder.space == notes.space != Elsewhere().space
        assert [hit.id for hit in notes.search("cat")] == [hit.id for hit in expected]
        assert notes.add(["a bird"]).added == 1
    with pytest.raises(SpaceMismatch, match=r"model: .* against 'served/elsewhere'.*at a distance of 0\.\d+ for doc"):
        ss.open(path, Elsewhere(size=0.3))
    other = path.with_name("empty.ss")
    ss.open(other, Shifted()).close()
    with pytest.raises(SpaceMismatch, match="model"):
        ss.open(other, Elsewhere()).close()  # nothing proves it


def test_what_cannot_be_one_space_is_not_encoded_to_find_out():
    encoder = Shifted(metric="dot")
    with pytest.raises(SpaceMismatch, match="metric"):
        adopt(encoder, CharacterEncoder().space, make(CharacterEncoder()), "try")
    assert encoder.made == 0


def test_a_paid_encoder_keeps_nothing_of_what_is_not_proven(kept):
    class Paid(Shifted):
        paid = cached = True

        def _encode(self, texts, role, progress):
            array, receipts = super()._encode(texts, role, progress)
            self._keep(texts, role, array, receipts)
            return array, receipts

    good, bad = Paid(), Paid(0.3, "swapped")
    for encoder in (good, bad):
        encoder.cache = kept
    expected = good.encode_documents(["bank"]).array
    good.prove()
    with pytest.raises(SpaceMismatch, match="samespace cache --forget"):
        bad.prove()
    np.testing.assert_array_equal(good.encode_documents(["bank"]).array, expected)


def test_canaries_of_a_file_must_fit_and_stand_for_all_rows(path, tmp_path):
    file = tmp_path / "rows.jsonl"
    with ss.open(path, CharacterEncoder()) as notes:
        notes.add(["a text"])
        export_collection(notes, file)
    with ss.open(tmp_path / "new.ss", space=CharacterEncoder().space) as notes:
        import_collection(notes, file)
        assert notes.canaries() is not None
    with ss.open(tmp_path / "had.ss", space=CharacterEncoder().space) as notes:
        notes.add([None], ids=["x"], vectors=CharacterEncoder().encode_documents(["of somebody"]))
        import_collection(notes, file)
        assert notes.canaries() is None
        with pytest.raises(ss.InvalidVectors, match="Canaries of dimension 7"):
            notes.keep_canaries(Canaries(np.ones((3, 7), np.float32), np.ones((3, 7), np.float32)))


def test_declared_roles_must_reach_the_model():
    class Deaf(CharacterEncoder):
        def _prompted(self, role, text, row):
            return text

    with pytest.raises(EncoderError, match=r"declares the prompt '\? ' for a query, but gives documents and queries"):
        make(Deaf())


def test_a_prompt_twice_is_noticed():
    encoder = CharacterEncoder(prompts={"query": "query: ", "document": "passage: "})
    with pytest.warns(
        PromptWarning, match="A text begins with 'query: ', which the encoder 'characters' puts in front"
    ):
        encoder.encode_queries(["what", "query: what"])
    encoder.encode_documents(["query: what"])


def test_the_canaries_are_fixed():
    assert len(set(CANARIES)) == 16
    assert 0 < TOLERANCE < 0.01


def test_minilm_is_proven_by_another_number_of_threads(kept):
    one, all_ = (by_name("minilm", threads=threads, cache=False) for threads in (1, None))
    assert distance(make(one).document, make(all_).document) < TOLERANCE / 10
