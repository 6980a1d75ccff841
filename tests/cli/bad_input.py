"""Bad input for every command, and the folder they are run in. The reference's table is made of these."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One command that cannot do what it is asked.

    ``shown`` is what a user types after ``samespace``; ``says`` a part of what they read.
    """

    shown: str
    code: int
    says: str


WHERE = "search notes.ss cat --where "

CASES = (
    # The command line
    Case("serch notes.ss cat", 2, "Did you mean 'search'?"),
    Case("search notes.ss", 2, "Missing argument 'QUERY'"),
    Case("search notes.ss cat --colour", 2, "--colour"),
    Case("search notes.ss cat -k 0", 2, "0 is not in the range x>=1"),
    Case("search notes.ss cat -k ten", 2, "'ten' is not a valid integer"),
    Case("search notes.ss cat --mode meaning", 2, "'vector', 'text', 'hybrid'"),
    Case("search notes.ss cat --min-score high", 2, "'high' is not a valid float"),
    Case("search notes.ss cat --min-score nan", 2, "not nan"),
    Case("get notes.ss", 2, "Missing argument 'ID...'"),
    Case("get notes.ss a --vectors", 2, "--vectors needs --json"),
    Case("delete notes.ss", 2, "either IDs or --where"),
    Case("""delete notes.ss a --where '{"lang": "en"}'""", 2, "either IDs or --where"),
    Case("""delete notes.ss --where '{"lang": "en"}'""", 2, "add --yes"),
    Case("index folder", 2, "Missing option '--into'"),
    Case("index --into notes.ss", 2, "Missing argument 'PATHS...'"),
    Case("index folder --into new.ss --threads 0", 2, "0 is not in the range x>=1"),
    Case("index talks.csv --into new.ss", 2, "talks.csv is a table: name the column to embed with --text"),
    Case("index folder --into new.ss --text abstract", 2, "--text is for tables"),
    Case("index folder --into new.ss --id number", 2, "need --text"),
    Case("index talks.csv --into new.ss --text abstract --metadata path", 2, "no column can be kept as it"),
    Case("import notes.jsonl", 2, "Missing option '--into'"),
    Case("search notes.ss cat --recall 2", 2, "2.0 is not in the range 0.0<x<=1.0"),
    Case("tune notes.ss --recall 0", 2, "0.0 is not in the range 0.0<x<=1.0"),
    Case("tune notes.ss --recall high", 2, "'high' is not a valid float"),
    Case("tune notes.ss --engines ,", 2, "--engines must name engines"),
    Case("tune notes.ss --plot curves.xls", 2, "--plot must name a .png, .svg or .pdf file, got curves.xls"),
    Case("encoders minilm wordllama", 2, "wordllama"),
    # Filters
    Case(WHERE + """'{"year":'""", 3, "--where must be JSON"),
    Case(WHERE + "'[2024]'", 3, "--where must be a JSON object"),
    Case(WHERE + "'{}'", 3, "where"),
    Case(WHERE + """'{"year": {"$near": 2024}}'""", 3, "$near"),
    Case(WHERE + """'{"year": {"$in": 2024}}'""", 3, "$in"),
    Case(WHERE + """'{"$or": []}'""", 3, "$or"),
    # What is not there
    Case("search missing.ss cat", 4, "missing.ss"),
    Case("search folder cat", 4, "folder"),
    Case("get missing.ss a", 4, "missing.ss"),
    Case("get notes.ss nope", 1, "no row has the id 'nope'"),
    Case("delete missing.ss a", 4, "missing.ss"),
    Case("delete notes.ss nope", 1, "no row has the id 'nope'"),
    Case("info missing.ss", 4, "missing.ss"),
    Case("compact missing.ss", 4, "missing.ss"),
    Case("tune missing.ss", 4, "missing.ss"),
    Case("tune notes.ss --engines btree", 4, "There is no engine 'btree'"),
    Case("export missing.ss notes.jsonl", 4, "missing.ss"),
    Case("import missing.jsonl --into new.ss", 4, "missing.jsonl"),
    Case("index missing --into new.ss", 4, "missing"),
    Case("index folder --into new.ss --encoder word2vec", 4, "minilm, wordllama"),
    Case("demo cat --encoder word2vec", 4, "minilm, wordllama"),
    # What cannot be used
    Case("search notes.ss cat --recall nan", 3, "recall must be a number above 0 and at most 1, got nan"),
    Case("search notes.ss ''", 3, "blank"),
    Case("search notes.ss '   '", 3, "blank"),
    Case("demo ' '", 3, "not blank"),
    Case("search bare.ss cat", 3, "bare.ss has no encoder"),
    Case("index folder --into bare.ss", 3, "bare.ss has no encoder"),
    Case("index folder --into notes.ss --encoder minilm", 3, "the spaces differ in"),
    Case("index talks.csv --into new.ss --text body", 3, "talks.csv has no column 'body'"),
    Case("index talks.csv --into new.ss --text abstract --id isbn", 3, "talks.csv has no column 'isbn'"),
    Case("index torn.csv --into new.ss --text abstract", 3, "torn.csv, line 3"),
    Case("index blank.csv --into new.ss --text abstract", 3, "blank.csv, line 2: expected a text in 'abstract'"),
    Case("index torn.jsonl --into new.ss --text abstract", 3, "torn.jsonl, line 2 is not JSON"),
    Case("index picture.png --into new.ss", 1, "picture.png"),
    Case("info talks.csv", 3, "talks.csv is a file"),
    Case("index folder --into talks.csv", 3, "talks.csv is a file"),
    Case("export notes.ss notes.xlsx", 3, ".jsonl or .parquet"),
    Case("import talks.csv --into new.ss", 3, ".jsonl or .parquet"),
    Case("import plain.jsonl --into new.ss", 3, "plain.jsonl does not begin with samespace's header"),
    Case("import torn-export.jsonl --into new.ss", 3, "torn-export.jsonl"),
    Case("import strangers.jsonl --into notes.ss", 3, "the spaces differ in"),
    Case("import strangers.jsonl --into new.ss --encoder minilm", 3, "the spaces differ in"),
    Case("demo cat --into notes.ss", 3, "'samespace demo' did not make it"),
    # The disk
    Case("tune notes.ss --plot nowhere/curves.png", 5, "nowhere"),
    Case("export notes.ss nowhere/notes.jsonl", 5, "nowhere"),
    Case("search broken.ss cat", 5, "broken.ss"),
)


def prepare() -> None:
    """Make, in the current folder, what the cases name."""
    import numpy as np

    from samespace import Space, Vectors
    from samespace.interchange import export_collection
    from samespace.opening import open as open_collection

    with open_collection("notes.ss", "wordllama") as rows:
        rows.add(
            ["The cat sat on the mat.", "Der Hund lief."],
            ids=["a", "b"],
            metadata=[{"lang": "en"}, {"lang": "de"}],
        )
        export_collection(rows, "notes.jsonl")
    lines = Path("notes.jsonl").read_text().splitlines()
    Path("torn-export.jsonl").write_text("\n".join([*lines[:2], lines[2][:40]]))
    space = Space("strangers", 2)
    with open_collection("bare.ss", space=space) as rows:
        rows.add(["one"], ids=["one"], vectors=Vectors(np.array([[1.0, 0.0]], np.float32), space))
        export_collection(rows, "strangers.jsonl")
    Path("folder").mkdir()
    Path("folder/note.txt").write_text("A note in a folder.\n")
    Path("broken.ss").mkdir()
    Path("broken.ss/catalog.sqlite").write_bytes(b"this is no database" * 100)
    Path("broken.ss/vectors.f32").write_bytes(b"")
    Path("talks.csv").write_text("number,abstract\n1,On cats\n2,On dogs\n")
    Path("torn.csv").write_text("number,abstract\n1,On cats\n2\n")
    Path("blank.csv").write_text("number,abstract\n1,\n")
    Path("torn.jsonl").write_text('{"abstract": "On cats"}\n{"abstract": "On d\n')
    Path("plain.jsonl").write_text('{"abstract": "On cats"}\n')
    Path("picture.png").write_bytes(bytes(range(256)) * 8)


def answer(case: Case) -> tuple[int, str]:
    """Run a case in this process: its exit code and what it says on stderr, on one line."""
    from samespace.cli import main

    shutil.rmtree("new.ss", ignore_errors=True)
    out, err = io.StringIO(), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(shlex.split(case.shown))
    finally:
        sys.stdin = stdin
    return code, " ".join(err.getvalue().split())
