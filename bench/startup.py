"""How soon samespace is there: the import, and a search from the command line as a whole process.

    python bench/startup.py [CORPUS]

``import samespace`` is timed against ``import numpy`` in processes of their own, taking turns. With CORPUS, a
folder that ``corpus.py`` made, its rows become a collection and ``samespace search`` is timed on it, model
and all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corpus
from machine import describe, environment, keep, publish, table

HEAVY = (
    "openvino",
    "tokenizers",
    "turbovec",
    "rich",
    "click",
    "pyarrow",
    "onnxruntime",
    "torch",
    "faiss",
    "wordllama",
)


def seconds(words: Sequence[str]) -> float:
    """Wall time of a process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment(), check=True, capture_output=True)
    return time.perf_counter() - began


def imports(times: int) -> dict[str, Any]:
    """Both imports in turns, and what ``import samespace`` has loaded."""
    found: dict[str, list[float]] = {"numpy": [], "samespace": []}
    for turn in range(times + 1):
        for name, taken in found.items():
            took = seconds(["-c", f"import {name}"])
            if turn:  # the first writes and reads caches
                taken.append(took)
    heavy = f"import sys, samespace; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", heavy], env=environment(), check=True, capture_output=True, text=True
    ).stdout.split()
    medians = {name: statistics.median(taken) for name, taken in found.items()}
    # The difference of each turn, and not of the medians: what slows one of a pair slows the other.
    beyond = statistics.median(ours - base for base, ours in zip(found["numpy"], found["samespace"], strict=True))
    return {"import": medians, "beyond_numpy": beyond, "heavy_modules_loaded": loaded}


def searches(folder: Path, work: Path, times: int) -> dict[str, Any]:
    """``samespace search`` on the corpus, from the start of the process to its end."""
    import samespace
    from samespace import Vectors

    rows = corpus.load(folder)
    path = work / "rows.ss"
    with samespace.open(path, rows.label["encoder"]) as collection:
        vectors = Vectors(rows.vectors, collection.space, "document")
        collection.add(rows.texts, ids=rows.ids, metadata=rows.metadata, vectors=vectors)
        collection.search(Vectors(rows.query_vectors[:1], collection.space, "query"))
    found: dict[str, list[float]] = {"vector": [], "hybrid": [], "text": []}
    for query in rows.queries[: times + 1]:
        for mode, taken in found.items():
            taken.append(seconds(["-m", "samespace", "search", str(path), query, "--mode", mode, "--json"]))
    return {
        "rows": len(rows.texts),
        "search": {mode: statistics.median(taken[1:]) for mode, taken in found.items()},
    }


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--imports", type=int, default=15, help="how many times")
    parser.add_argument("--searches", type=int, default=5, help="how many times")
    parser.add_argument("--work", type=Path, help="a folder for the collection; by default the system's own")
    parser.add_argument("--keep-as", default="startup", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    figures = imports(arguments.imports)
    lines = [[f"import {name}", f"{taken * 1e3:.0f}"] for name, taken in figures["import"].items()]
    lines.append(["import samespace, beyond numpy", f"{figures['beyond_numpy'] * 1e3:.0f}"])
    if arguments.corpus:
        with tempfile.TemporaryDirectory(dir=arguments.work) as work:
            figures |= searches(arguments.corpus.resolve(), Path(work), arguments.searches)
        for mode, taken in figures["search"].items():
            lines.append([f"samespace search --mode {mode}, {figures['rows']:,} rows", f"{taken * 1e3:.0f}"])
    shown = table("startup", ["process", "ms"], lines)
    print(shown)
    loaded = figures["heavy_modules_loaded"]
    print(f"\nHeavy modules that import samespace loads: {', '.join(loaded) or 'none'}.", file=sys.stderr)
    if arguments.keep_as:
        publish([shown])
        print(f"Kept in {keep(arguments.keep_as, {**describe(), **figures})}", file=sys.stderr)
    if loaded:
        sys.exit(json.dumps(loaded))


if __name__ == "__main__":
    main()
