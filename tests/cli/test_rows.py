import json
import sys
import types


def test_get_shows_rows_in_the_order_asked(run, notes):
    done = run("get", "notes.ss", "b", "a")
    assert done.code == 0
    assert done.out.index("Der Hund") < done.out.index("The cat")
    assert "2024" in done.out


def test_get_json_holds_the_row(run, notes):
    (row,) = run("get", "notes.ss", "a", "--json").json
    assert row["content"] == "The cat sat on the mat."
    assert row["tokens_seen"] == row["tokens_total"] == 23
    assert row["truncated"] is False
    assert "vector" not in row
    (row,) = run("get", "notes.ss", "a", "--json", "--vectors").json
    assert len(row["vector"]) == 32


def test_absent_ids_are_named_and_exit_code_is_1(run, notes):
    done = run("get", "notes.ss", "a", "nope")
    assert done.code == 1
    assert "The cat" in done.out
    assert done.err == "note: no row has the id 'nope'\n"
    done = run("get", "notes.ss", "nope", "--json")
    assert (done.code, done.json) == (1, [])
    assert json.loads(done.err) == {"note": "no row has the id 'nope'"}


def test_delete_by_id(run, notes):
    done = run("delete", "notes.ss", "a", "b")
    assert (done.code, done.out) == (0, "Deleted 2 rows.\n")
    assert run("get", "notes.ss", "a").code == 1
    assert run("get", "notes.ss", "c").code == 0


def test_delete_says_what_was_not_there(run, notes):
    done = run("delete", "notes.ss", "a", "x", "--json")
    assert (done.code, done.json) == (1, {"deleted": 1, "absent": ["x"]})


def test_delete_where(run, notes):
    done = run("delete", "notes.ss", "--where", '{"lang": "en"}', "--yes")
    assert (done.code, done.out) == (0, "Deleted 2 rows.\n")
    done = run("delete", "notes.ss", "--where", '{"lang": "en"}', "--yes", "--json")
    assert (done.code, done.json) == (1, {"deleted": 0, "absent": []})


def test_delete_where_asks_a_person(run, notes, monkeypatch):
    answers = iter(["n", "y"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt="": next(answers))
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: True))
    done = run("delete", "notes.ss", "--where", '{"lang": "en"}')
    assert done.code == 1
    assert "nothing was deleted" in done.err
    assert run("delete", "notes.ss", "--where", '{"lang": "en"}').out.endswith("Deleted 2 rows.\n")
