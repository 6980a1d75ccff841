"""A million vectors from an iterator: the memory, time and disk that it takes to add and to search them.

    python bench/memory.py [--rows 1000000] [--dimension 384]

Vectors, texts and metadata are generated block by block while they are added, so that nothing is held but
what samespace holds. The vectors are clustered, and texts have a vocabulary in Zipf's proportions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from machine import MemoryWatch, describe, environment, keep, publish, table

_BLOCK = 8_192
_CLUSTERS = 1_000
_WORDS = 30_000
_WORDS_A_TEXT = 12
_SEARCHES = 200
_MIB = 2**20


class Source:
    """Clustered unit vectors and texts, the same every time; counts the seconds that making them took."""

    def __init__(self, rows: int, dimension: int) -> None:
        self.rows, self.dimension, self.seconds = rows, dimension, 0.0
        self._centres = np.random.default_rng(1).standard_normal((_CLUSTERS, dimension), np.float32)

    def vectors(self) -> Iterator[np.ndarray]:
        """Blocks of float32 of shape (up to 8,192, dimension)."""
        chance = np.random.default_rng(2)
        for start in range(0, self.rows, _BLOCK):
            began = time.perf_counter()
            count = min(_BLOCK, self.rows - start)
            block = self._centres[chance.integers(0, _CLUSTERS, count)]
            block += chance.standard_normal((count, self.dimension), np.float32) * np.float32(0.8)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            self.seconds += time.perf_counter() - began
            yield block

    def texts(self) -> Iterator[str]:
        """Twelve words each."""
        chance = np.random.default_rng(3)
        words = np.array([f"word{number}" for number in range(_WORDS)])
        share = 1.0 / np.arange(1, _WORDS + 1)
        share /= share.sum()
        for start in range(0, self.rows, _BLOCK):
            began = time.perf_counter()
            count = min(_BLOCK, self.rows - start)
            block = [" ".join(row) for row in words[chance.choice(_WORDS, (count, _WORDS_A_TEXT), p=share)]]
            self.seconds += time.perf_counter() - began
            yield from block


def measure(rows: int, dimension: int, folder: Path) -> dict[str, Any]:
    """Add, search, and say what it took. To be run in a process of its own."""
    import samespace
    from samespace import Space, Vectors

    space = Space("clusters", dimension, normalized=True)
    source = Source(rows, dimension)
    queries = Vectors(next(Source(_SEARCHES, dimension).vectors()), space, "query")
    source.seconds = 0.0
    stored: list[tuple[float, dict[str, int]]] = []
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done == rows:  # what follows is the index
            stored.append((time.perf_counter(), adding.so_far()))

    with samespace.open(folder / "rows.ss", space=space) as collection:
        with MemoryWatch() as adding:
            began = time.perf_counter()
            collection.add(
                source.texts(),
                ids=(f"row-{number}" for number in range(rows)),
                metadata=({"number": number, "digit": number % 10} for number in range(rows)),
                vectors=(Vectors(block, space, "document") for block in source.vectors()),
                progress=progress,
            )
            add_seconds = time.perf_counter() - began
        store_seconds, store_memory = stored[0][0] - began, stored[0][1]
        with MemoryWatch() as searching:
            began = time.perf_counter()
            collection.search(queries[:1], 10)
            first_seconds = time.perf_counter() - began
            began = time.perf_counter()
            for row in range(_SEARCHES):
                collection.search(queries[row : row + 1], 10)
            search_seconds = (time.perf_counter() - began) / _SEARCHES
    began = time.perf_counter()
    with samespace.open(folder / "rows.ss", space=space) as collection:
        collection.search(queries[:1], 10)
        reopened_seconds = time.perf_counter() - began
        info = collection.info()
    return {
        "rows": rows,
        "dimension": dimension,
        "add_seconds": add_seconds,
        "store_seconds": store_seconds,
        "generate_seconds": source.seconds,
        "first_search_seconds": first_seconds,
        "search_seconds": search_seconds,
        "reopened_search_seconds": reopened_seconds,
        "store_memory": store_memory,
        "add_memory": adding.figures,
        "search_memory": searching.figures,
        "disk_vectors": info.bytes_vectors,
        "disk_catalog": info.bytes_catalog,
        "disk_index": info.bytes_index,
        "memory_index": info.memory_index,
        "engine": info.engine,
    }


def lines(figures: dict[str, Any]) -> list[list[str]]:
    """The table's rows."""
    rows = figures["rows"]
    vector = figures["dimension"] * 4
    storing, adding, searching = (figures[f"{name}_memory"] for name in ("store", "add", "search"))
    own = figures["store_seconds"] - figures["generate_seconds"]
    index = figures["add_seconds"] - figures["store_seconds"]
    return [
        ["rows added from an iterator", f"{rows:,} x {figures['dimension']}"],
        ["seconds until all are durable, generating them left out", f"{own:.1f} ({rows / own:,.0f} rows/s)"],
        ["memory that it takes at its peak", f"{storing['private'] / _MIB:,.0f} MiB"],
        ["the same with pages of mapped files", f"{storing['resident'] / _MIB:,.0f} MiB"],
        ["seconds to make and keep the index after that", f"{index:.1f}"],
        ["memory at its peak, with that", f"{adding['private'] / _MIB:,.0f} MiB"],
        ["the same with pages of mapped files", f"{adding['resident'] / _MIB:,.0f} MiB"],
        ["seconds to the first search", f"{figures['first_search_seconds']:.3f}"],
        ["memory that searching adds", f"{searching['private'] / _MIB:,.0f} MiB"],
        ["bytes in memory a vector, index", f"{figures['memory_index'] / rows:,.0f}"],
        ["bytes on disk a vector, vectors", f"{figures['disk_vectors'] / rows:,.0f} (float32: {vector:,})"],
        ["bytes on disk a vector, catalogue with full text", f"{figures['disk_catalog'] / rows:,.0f}"],
        ["bytes on disk a vector, index", f"{figures['disk_index'] / rows:,.0f}"],
        [
            "seconds to open it again and search",
            f"{figures['reopened_search_seconds']:.2f}",
        ],
        ["milliseconds a search, all cores", f"{figures['search_seconds'] * 1e3:.2f}"],
    ]


def main() -> None:
    """Measure in a new process, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--work", type=Path, help="a folder for the collection; by default the system's own")
    parser.add_argument("--keep-as", default="memory", help="name of the result file; '' keeps none")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        figures = measure(arguments.rows, arguments.dimension, arguments.inside)
        (arguments.inside / "figures.json").write_text(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        words = [sys.executable, __file__, "--inside", work]
        words += ["--rows", str(arguments.rows), "--dimension", str(arguments.dimension)]
        subprocess.run(words, env=environment(), check=True)
        figures = json.loads(Path(work, "figures.json").read_text())
    shown = table("memory", ["what", "figure"], lines(figures))
    print(shown)
    if arguments.keep_as:
        publish([shown])
        print(f"\nKept in {keep(arguments.keep_as, {**describe(), **figures})}", file=sys.stderr)


if __name__ == "__main__":
    main()
