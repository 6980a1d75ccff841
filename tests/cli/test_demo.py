from __future__ import annotations

import sys
from pathlib import Path

import pytest

import samespace.encoders
import samespace.sources
from samespace.encoders.places import cache_folder
from samespace.opening import open as open_collection
from samespace.sources import Passage
from samespace.testing.encoder import CharacterEncoder

NAMES = ["gzip.decompress", "timeit.timeit", "random.choice"]
HOME = "cache/demo-characters.ss"


@pytest.fixture
def library(monkeypatch):
    """A standard library of three functions; tells how often it was read."""
    read = []

    def docstrings(**_):
        read.append(1)
        for name in NAMES:
            yield Passage(name, f"{name}\nWhat {name} does.", {"name": name, "path": "x.py", "line": 3})

    monkeypatch.setattr(samespace.sources, "docstrings", docstrings)
    return read


def demo(run, *arguments):
    return run("demo", *arguments, "--encoder", "characters")


def test_the_first_run_indexes_and_the_second_starts_at_once(run, library):
    done = demo(run, "gzip decompress")
    assert done.code == 0
    assert "indexed 3 passages of the standard library" in done.err
    assert f"3 passages in {Path.cwd() / HOME}, ready in" in done.err
    assert "gzip.decompress  x.py:3" in done.out.splitlines()[1]
    done = demo(run, "gzip decompress")
    assert len(library) == 1
    assert "indexed" not in done.err


def test_without_a_query_it_asks_its_own(run, library):
    done = demo(run)
    assert "undo gzip" in done.out
    assert "how long did my function take" in done.out
    assert " ms\n" in done.out
    assert "now ask your own" in done.err


def test_json(run, library):
    (answer,) = demo(run, "gzip decompress", "-k", 1, "--json").json
    assert answer["query"] == "gzip decompress"
    assert answer["milliseconds"] >= 0
    assert [hit["id"] for hit in answer["hits"]] == ["gzip.decompress"]
    assert len(demo(run, "--json").json) == 5


def test_an_interrupted_first_run_goes_on(run, library, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(samespace.cli.intake, "_BATCH", 1)
        patch.setattr(CharacterEncoder, "encode_documents", failing_after(CharacterEncoder.encode_documents, 2))
        done = demo(run, "gzip")
    assert done.code == 130
    assert "2 of 3 passages are in" in done.err
    with open_collection(HOME, CharacterEncoder(max_tokens=300)) as rows:
        assert len(rows) == 2
    assert demo(run, "gzip").code == 0
    assert demo(run, "gzip").code == 0
    assert len(library) == 2
    assert run("info", HOME, "--json").json["count"] == 3


def failing_after(real, calls):
    left = [calls]

    def encode(self, items, **more):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(self, items, **more)

    return encode


def test_another_python_brings_the_collection_up_to_date(run, library, monkeypatch):
    demo(run, "gzip")
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    monkeypatch.setattr(sys.modules[__name__], "NAMES", ["gzip.decompress", "gzip.novel"])
    done = demo(run, "gzip")
    assert "of Python 3.99.0" in done.err
    with open_collection(HOME, CharacterEncoder(max_tokens=300)) as rows:
        assert list(rows.ids()) == ["gzip.decompress", "gzip.novel"]


def test_another_space_makes_the_collection_again(run, library, monkeypatch):
    demo(run, "gzip")
    other = CharacterEncoder(dimension=64)
    monkeypatch.setattr(samespace.encoders, "encoder", lambda name, threads=None: other)
    assert demo(run, "gzip").code == 0
    with open_collection(HOME, other) as rows:
        assert rows.space.dimension == 64
        assert len(rows) == 3


def test_a_deleted_collection_is_made_again(run, library):
    import shutil

    demo(run, "gzip")
    shutil.rmtree(HOME)
    assert demo(run, "gzip").code == 0
    assert len(library) == 2


def test_into_another_place(run, library):
    assert demo(run, "gzip", "--into", "here.ss").code == 0
    assert Path("here.ss").is_dir()
    assert not Path("cache").exists()


def test_a_collection_that_is_not_the_demos_is_left_alone(run, library, notes):
    done = demo(run, "gzip", "--into", "notes.ss")
    assert done.code == 3
    assert "did not make it" in done.err
    assert run("info", "notes.ss", "--json").json["count"] == 3


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, Path.home() / ".cache" / "samespace"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, Path("/x/samespace")),
        ("darwin", {}, Path.home() / "Library" / "Caches" / "samespace"),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/samespace/Cache")),
        ("linux", {"SAMESPACE_CACHE": "/mine"}, Path("/mine")),
    ],
)
def test_cache_folder(monkeypatch, platform, environment, folder):
    for name in ("SAMESPACE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == folder
