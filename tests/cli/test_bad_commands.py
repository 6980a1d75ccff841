import os
import stat
from pathlib import Path

import pytest
from bad_input import CASES, answer, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    here = Path.cwd()
    os.chdir(folder)
    try:
        prepare()
    finally:
        os.chdir(here)
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.shown for case in CASES])
def test_bad_input_gets_one_clear_sentence(case, folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, message = answer(case)
    assert (code, case.says in message) == (case.code, True), message
    assert "Traceback" not in message
    assert "made a mistake" not in message
    assert message.startswith("error: " if code != 1 else ("note: ", "new.ss: "))


def test_no_case_changed_a_collection(folder, monkeypatch, run):
    monkeypatch.chdir(folder)
    assert run("info", "notes.ss", "--json").json["count"] == 2
    assert run("info", "bare.ss", "--json").json["count"] == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission(run):
    secret = Path("secret.txt")
    secret.write_text("nobody may read this")
    secret.chmod(0)
    try:
        done = run("index", "secret.txt", "--into", "new.ss", "--encoder", "characters")
    finally:
        secret.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert done.code == 1
    assert "secret.txt: it cannot be read (Permission denied)" in done.err
