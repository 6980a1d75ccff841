"""The reference is what the code says of itself."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import re
import sqlite3
import sys

import pytest

import samespace as ss
from docs.pages import ROOT
from docs.reference import PAGES, documented, renewed
from samespace import collection, encoders, indexes, interchange, ranking, where
from samespace.encoders import MODELS, batching
from samespace.stores import local, schema
from samespace.testing.encoder import CharacterEncoder

REFERENCE = ROOT / "docs" / "reference"
SHOWN = (3, 11)  # the version of Python whose messages the pages show


def default(function, name):
    return inspect.signature(function).parameters[name].default


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_what_the_code_says(page):
    said, is_so = page.read_text(encoding="utf-8"), renewed(page.read_text(encoding="utf-8"))
    if sys.version_info[:2] != SHOWN:
        said, is_so = without_messages(said), without_messages(is_so)
    assert said == is_so, "run: python tests/docs/reference.py"


def without_messages(page):
    """Only the calls and the classes: some messages quote one of Python's, whose words change from year to year."""
    return re.sub(r"(\| `\w+` \|) `.*` \|$", r"\1", page, flags=re.MULTILINE)


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


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("explanation/architecture.md", f"`exact` is used up to {indexes._SMALL >> 20} MiB of vectors"),
        ("explanation/architecture.md", f"{collection._ENCODE_BATCH} rows to encode"),
        ("explanation/architecture.md", f"{collection._STORE_BATCH:,} with vectors"),
        ("explanation/architecture.md", f"After {local._LONG_LOG:,} entries or more"),
        ("reference/where.md", f"A filter may be nested {where._MAX_DEPTH} deep"),
        ("reference/encoders.md", f"in batches of about {batching.BUDGET} tokens"),
        ("reference/encoders.md", f"A text is cut at {MODELS['minilm'].max_tokens} tokens"),
        ("how-to/search-by-words-and-meaning.md", f"1 / ({ranking.RRF_CONSTANT} + rank)"),
        ("how-to/search-by-words-and-meaning.md", f"at least {collection._FUSED} deep"),
        ("how-to/use-several-processes.md", f"`timeout` seconds ({default(ss.open, 'timeout'):.0f} by default)"),
        ("reference/storage-format.md", f"{schema.APPLICATION_ID:#X}".replace("0X", "0x")),
        ("reference/storage-format.md", schema.MIGRATIONS[0].split("tokenize = '")[1].split("'")[0]),
    ],
)
def test_the_numbers_in_the_pages_are_those_of_the_code(page, sentence):
    assert sentence in (ROOT / "docs" / page).read_text(encoding="utf-8").replace("\n", " ")
