"""The command line in this process, on the encoder that a person can check by hand."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import samespace.encoders
import samespace.opening
from samespace.cli import main
from samespace.opening import open as open_collection
from samespace.testing.encoder import CharacterEncoder

# The tables that the tests and the reference share lie beside this file.
sys.path.insert(0, str(Path(__file__).parent))

TEXTS = {
    "a": ("The cat sat on the mat.", {"year": 2023, "lang": "en"}),
    "b": ("Der Hund lief durch den Wald.", {"year": 2024, "lang": "de"}),
    "c": (
        "A gzip file can be decompressed with gunzip.",
        {"year": 2025, "lang": "en", "path": "zip.md", "line": 7},
    ),
}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    """Every test has a folder of its own, which the commands' relative paths are in."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "SAMESPACE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _characters(monkeypatch):
    """``characters`` is the name of an encoder, beside those of the catalogue."""
    real = samespace.encoders.encoder

    def by_name(name, *, threads=None, max_cost=None):
        if name == "characters":
            return CharacterEncoder(max_tokens=300)
        if name == "strangers":
            return CharacterEncoder(model="samespace/strangers", name="strangers")
        return real(name, threads=threads, max_cost=max_cost)

    monkeypatch.setattr(samespace.encoders, "encoder", by_name)
    monkeypatch.setattr(samespace.opening, "encoder_by_name", by_name)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command: ``run("search", "notes.ss", "cat")``."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def notes(tmp_path):
    """``notes.ss`` with three rows."""
    with open_collection("notes.ss", "characters") as rows:
        rows.add(
            [text for text, _ in TEXTS.values()],
            ids=list(TEXTS),
            metadata=[about for _, about in TEXTS.values()],
        )
    return tmp_path / "notes.ss"


@pytest.fixture
def process(tmp_path):
    """Run a command as a process of its own, with the real encoder."""

    def process(*arguments, stdin=None, **more):
        done = subprocess.run(
            [sys.executable, "-m", "samespace", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            env=os.environ | more,
            cwd=tmp_path,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return process
