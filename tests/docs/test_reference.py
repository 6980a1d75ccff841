"""The reference is what the code says of itself."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import sqlite3

import pytest

import samespace as ss
from docs.pages import ROOT
from docs.reference import PAGES, documented, renewed
from samespace import encoders, interchange, where
from samespace.testing.encoder import CharacterEncoder

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_what_the_code_says(page):
    text = page.read_text(encoding="utf-8")
    assert text == renewed(text), "run: python tests/docs/reference.py"


def test_every_public_name_has_one_section():
    found = documented((REFERENCE / "python.md").read_text(encoding="utf-8"))
    assert sorted(found["samespace"]) == sorted(ss.__all__)
    # What is at the top of the package already needs no second section.
    assert sorted(found["samespace.interchange"]) == sorted(interchange.__all__)
    assert set(encoders.__all__) <= {*found["samespace.encoders"], *ss.__all__, "MODELS", "Progress"}


def test_every_word_of_the_filter_language_is_on_its_page():
    page = (REFERENCE / "where.md").read_text(encoding="utf-8")
    for word in where._WORDS:
        assert f"| `{word}` |" in page


def test_the_examples_of_the_filter_language_match_as_its_page_says():
    page = (REFERENCE / "where.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\{.*?\})` \| `(\{.*?\})` \| (yes|no) \|$", page, re.MULTILINE)
    assert len(rows) >= 20
    for metadata, condition, answer in rows:
        parsed = where.parse(ast.literal_eval(condition))
        assert parsed.matches(ast.literal_eval(metadata)) is (answer == "yes"), (metadata, condition)


def test_the_storage_format_names_every_file_table_and_column(tmp_path):
    page = (REFERENCE / "storage-format.md").read_text(encoding="utf-8")
    with ss.open(tmp_path / "notes.ss", CharacterEncoder(), engine="scan") as notes:
        notes.add(["cat"])
        notes.search("cat")
        assert f"format {schema_version(notes.path)}." in page
        with contextlib.closing(sqlite3.connect(notes.path / "catalog.sqlite")) as catalog:
            tables = [name for (name,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            keys = [key for (key,) in catalog.execute("SELECT key FROM meta")]
            columns = {
                column[1] for table in ("rows", "log") for column in catalog.execute(f"PRAGMA table_info({table})")
            }
    for table in tables:
        assert f"## `{table}`" in page or table.startswith("text_"), table
    for name in (*keys, *columns):
        assert f"`{name}`" in page, name
    label = json.loads((notes.path / "index" / "index.json").read_text())
    for name in (*label, "index.json", "scan.index"):
        assert f"`{name}`" in page, name


def schema_version(path):
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as catalog:
        return catalog.execute("PRAGMA user_version").fetchone()[0]
