import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import samespace.errors
from samespace.cli import exits, main
from samespace.cli.exits import EXIT_CODES, MEANINGS, exit_code

FULL = Path("/dev/full")  # a device whose disk is always full


def test_every_error_of_samespace_has_an_exit_code_of_its_own_kind():
    for name in samespace.errors.__all__:
        error = getattr(samespace.errors, name)
        if issubclass(error, samespace.errors.SamespaceError):
            assert exit_code(error.__new__(error)) in (3, 4, 5, 6, 7), name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SpaceMismatch", 3),
        ("InvalidVectors", 3),
        ("InvalidFilter", 3),
        ("NotFound", 4),
        ("CollectionBusy", 5),
        ("CollectionCorrupt", 5),
        ("StorageFull", 5),
        ("MissingExtra", 6),
    ],
)
def test_codes(name, code):
    error = getattr(samespace.errors, name)
    assert exit_code(error.__new__(error)) == code


def test_a_class_stands_above_its_bases():
    for row, (kind, _) in enumerate(EXIT_CODES):
        assert not any(issubclass(kind, above) for above, _ in EXIT_CODES[:row])


def test_every_code_has_a_meaning():
    assert {code for _, code in EXIT_CODES} <= set(MEANINGS)


def failing(monkeypatch, error):
    from samespace.cli import _commands

    def fail(ctx):
        raise error

    monkeypatch.setattr(_commands, "invoke", fail)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (click.Abort(), 130, "Interrupted."),
        (exits.Interrupted("Interrupted. 3 passages."), 130, "Interrupted. 3 passages."),
        (PermissionError(13, "Permission denied", "x"), 5, "error: x: Permission denied."),
        (MemoryError(), 5, "error: Out of memory."),
        (
            ZeroDivisionError("oh"),
            70,
            "error: samespace made a mistake: ZeroDivisionError: oh. Set SAMESPACE_DEBUG=1",
        ),
    ],
)
def test_everything_becomes_a_sentence(run, monkeypatch, error, code, says):
    failing(monkeypatch, error)
    done = run("encoders")
    assert (done.code, done.out) == (code, "")
    assert done.err.strip().startswith(says)
    assert "Traceback" not in done.err


def test_debug_shows_where(run, monkeypatch):
    failing(monkeypatch, ZeroDivisionError("oh"))
    monkeypatch.setenv("SAMESPACE_DEBUG", "1")
    assert "Traceback" in run("encoders").err


def test_with_json_an_error_is_one_json_object(run):
    done = run("info", "missing.ss", "--json")
    assert (done.code, done.out) == (4, "")
    error = json.loads(done.err)
    assert set(error) == {"error", "message", "exit_code"}
    assert (error["error"], error["exit_code"]) == ("NotFound", 4)
    assert json.loads(run("info", "--json").err)["exit_code"] == 2


def test_a_word_is_corrected(run):
    assert "Did you mean 'search'?" in run("serch").err
    assert "The commands are demo, index" in run("xyzzy").err


def test_version_and_help(run):
    assert re.fullmatch(r"samespace \d+\.\d+\.\d+\n", run("--version").out)
    done = run("--help")
    assert done.code == 0
    assert "search" in done.out
    assert run() == done


def test_main_takes_its_arguments_from_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["samespace", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("samespace ")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGPIPE is of Unix")
def test_a_closed_pipe_is_silent(tmp_path, notes):
    from samespace.opening import open as open_collection

    with open_collection("notes.ss") as rows:
        rows.add([f"passage {n} of many" for n in range(3000)])
    writer = subprocess.Popen(
        [sys.executable, "-m", "samespace", "export", "notes.ss", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=os.environ,
    )
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait(60) == 141
    writer.stderr.close()


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error(tmp_path, notes):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "samespace", "encoders", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
    assert done.returncode == 5
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
