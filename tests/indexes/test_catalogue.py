"""The catalogue of engines and the choice among them."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from samespace.errors import MissingExtra, NotFound
from samespace.indexes import ENGINES, Index, choose, engine


def test_rows_describe_their_classes():
    for name, row in ENGINES.items():
        cls = engine(name)
        assert issubclass(cls, Index)
        assert cls.engine == name == row.name
        assert row.available


def test_an_unknown_engine_is_named_with_those_there_are():
    with pytest.raises(NotFound, match=r"^There is no engine 'hnsw2'; the engines are exact, scan\.$"):
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


def test_importing_the_catalogue_does_not_import_turbovec():
    code = "import sys, samespace.indexes; print('turbovec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
