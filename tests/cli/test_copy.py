import numpy as np

from samespace.opening import open as open_collection
from samespace.opening import stand
from samespace.testing.store_contract import block_of, space_of


def test_copy_for_people(run, notes):
    done = run("copy", "notes.ss", "other.ss")
    assert done.code == 0
    assert done.out.startswith("Copied 3 rows, ")
    assert "other.ss has all 3. Checksums agree, and 100% of the hits of 3 searches." in done.out
    assert run("search", "other.ss", "cat", "--json").json == run("search", "notes.ss", "cat", "--json").json


def test_copy_for_programs(run, notes):
    report = run("copy", "notes.ss", "other.ss", "--json").json
    assert (report["rows"], report["copied"], report["agreement"]) == (3, 3, 1.0)
    assert run("copy", "notes.ss", "other.ss", "--json").json["copied"] == 0


def test_copy_refuses_a_target_with_rows(run, notes):
    run("copy", "notes.ss", "other.ss")
    with open_collection("third.ss", "characters") as rows:
        rows.add(["own"])
    done = run("copy", "notes.ss", "third.ss")
    assert done.code == 3
    assert "third.ss has 1 rows already" in done.err


def test_copy_of_nothing(run):
    done = run("copy", "none.ss", "other.ss")
    assert done.code == 4
    assert "There is no collection at none.ss" in done.err


def test_an_unknown_kind_of_url(run, notes):
    done = run("copy", "notes.ss", "mysql://host/notes")
    assert done.code == 3
    assert "There is no store 'mysql'" in done.err


def test_verify_finds_nothing_wrong(run, notes):
    done = run("verify", "notes.ss")
    assert done.code == 0
    assert "notes.ss: 3 rows read; all rows belong." in done.out
    assert "too few rows" in done.err
    assert run("verify", "notes.ss", "--json").json["suspects"] == []


def test_verify_finds_a_stranger(run, tmp_path):
    rows = stand("notes.ss", space_of(16))
    block = block_of(2_000, space_of(16), seed=3)
    block.vectors[:] = np.abs(block.vectors)  # all in one corner of the space
    block.vectors[1_234] *= -1
    rows.store.write(block)
    rows.close()
    done = run("verify", "notes.ss")
    assert done.code == 1
    assert "1234" in done.out
    assert "distribution" in done.out
    report = run("verify", "notes.ss", "--json").json
    assert [suspect["id"] for suspect in report["suspects"]] == ["1234"]
    assert report["learned_from"] > 1_000
