from __future__ import annotations

import json
from pathlib import Path

import pytest

import samespace.cli.intake
from samespace.opening import open as open_collection

FAST = ("--encoder", "characters")
GUIDE = """# Guide

Begin here.

## Install

Type one command.

## Use

Type another command.
"""


@pytest.fixture
def docs(tmp_path):
    """A folder of three files, one of them a picture."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "guide.md").write_text(GUIDE)
    (folder / "note.txt").write_text("A short note about otters.\n")
    (folder / "logo.png").write_bytes(bytes(range(256)) * 8)
    return folder


@pytest.fixture
def index(run):
    """Run ``samespace index`` and read its JSON."""

    def index(*arguments, code=0, **more):
        done = run("index", *arguments, "--into", "n.ss", "--json", **more)
        assert done.code == code, done.err
        assert done.err == ""
        return done.json

    return index


@pytest.fixture
def encoded(monkeypatch):
    """The texts that were encoded, in order."""
    from samespace.testing.encoder import CharacterEncoder

    texts = []
    real = CharacterEncoder.encode_documents

    def spy(self, items, **more):
        items = list(items)
        texts.extend(items)
        return real(self, items, **more)

    monkeypatch.setattr(CharacterEncoder, "encode_documents", spy)
    return texts


def stored(**where):
    with open_collection("n.ss", create=False) as rows:
        return {row.content: dict(row.metadata) for row in rows.rows(where or None)}


def test_passages_know_their_place(index, run, docs):
    report = index("docs", *FAST)
    assert (report["added"], report["files"], report["removed"]) == (4, 2, 0)
    assert [entry["path"] for entry in report["skipped"]] == ["docs/logo.png"]
    (found,) = run("search", "n.ss", "## Install Type one command.", "-k", 1, "--json").json
    assert found["metadata"] | {"path": "docs/guide.md", "line": 5, "heading": "Guide > Install"} == found["metadata"]
    assert "docs/guide.md:5  Guide > Install" in run("search", "n.ss", "## Install Type one command.", "-k", 1).out


def test_a_second_run_reads_nothing_again(index, docs, encoded):
    index("docs", *FAST)
    count = len(encoded)
    report = index("docs")
    assert (report["added"], report["replaced"], report["unchanged"]) == (0, 0, 4)
    assert len(encoded) == count


def test_only_the_paragraph_that_changed_is_encoded(index, run, docs, encoded):
    index("docs", *FAST)
    encoded.clear()
    (docs / "guide.md").write_text(GUIDE.replace("Begin here.", "Begin here.\n\nOr there."))
    report = index("docs")
    assert len(encoded) == 1
    assert "Or there." in encoded[0]
    assert (report["added"], report["replaced"], report["removed"]) == (1, 2, 0)
    assert any("Begin here." in text and "Or there." not in text for text in stored())
    lines = {about["line"] for text, about in stored().items() if text.startswith("## Install")}
    assert lines == {7}


def test_without_sync_it_says_what_sync_would_delete(run, index, docs):
    index("docs", *FAST)
    (docs / "note.txt").unlink()
    done = run("index", "docs", "--into", "n.ss")
    assert done.code == 0
    assert "note: 1 row is no longer in these files; --sync deletes them" in done.err
    assert any("otters" in text for text in stored())


def test_sync_removes_what_is_gone_and_nothing_else(index, docs):
    Path("other.txt").write_text("Elsewhere.")
    index("docs", "other.txt", *FAST)
    (docs / "note.txt").unlink()
    (docs / "guide.md").write_text(GUIDE.replace("Type one command.", "Type two commands."))
    Path("other.txt").unlink()
    report = index("docs", "--sync")
    assert report["removed"] == 2
    texts = " ".join(stored())
    assert "otters" not in texts
    assert "one command" not in texts
    assert "two commands" in texts
    assert "Elsewhere." in texts


def test_sync_after_a_run_without_it_still_finds_the_old_passage(index, docs):
    index("docs", *FAST)
    (docs / "note.txt").write_text("Now about beavers.\n")
    assert index("docs")["added"] == 1
    assert any("otters" in text for text in stored())
    assert index("docs", "--sync")["removed"] == 1
    assert not any("otters" in text for text in stored())


def test_sync_keeps_what_is_there_but_cannot_be_read_now(index, docs):
    index("docs", *FAST)
    (docs / "note.txt").write_bytes(bytes(range(256)) * 8)
    assert index("docs", "--sync")["removed"] == 0
    assert any("otters" in text for text in stored())


def test_a_file_whose_passages_are_not_all_there_is_read_again(index, docs):
    index("docs", *FAST)
    with open_collection("n.ss") as rows:
        rows.delete(list(rows.ids({"heading": "Guide > Install"})))
    assert index("docs")["added"] == 1


def test_ctrl_c_keeps_finished_batches_and_the_next_run_goes_on(run, index, encoded, monkeypatch, tmp_path):
    Path("many.txt").write_text("\n\n".join(f"{'paragraph ' * 90}number {n}." for n in range(10)))
    monkeypatch.setattr(samespace.cli.intake, "_BATCH", 2)
    from samespace.collection import Collection

    real, calls = Collection.add, []

    def add(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "add", add)
        done = run("index", "many.txt", "--into", "n.ss", *FAST)
    assert done.code == 130
    total = int(done.err.split(" of ")[1].split()[0])
    assert done.err == (
        f"Interrupted. 4 of {total} passages are in n.ss; run the same command again to go on from there.\n"
    )
    assert run("info", "n.ss", "--json").json["count"] == 4
    encoded.clear()
    report = index("many.txt")
    assert (report["added"], report["unchanged"]) == (total - 4, 4)
    assert len(encoded) == total - 4


def test_what_people_read(run, docs):
    done = run("index", "docs", "--into", "n.ss", *FAST)
    assert done.code == 0
    assert done.out.startswith("n.ss: 4 added. 4 passages of 2 files in ")
    assert "note: skipped 1 file\n" in done.err
    assert "docs/logo.png: " in done.err
    assert run("index", "docs", "--into", "n.ss").out.startswith("n.ss: 0 added, 4 unchanged. 4 passages of 2 files")


def test_an_empty_folder(run, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("index", "empty", "--into", "n.ss", *FAST)
    assert done.code == 1
    assert "there is nothing to read in these paths" in done.err


# Tables


@pytest.fixture
def talks(tmp_path):
    (tmp_path / "talks.csv").write_text("no,abstract,year,room\n1,On cats,2024,A\n2,On dogs,2025,B\n")
    return tmp_path / "talks.csv"


def test_csv(index, run, talks):
    report = index("talks.csv", *FAST, "--text", "abstract", "--id", "no", "--metadata", "year, room")
    assert (report["added"], report["files"]) == (2, 1)
    (row,) = run("get", "n.ss", "2", "--json").json
    assert row["content"] == "On dogs"
    assert row["metadata"] == {"path": "talks.csv", "year": 2025, "room": "B"}


def test_a_table_without_ids_is_not_doubled_by_a_second_run(index, talks):
    assert index("talks.csv", *FAST, "--text", "abstract")["added"] == 2
    assert index("talks.csv", "--text", "abstract")["unchanged"] == 2


def test_sync_of_a_table(index, talks):
    index("talks.csv", *FAST, "--text", "abstract", "--id", "no")
    talks.write_text("no,abstract\n2,On dogs\n3,On eels\n")
    report = index("talks.csv", "--text", "abstract", "--id", "no", "--sync")
    assert (report["added"], report["unchanged"], report["removed"]) == (1, 1, 1)
    assert set(stored()) == {"On dogs", "On eels"}


def test_sync_of_a_folder_leaves_the_rows_of_a_table_in_it(index, docs, talks):
    talks.rename(docs / "talks.csv")
    index("docs/talks.csv", *FAST, "--text", "abstract", "--id", "no")
    assert index("docs", "--sync")["removed"] == 0
    assert index("docs", "--sync")["removed"] == 0
    assert {"On cats", "On dogs"} <= set(stored())
    (docs / "talks.csv").unlink()
    assert index("docs", "--sync")["removed"] == 3


def test_truncated_rows_are_told(run, tmp_path):
    Path("long.jsonl").write_text(json.dumps({"t": "word " * 200}) + "\n")
    done = run("index", "long.jsonl", "--into", "n.ss", *FAST, "--text", "t")
    assert done.code == 0
    assert "warning: 1 row is longer than the encoder reads" in done.err
    assert run("info", "n.ss", "--json").json["truncated"] == 1


def test_parquet(index, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"t": ["one", "two"], "n": [1, 2]}), tmp_path / "t.parquet")
    assert index("t.parquet", *FAST, "--text", "t", "--metadata", "n")["added"] == 2
    assert {about["n"] for about in stored().values()} == {1, 2}


def test_tables_and_folders_together(index, docs, talks):
    report = index("docs", "talks.csv", *FAST, "--text", "abstract")
    assert (report["added"], report["files"]) == (6, 3)


# Standard input


def test_text_on_standard_input(index):
    report = index("-", *FAST, stdin="A text about otters.\n\nAnd beavers, ä.\n")
    assert report["files"] == 1
    assert report["added"] >= 1
    assert any("beavers, ä" in text for text in stored(path="<stdin>"))


def test_jsonl_on_standard_input(index):
    lines = '{"t": "über", "n": 1}\n\n{"t": "two", "n": 2}\n'
    assert index("-", *FAST, "--text", "t", "--metadata", "n", stdin=lines)["added"] == 2
    assert stored()["über"] == {"path": "<stdin>", "n": 1}


def test_sync_of_standard_input(index):
    index("-", *FAST, "--text", "t", stdin='{"t": "one"}\n{"t": "two"}\n')
    assert index("-", "--text", "t", "--sync", stdin='{"t": "two"}\n')["removed"] == 1
