"""Makes the corpus that the benches search: real texts, each once, and their vectors, kept in a folder.

    python bench/corpus.py FOLDER                               sentences of the standard library's docstrings
    python bench/corpus.py FOLDER --wordnet /usr/share/wordnet  glosses (Debian: apt install wordnet-base)
    python bench/corpus.py FOLDER --text FILE                   any file with one text a line

The folder then holds ``documents.txt``, ``queries.txt`` (texts that are not among the documents), their
vectors as ``documents.npy`` and ``queries.npy``, and ``corpus.json``, which says what they were made of. What
is there already is not encoded again.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import re
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_SEED = 20_261_123
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])|\n\s*\n")
_FEWEST_WORDS = 4  # what is shorter is a heading or a signature


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts with their vectors.

    Attributes:
        texts: no text twice.
        vectors: float32 of shape (n, dimension), unit length.
        queries: real texts of the same source, none of them among ``texts``.
        query_vectors: of the queries, encoded as queries.
        label: source, encoder, space and counts.
    """

    texts: list[str]
    vectors: NDArray[np.float32]
    queries: list[str]
    query_vectors: NDArray[np.float32]
    label: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """Names by number: ``"row-0"``, ``"row-1"`` and so on."""
        return [f"row-{row}" for row in range(len(self.texts))]

    @property
    def metadata(self) -> list[dict[str, int]]:
        """One small mapping a row: its number, its words, and a random digit to filter a tenth by."""
        digits = np.random.default_rng(_SEED).integers(0, 10, len(self.texts)).tolist()
        return [
            {"number": number, "words": len(text.split()), "digit": digit}
            for number, (text, digit) in enumerate(zip(self.texts, digits, strict=True))
        ]


def load(folder: Path, rows: int | None = None, queries: int | None = None) -> Corpus:
    """Read a corpus that was made before, or its first rows. Needs numpy and nothing else."""
    label = json.loads((folder / "corpus.json").read_text())
    return Corpus(
        (folder / "documents.txt").read_text(encoding="utf-8").split("\n")[:rows],
        np.load(folder / "documents.npy")[:rows],
        (folder / "queries.txt").read_text(encoding="utf-8").split("\n")[:queries],
        np.load(folder / "queries.npy")[:queries],
        label,
    )


def glosses(folder: Path) -> Iterator[str]:
    """The definitions and examples of WordNet's synsets, from its ``data.*`` files."""
    files = sorted(folder.glob("data.*"))
    if not files:
        sys.exit(f"{folder} has no WordNet files (data.noun, data.verb, …).")
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("  "):  # the licence at the top
                yield line.split("|", 1)[1].strip()


def docstring_sentences() -> Iterator[str]:
    """Sentences of the docstrings of the standard library that runs this."""
    for file in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in file.parts or "test" in file.parts or "tests" in file.parts:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for sentence in _SENTENCE_END.split(ast.get_docstring(node) or ""):
                    yield " ".join(sentence.split())


def make(folder: Path, source: str, texts: Iterator[str], rows: int, queries: int, encoder_name: str) -> None:
    """Choose, encode and keep; nothing is done if the folder holds just this already."""
    distinct = sorted({text for text in texts if len(text.split()) >= _FEWEST_WORDS})
    random.Random(_SEED).shuffle(distinct)
    held_out, documents = distinct[:queries], distinct[queries : queries + rows]
    if len(documents) < rows:
        print(f"{source} has {len(documents):,} distinct texts besides the queries; the corpus is that.")

    from samespace.encoders import encoder

    model = encoder(encoder_name)
    label = {
        "source": source,
        "encoder": encoder_name,
        "space": model.space.to_dict(),
        "documents": len(documents),
        "queries": len(held_out),
        "sha256": hashlib.sha256("\n".join(held_out + documents).encode()).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "corpus.json"
    if record.exists() and json.loads(record.read_text()) == label:
        print(f"{folder} holds this corpus already.")
        return
    record.unlink(missing_ok=True)
    parts: tuple[tuple[str, Literal["query", "document"], list[str]], ...]
    parts = (("queries", "query", held_out), ("documents", "document", documents))
    for name, role, part in parts:
        (folder / f"{name}.txt").write_text("\n".join(part), encoding="utf-8")
        blocks, done, began = [], 0, time.perf_counter()
        for block in model.stream(part, role):
            blocks.append(block.comparable)
            done += len(block)
            rate = done / (time.perf_counter() - began)
            print(f"\r{name}: {done:,} of {len(part):,}, {rate:,.0f} a second", end="", file=sys.stderr)
        print(file=sys.stderr)
        np.save(folder / f"{name}.npy", np.concatenate(blocks))
    record.write_text(json.dumps(label, indent=2))


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, help="a file with one text a line")
    parser.add_argument("--wordnet", type=Path, help="the folder of WordNet's data files")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--encoder", default="minilm")
    arguments = parser.parse_args()
    if arguments.text:
        source, texts = arguments.text.name, iter(arguments.text.read_text(encoding="utf-8").splitlines())
    elif arguments.wordnet:
        source, texts = "WordNet glosses", glosses(arguments.wordnet)
    else:
        version = ".".join(map(str, sys.version_info[:3]))
        source, texts = f"docstring sentences of Python {version}", docstring_sentences()
    make(arguments.folder, source, texts, arguments.rows, arguments.queries, arguments.encoder)


if __name__ == "__main__":
    main()
