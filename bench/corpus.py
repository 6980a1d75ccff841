"""Makes the corpus that the benches search: real texts, each once, and their vectors, kept in a folder.

    python bench/corpus.py FOLDER                               sentences of the standard library's docstrings
    python bench/corpus.py FOLDER --wordnet /usr/share/wordnet  glosses (Debian: apt install wordnet-base)
    python bench/corpus.py FOLDER --text FILE                   any file with one text a line (texts.py makes some)

The folder then holds ``documents.txt``, ``queries.txt`` (texts that are not among the documents), their
vectors as ``documents.npy`` and ``queries.npy``, and ``corpus.json``, which says what they were made of. With
``--other`` there are queries of another kind than the documents too, ``others.txt`` and ``others.npy``, twice as
many, so that one half can be the past of the other. What is there already is not encoded again.
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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        np.array(np.load(folder / "documents.npy", mmap_mode="r")[:rows]),
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


def make(
    folder: Path, source: str, texts: Iterable[str], rows: int, queries: int, encoder_name: str, other: Path | None
) -> None:
    """Choose texts and encode them."""
    distinct = sorted({text for text in texts if len(text.split()) >= _FEWEST_WORDS})
    random.Random(_SEED).shuffle(distinct)
    parts = {"queries": distinct[:queries]}
    if other:
        strangers = other.read_text(encoding="utf-8").splitlines()
        random.Random(_SEED).shuffle(strangers)
        parts["others"] = strangers[: 2 * queries]
        source = f"{source}, others {other.name}"
    parts["documents"] = distinct[queries : queries + rows]
    if len(parts["documents"]) < rows:
        print(f"{source} has {len(parts['documents']):,} distinct texts besides the queries; the corpus is that.")

    from samespace.encoders import encoder

    model = encoder(encoder_name)

    def encode(name: str, part: list[str], out: NDArray[np.float32]) -> None:
        done, began = 0, time.perf_counter()
        for block in model.stream(part, "document" if name == "documents" else "query"):
            out[done : done + len(block)] = block.comparable
            done += len(block)
            rate = done / (time.perf_counter() - began)
            print(f"\r{name}: {done:,} of {len(part):,}, {rate:,.0f} a second", end="", file=sys.stderr)
        print(file=sys.stderr)

    draw_up(folder, {"source": source, "encoder": encoder_name, "space": model.space.to_dict()}, parts, encode)


def draw_up(
    folder: Path,
    label: dict[str, Any],
    parts: dict[str, list[str]],
    encode: Callable[[str, list[str], NDArray[np.float32]], None],
) -> None:
    """Write the files of a corpus; a part that the folder holds already is not made again.

    Args:
        folder: made if it is not there.
        label: has the ``source``, the ``encoder`` and the ``space``; counts and checksums are added.
        parts: texts by the name of their files.
        encode: given a part's name and texts, fills an array of shape (n, dimension) with unit vectors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "corpus.json"
    old = json.loads(record.read_text()) if record.exists() else {}
    made = old.get("made", {}) if old.get("encoder") == label["encoder"] else {}
    for name, texts in parts.items():
        content = "\n".join(texts).encode()
        facts = {"rows": len(texts), "sha256": hashlib.sha256(content).hexdigest()}
        if made.get(name) == facts:
            print(f"{folder} holds these {name} already.")
            continue
        (folder / f"{name}.txt").write_bytes(content)
        shape = (len(texts), label["space"]["dimension"])
        out = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
        encode(name, texts, out)
        out.flush()
        made[name] = facts
        record.write_text(json.dumps({**label, "made": made}, indent=2))


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, help="a file with one text a line")
    parser.add_argument("--wordnet", type=Path, help="the folder of WordNet's data files")
    parser.add_argument("--other", type=Path, help="a file of texts of another kind, for queries")
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
    make(arguments.folder, source, texts, arguments.rows, arguments.queries, arguments.encoder, arguments.other)


if __name__ == "__main__":
    main()
