import json
from pathlib import Path

import numpy as np
import pytest

from samespace.encoders import encoder
from samespace.opening import open as open_collection
from samespace.testing.encoder import CharacterEncoder


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_there_and_back(run, notes, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    done = run("export", "notes.ss", f"notes.{suffix}")
    assert (done.code, done.out) == (0, f"Wrote 3 rows to notes.{suffix}.\n")
    done = run("import", f"notes.{suffix}", "--into", "copy.ss")
    assert (done.code, done.out) == (0, "copy.ss: 3 added, 0 replaced.\n")
    assert run("get", "copy.ss", "a", "b", "c", "--json", "--vectors").json == (
        run("get", "notes.ss", "a", "b", "c", "--json", "--vectors").json
    )


def test_json_reports(run, notes):
    assert run("export", "notes.ss", "n.jsonl", "--json").json == {"rows": 3, "file": "n.jsonl"}
    report = run("import", "n.jsonl", "--into", "notes.ss", "--json").json
    assert report["added"] == 0
    assert set(report) == {"added", "replaced", "unchanged", "truncated", "notes"}


def test_where(run, notes):
    run("export", "notes.ss", "n.jsonl", "--where", '{"lang": "en"}')
    assert len(Path("n.jsonl").read_text().splitlines()) == 3  # the header and two rows


def test_pipes(run, notes):
    lines = run("export", "notes.ss", "-").out
    header, *rows = map(json.loads, lines.splitlines())
    assert header["space"]["model"] == "samespace/characters"
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    done = run("import", "-", "--into", "copy.ss", stdin=lines)
    assert (done.code, done.out) == (0, "copy.ss: 3 added, 0 replaced.\n")


def test_an_error_in_standard_input_names_it(run):
    done = run("import", "-", "--into", "copy.ss", stdin='{"id": "a"}\n')
    assert done.code == 3
    assert done.err.startswith("error: <stdin> does not begin with samespace's header")


def test_a_new_collection_takes_the_encoder_of_the_file_if_the_catalogue_has_it(run):
    pytest.importorskip("wordllama")
    with open_collection("w.ss", "wordllama") as rows:
        rows.add(["The cat sat on the mat."], ids=["a"])
    run("export", "w.ss", "w.jsonl")
    run("import", "w.jsonl", "--into", "copy.ss")
    assert run("search", "copy.ss", "a cat", "--json").json[0]["id"] == "a"


def test_a_refused_import_leaves_nothing_behind(run, notes):
    run("export", "notes.ss", "n.jsonl")
    assert run("import", "n.jsonl", "--into", "new.ss", "--encoder", "minilm").code == 3
    assert not Path("new.ss").exists()


# What other programs made

TEXTS = ["The cat sat on the mat.", "Der Hund lief durch den Wald.", "A gzip file can be decompressed with gunzip."]


def vectors_of(texts=TEXTS):
    return CharacterEncoder(max_tokens=300).encode_documents(texts).array


@pytest.fixture
def strange():
    """``old.npy`` and ``rows.jsonl``, of which nothing says what made them."""
    np.save("old.npy", vectors_of())
    rows = [{"id": str(n), "text": text, "n": n} for n, text in enumerate(TEXTS)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("target", ["n.npy", "n.faiss", "lancedb:db?table=n", "chroma:db?collection=nnn"])
def test_there_and_back_by_other_formats(run, notes, target):
    done = run("export", "notes.ss", target)
    assert (done.code, done.out) == (0, f"Wrote 3 rows to {target}.\n")
    done = run("import", target, "--into", "copy.ss")
    assert (done.code, done.out, done.err) == (0, "copy.ss: 3 added, 0 replaced.\n", "")
    assert run("get", "copy.ss", "a", "b", "c", "--json", "--vectors").json == (
        run("get", "notes.ss", "a", "b", "c", "--json", "--vectors").json
    )


def test_an_encoder_that_is_named_proves_the_vectors_and_searches_at_once(run, strange):
    done = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "new.ss", "--encoder", "characters")
    assert (done.code, done.out) == (0, "new.ss: 3 added, 0 replaced.\n")
    assert done.err.startswith("Proven: characters makes the same vectors of 3 of the texts (distance 0, of 0.01")
    assert run("search", "new.ss", "a cat on a mat", "--json").json[0]["id"] == "0"
    with open_collection("new.ss") as rows:
        assert rows.info().proven
    again = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "new.ss", "--json").json
    assert (again["added"], again["replaced"], len(again["notes"])) == (0, 3, 1)


def test_another_encoder_is_refused_and_leaves_nothing_behind(run, strange):
    done = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "new.ss", "--encoder", "strangers")
    assert done.code == 3
    assert "3 of 3 texts do not fit" in done.err
    assert not Path("new.ss").exists()


def test_nothing_that_says_which_model_is_told(run, strange):
    done = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "new.ss")
    assert done.code == 3
    assert "old.npy does not say which model made its vectors. Name the encoder that made them" in done.err
    assert not Path("new.ss").exists()


def test_a_space_that_is_declared(run, strange):
    Path("space.json").write_text('{"model": "acme/embed", "dimension": 32}')
    done = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "new.ss", "--space", "space.json")
    assert (done.code, done.out) == (0, "new.ss: 3 added, 0 replaced.\n")
    assert done.err.startswith("Not proven: that the vectors of old.npy are of acme/embed (32-d, cosine, ")
    with open_collection("new.ss") as rows:
        assert (rows.space.model, rows.info().encoder, rows.info().proven) == ("acme/embed", None, False)
    Path("space.json").write_text('{"model": "acme/embed", "dimension": 64}')
    done = run("import", "old.npy", "--rows", "rows.jsonl", "--into", "other.ss", "--space", "space.json")
    assert "its vectors have dimension 32, those of acme/embed" in done.err
    assert not Path("other.ss").exists()


@pytest.mark.parametrize(
    ("content", "says"), [("{", "is no space"), ('{"model": 5}', "is no space"), (None, "no file")]
)
def test_a_space_that_is_none(run, strange, content, says):
    if content is not None:
        Path("space.json").write_text(content)
    done = run("import", "old.npy", "--into", "new.ss", "--space", "space.json")
    assert done.code in (3, 4)
    assert says in done.err


def test_either_an_encoder_or_a_space(run, strange):
    done = run("import", "old.npy", "--into", "new.ss", "--space", "s.json", "--encoder", "characters")
    assert done.code == 2


def test_columns_are_named(run):
    rows = [
        {"nr": n, "abstract": text, "v": v.tolist()}
        for n, (text, v) in enumerate(zip(TEXTS, vectors_of(), strict=True))
    ]
    Path("old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = ("--id", "nr", "--content", "abstract", "--vector", "v")
    done = run("import", "old.jsonl", "--into", "new.ss", "--encoder", "characters", *columns)
    assert done.code == 0
    assert run("get", "new.ss", "1", "--json").json[0]["content"] == TEXTS[1]


def test_the_recorded_embedder_of_chroma_becomes_the_encoder(run):
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient("db", settings=Settings(anonymized_telemetry=False))
    vectors = encoder("minilm").encode_documents(TEXTS).array
    client.create_collection("docs").add(ids=["a", "b", "c"], documents=TEXTS, embeddings=vectors)
    client.close()
    done = run("import", "chroma:db", "--into", "new.ss")
    assert (done.code, done.out) == (0, "new.ss: 3 added, 0 replaced.\n")
    assert done.err.startswith("Proven: minilm makes the same vectors of 3 of the texts")
    assert run("search", "new.ss", "how do I unpack an archive?", "--json").json[0]["id"] == "c"
    done = run("import", "chroma:db", "--into", "other.ss", "--encoder", "characters")
    assert "have dimension 384, and those of characters 32. Chroma recorded the embedder 'default'." in done.err


def test_a_paid_embedder_is_not_used_unasked(run, monkeypatch):
    import chromadb
    from chromadb.config import Settings
    from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction

    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    client = chromadb.PersistentClient("db", settings=Settings(anonymized_telemetry=False))
    embedder = OpenAIEmbeddingFunction(model_name="text-embedding-3-small", api_key_env_var="OPENAI_API_KEY")
    docs = client.create_collection("docs", embedding_function=embedder)
    docs.add(ids=["a"], documents=["one"], embeddings=np.ones((1, 1536)))
    client.close()
    done = run("import", "chroma:db", "--into", "new.ss")
    assert done.code == 3
    assert "which samespace calls openai:text-embedding-3-small. Name the encoder" in done.err
    assert "It is not used unasked, since that costs money." in done.err
    assert not Path("new.ss").exists()
