"""The catalogue of engines and the choice among them."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from samespace.errors import MissingExtra, NotFound
from samespace.indexes import ENGINES, Index, accelerator, choose, engine, require


def test_rows_describe_their_classes():
    for name, row in ENGINES.items():
        cls = engine(name)
        assert issubclass(cls, Index)
        assert cls.engine == name == row.name
        assert row.available


def test_an_unknown_engine_is_named_with_those_there_are():
    names = "exact, scan, graph, hnsw, hnsw-sq8, ivf, ivf-sq8, ivf-pq"
    with pytest.raises(NotFound, match=rf"^There is no engine 'hnsw2'; the engines are {names}\.$"):
        engine("hnsw2")


def test_the_choice_goes_by_size():
    assert choose(0, "cosine", 384) == "exact"
    assert choose(1_000, "euclidean", 384) == "exact"
    assert choose(100_000, "cosine", 384) == "scan"
    assert choose(100_000, "dot", 1_536) == "scan"
    assert choose(100_000, "euclidean", 3) == "exact"


def test_without_its_library_the_scan_is_not_chosen(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "turbovec", None)
    assert not ENGINES["scan"].available
    with caplog.at_level(logging.WARNING, "samespace.indexes"):
        assert choose(1_000_000, "cosine", 384) == "exact"
    assert "turbovec is not installed" in caplog.text
    with pytest.raises(MissingExtra, match="scan"):
        engine("scan")(8, "cosine")


@pytest.mark.parametrize("name", [name for name, row in ENGINES.items() if row.library])
def test_an_engine_whose_library_is_missing_says_what_to_install(name, monkeypatch):
    assert require(name) is ENGINES[name]
    monkeypatch.setitem(sys.modules, ENGINES[name].library, None)
    assert not ENGINES[name].available
    for use in (lambda: require(name), lambda: engine(name)(8, "cosine")):
        with pytest.raises(MissingExtra, match=rf"^The engine '{name}' .*samespace\[{ENGINES[name].extra}\]"):
            use()


def test_the_best_engine_that_is_installed_is_built(monkeypatch):
    assert accelerator() == "graph"
    monkeypatch.setitem(sys.modules, "rabitqlib", None)
    assert accelerator() == "hnsw"
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert accelerator() is None


def test_importing_the_catalogue_imports_no_library():
    code = "import sys, samespace.indexes; print({'turbovec', 'rabitqlib', 'faiss'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
