import json
from pathlib import Path

import pytest

from samespace.opening import open as open_collection


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
