"""A source that changes, stops, is locked, or is not what its rows say."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import samespace as ss
from interchange.conftest import TEXTS
from interchange.foreign import MAKERS, chroma_client, write_rows
from samespace import InvalidInput, Space, StorageError, Vectors
from samespace.interchange import Columns, export_collection, import_collection, read_source
from samespace.interchange.blocks import BLOCK
from samespace.interchange.recorded import EMBEDDERS, recorded
from samespace.interchange.survey import survey

SPACE = Space("acme/embed", 8)


def stored(tmp_path, rows, *, bad=None):
    array = np.random.default_rng(2).normal(size=(rows, 8))
    np.save(tmp_path / "v.npy", array)
    write_rows(tmp_path / "v.npy.jsonl", [f"text {n}" for n in range(rows)])
    return tmp_path / "v.npy"


def test_rows_beside_an_array_are_found_by_their_name(tmp_path):
    place = stored(tmp_path, 30)
    with ss.open(tmp_path / "a.ss", space=SPACE) as rows:
        import_collection(rows, place, space=SPACE)
        assert rows.get(["row 7"])[0].content == "text 7"


def test_a_stopped_import_goes_on(tmp_path):
    place, done = stored(tmp_path, BLOCK + 500), []

    def stop(rows):
        done.append(rows)
        raise KeyboardInterrupt

    with ss.open(tmp_path / "a.ss", space=SPACE) as rows:
        with pytest.raises(KeyboardInterrupt):
            import_collection(rows, place, space=SPACE, progress=stop)
        assert rows.count() == sum(done) == BLOCK
        report = import_collection(rows, place, space=SPACE)
        assert (report.added, report.replaced) == (500, BLOCK)
        assert {row.id for row in rows} == {f"row {n}" for n in range(BLOCK + 500)}


def test_what_is_changed_between_the_two_readings_stays_outside(tmp_path):
    place = stored(tmp_path, BLOCK + 500)
    with ss.open(tmp_path / "a.ss", space=SPACE) as rows, read_source(place) as source:
        source.found = survey(source)
        array = np.load(place, mmap_mode="r+")
        array[BLOCK + 3] += 1
        array.flush()
        with pytest.raises(InvalidInput, match="was changed while it was imported"):
            import_collection(rows, source, space=SPACE)
        assert rows.count() == BLOCK


def test_one_opened_source_is_read_for_one_proof(tmp_path, vectors):
    place, columns = MAKERS["npy"](tmp_path, TEXTS, vectors)
    with read_source(place, columns) as source:
        for name in ("a.ss", "b.ss"):
            with ss.open(tmp_path / name, "minilm") as rows:
                import_collection(rows, source)
                proof = source.proof
        assert source.proof is proof
        assert survey(source).checks == source.found.checks


def test_a_locked_chroma_is_told(tmp_path, notes):
    notes.add(["one"])
    target = f"chroma:{tmp_path / 'db'}?collection=docs"
    export_collection(notes, target)
    # A process of its own: SQLite's locks are the process's, and its own do not stand in its way.
    hold = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN EXCLUSIVE')"
    script = f"{hold}; print('held', flush=True); sys.stdin.read()"
    file = tmp_path / "db" / "chroma.sqlite3"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match="Another program holds"):
            export_collection(notes, target)
        holder.stdin.close()
    with ss.open(tmp_path / "b.ss", space=notes.space) as after:
        assert import_collection(after, target).added == 1


def test_an_open_client_of_chroma_does_not_stand_in_the_way(tmp_path, into, vectors):
    place, _ = MAKERS["chroma"](tmp_path, TEXTS[:9], vectors[:9])
    client = chroma_client(tmp_path / "chroma")
    assert import_collection(into, place).added == 9
    assert client.get_collection("docs", embedding_function=None).count() == 9
    client.close()


def test_a_client_of_chroma_with_other_settings_is_told(tmp_path, into, vectors):
    import chromadb
    from chromadb.config import Settings

    place, _ = MAKERS["chroma"](tmp_path, TEXTS[:9], vectors[:9])
    client = chromadb.PersistentClient(
        tmp_path / "chroma", settings=Settings(anonymized_telemetry=False, allow_reset=True)
    )
    with pytest.raises(InvalidInput, match="is open in this program with other settings"):
        import_collection(into, place)
    client.close()


@pytest.mark.parametrize(
    ("system", "name", "settings", "encoder"),
    [
        ("Chroma", "default", {}, "minilm"),
        ("Chroma", "sentence_transformer", {"model_name": "all-MiniLM-L6-v2"}, "minilm"),
        ("Chroma", "sentence_transformer", {"model_name": "BAAI/bge-m3"}, "hf:BAAI/bge-m3"),
        ("Chroma", "openai", {"model_name": "m", "dimensions": 256}, "openai:m?dimension=256"),
        ("Chroma", "ollama", {"url": "http://host:11434", "model_name": "m"}, "openai:m?url=http://host:11434/v1"),
        ("Chroma", "my_own", {}, None),
        ("Chroma", "huggingface", {}, None),
        ("LanceDB", "sentence-transformers", {}, "minilm"),
        ("LanceDB", "openai", {}, "openai:text-embedding-ada-002"),
        ("LanceDB", "cohere", {"name": "embed-v4.0"}, "cohere:embed-v4.0"),
    ],
)
def test_what_others_call_their_embedders(system, name, settings, encoder):
    assert recorded(system, name, settings, None).encoder == encoder


def test_every_row_of_embedders_is_one_that_can_be_named():
    from samespace.encoders.names import parse

    for row in EMBEDDERS:
        settings = {row.field: "owner/model"} if row.field else {}
        name = recorded(row.system, row.name, settings, None).encoder
        assert parse(name).scheme in {"catalogue", "hf", "openai", "cohere", "voyage", "mistral", "jina"}


def test_the_names_are_those_of_the_libraries():
    from chromadb.utils.embedding_functions import known_embedding_functions
    from lancedb.embeddings import get_registry

    assert {row.name for row in EMBEDDERS if row.system == "Chroma"} <= set(known_embedding_functions)
    assert {row.name for row in EMBEDDERS if row.system == "LanceDB"} <= set(get_registry()._functions)


def test_no_embedder_of_chroma_is_made(tmp_path, notes, into, vectors, monkeypatch):
    from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2

    place, _ = MAKERS["chroma"](tmp_path, TEXTS[:9], vectors[:9])

    def never(*_arguments, **_more):
        raise AssertionError("it would fetch a model")

    monkeypatch.setattr(ONNXMiniLM_L6_V2, "__call__", never)
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "_download_model_if_not_exists", never)
    assert import_collection(into, place).added == 9
    notes.add(["one"])
    export_collection(notes, f"chroma:{tmp_path / 'out'}?collection=docs")


def test_a_number_of_csv_is_an_id(tmp_path):
    import faiss

    index = faiss.IndexIDMap2(faiss.IndexFlatL2(8))
    index.add_with_ids(np.eye(8, dtype=np.float32), np.arange(8) + 40)
    faiss.write_index(index, str(tmp_path / "v.faiss"))
    lines = ["id,text", *(f"{47 - n},text {n}" for n in range(8))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with ss.open(tmp_path / "a.ss", space=SPACE) as rows:
        import_collection(rows, tmp_path / "v.faiss", columns=Columns(rows=tmp_path / "rows.csv"), space=SPACE)
        assert rows.get(["40"])[0].content == "text 7"
        assert rows.get(["40"])[0].vector.tolist() == [1] + [0] * 7


def test_lines_of_a_foreign_file_are_named(tmp_path):
    lines = [json.dumps({"id": str(n), "text": "t", "v": [0.5] * (3 if n == 2 else 2)}) for n in range(4)]
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    space = Space("acme/embed", 2)
    with ss.open(tmp_path / "a.ss", space=space) as rows:
        with pytest.raises(InvalidInput, match="line 3: its vector has 3 numbers, that of line 1 has 2"):
            import_collection(rows, tmp_path / "v.jsonl", space=space)
        assert rows.count() == 0


def test_an_array_of_half_precision_and_of_the_other_byte_order(tmp_path):
    array = np.random.default_rng(0).normal(size=(9, 8))
    for kind in ("<f2", ">f4", ">f8"):
        for order in ("C", "F"):
            np.save(tmp_path / "v.npy", np.asarray(array.astype(kind), order=order))
            with ss.open(tmp_path / f"{kind[1:]}{order}.ss", space=SPACE) as rows:
                import_collection(rows, tmp_path / "v.npy", space=SPACE)
                found = np.stack([row.vector for row in rows])
                assert np.array_equal(found, Vectors(array.astype(kind).astype(np.float32), SPACE).comparable)
