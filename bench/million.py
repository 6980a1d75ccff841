"""A million real vectors: adding, tuning, opening, searching, and adding a hundredth while searches go on.

    python bench/million.py CORPUS --work CACHE [--rows 1000000]

CORPUS is a folder that ``corpus.py`` made. The collection is made of all its rows but the last hundredth, tuned to .98
once, and kept in CACHE. Each figure comes from a process of its own, which opens it anew. What a search takes is
broken down by asking its parts by themselves, one inside the other: the library's kernel, the index that scores its
candidates exactly, the searcher, and the collection with the rows fetched; one thread on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import corpus
from machine import ONE_THREAD, MemoryWatch, describe, environment, keep, publish, resident, table
from truth import K, Rows, shares, tenth_scores

_RECALL = 0.98
_NEW = 100  # one row in so many is added later
_WATCHED = 60.0  # seconds of searching while a build runs


def build(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the collection and tune it; all cores."""
    from rows import add, opened

    rows = corpus.load(arguments.corpus, arguments.rows, 1)
    count = len(rows.texts) - len(rows.texts) // _NEW
    with opened(arguments.work / "million.ss", rows.vectors.shape[1]) as collection:
        with MemoryWatch() as adding:
            began = time.perf_counter()
            add(collection, rows.texts[:count], rows.vectors[:count])
            added = time.perf_counter() - began
        began = time.perf_counter()
        tuning = collection.tune(recall=_RECALL)
        tuned = time.perf_counter() - began
        return {
            "rows": count,
            "dimension": rows.vectors.shape[1],
            "add_seconds": added,
            "add_memory": adding.figures,
            "tune_seconds": tuned,
            "tuning": tuning.to_dict(),
        }


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Open the collection, and ask it one query after the other; one thread on one core."""
    from rows import ask, opened, settle

    queries = np.load(arguments.corpus / "queries.npy")
    before = resident()
    began = time.perf_counter()
    with opened(arguments.work / "million.ss", queries.shape[1], recall=_RECALL) as collection:
        opened_seconds = time.perf_counter() - began
        ask(collection, queries[:1])
        first_seconds = time.perf_counter() - began
        count = len(collection)
        settle(collection, queries[:1])
        ask(collection, queries)
        found, seconds = ask(collection, queries)
        after, info = resident(), collection.info()
        parts = breakdown(collection, queries)
    documents = np.load(arguments.corpus / "documents.npy", mmap_mode="r")[:count]
    return {
        "open_seconds": opened_seconds,
        "first_search_seconds": first_seconds,
        "engine": info.engine,
        "memory_index": info.memory_index,
        "resident": {name: after[name] - before[name] for name in after},
        "p50": float(np.percentile(seconds, 50)),
        "p99": float(np.percentile(seconds, 99)),
        "recall": float(shares(found, queries, documents, tenth_scores(queries, documents)).mean()),
        "parts": parts,
    }


def breakdown(collection: Any, queries: Rows) -> dict[str, float]:
    """Median seconds of the parts of a search, each of which holds the one before it (the last two the third)."""
    from samespace import Vectors

    searcher, view = collection._rows.searcher, collection._rows.rows.view()
    cover = searcher._upkeep.cover
    asked = [Vectors(queries[row : row + 1], collection.space, "query") for row in range(len(queries))]
    index, structure = cover.fast, cover.fast._state.structure
    effort = cover.tuning.curve.effort_for(_RECALL, K).effort
    depth = int(K * index.spare[0]) + index.spare[1]
    layout = index._state.layout
    rows = [layout.queries(query.comparable) for query in asked]
    steps: dict[str, Callable[[int], Any]] = {
        "kernel": lambda row: structure.search(rows[row], depth, max(depth, effort)),
        "index": lambda row: index.search(asked[row].comparable, K, None, effort),
        "searcher": lambda row: searcher.nearest(view, asked[row].comparable, K, None),
        "nearest": lambda row: collection.nearest(asked[row], K),
        "search": lambda row: collection.search(asked[row], K),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for row in range(len(queries)):
        # A step finds in the caches what the one before it has read, so each is asked a query of its own.
        for shift, (name, step) in enumerate(steps.items()):
            turn = (row + shift * len(queries) // len(steps)) % len(queries)
            began = time.perf_counter()
            step(turn)
            taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(each)) for name, each in taken.items()}


def change(arguments: argparse.Namespace) -> dict[str, Any]:
    """Add the last hundredth to a copy, search for it, and go on searching while it is built anew."""
    from rows import add, ask, numbers, opened, settle
    from samespace import Vectors

    kept, path = arguments.work / "million.ss", arguments.work / "million-change.ss"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(kept, path)
    rows = corpus.load(arguments.corpus, arguments.rows)
    count = len(rows.texts) - len(rows.texts) // _NEW
    collection = opened(path, rows.vectors.shape[1], recall=_RECALL)
    settle(collection, rows.query_vectors[:1])
    ask(collection, rows.query_vectors)
    idle = ask(collection, rows.query_vectors)[1]
    began = time.perf_counter()
    add(collection, rows.texts[count:], rows.vectors[count:], count)
    added = time.perf_counter() - began
    began = time.perf_counter()
    query = Vectors(rows.vectors[-1:], collection.space, "query")
    first = numbers(collection.search(query, 1))
    first_seconds = time.perf_counter() - began
    new = np.random.default_rng(7).choice(np.arange(count, len(rows.texts)), 200, replace=False)
    found, _ = ask(collection, rows.vectors[new])
    seen = sum(int(number) in hits for number, hits in zip(new, found, strict=True))
    after = ask(collection, rows.query_vectors)[1]
    built = threading.Thread(target=_tune, args=(collection,), daemon=True)
    built.start()
    time.sleep(1.0)
    during: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < _WATCHED and built.is_alive():
        during += ask(collection, rows.query_vectors[:200])[1]
    figures = {
        "idle": _percentiles(idle),
        "add_seconds": added,
        "new_rows": len(rows.texts) - count,
        "first_search_seconds": first_seconds,
        "first_found": first == [len(rows.texts) - 1],
        "found_of_200": seen,
        "after": _percentiles(after),
        "during": _percentiles(during),
        "during_searches": len(during),
        "build_still_ran": built.is_alive(),
    }
    collection.close()
    shutil.rmtree(path, ignore_errors=True)
    return figures


def _tune(collection: Any) -> None:
    from samespace.errors import SamespaceError

    try:
        collection.tune(recall=_RECALL)
    except SamespaceError as error:
        print(f"the build ended: {error}", file=sys.stderr)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {name: float(np.percentile(seconds, share)) for name, share in (("p50", 50), ("p99", 99))}


PHASES = {"build": build, "search": search, "change": change}


def lines(figures: dict[str, Any]) -> list[list[str]]:
    """The table's rows."""
    made, asked, changed = (figures[name] for name in PHASES)
    rows, parts = made["rows"], asked["parts"]
    before = {"index": "kernel", "searcher": "index", "search": "searcher", "nearest": "searcher"}
    words = {
        "kernel": "the library's kernel",
        "index": "candidates scored exactly",
        "searcher": "cover, plan, guard",
        "search": "view, rows with text and metadata, hits",
        "nearest": "instead of these: view, ids",
    }
    return [
        ["rows", f"{rows:,} x {made['dimension']}"],
        ["seconds to add them", f"{made['add_seconds']:.1f}"],
        [f"seconds to tune to {_RECALL:g}", f"{made['tune_seconds']:.0f}"],
        ["seconds to open the collection", f"{asked['open_seconds']:.3f}"],
        ["seconds to open it and search", f"{asked['first_search_seconds']:.2f}"],
        ["answered by", asked["engine"]],
        ["recall@10", f"{asked['recall']:.4f}"],
        ["milliseconds a search: median, p99", f"{asked['p50'] * 1e3:.3f}, {asked['p99'] * 1e3:.3f}"],
        ["bytes in memory a vector, indexes", f"{asked['memory_index'] / rows:,.0f}"],
        ["bytes resident a vector, mapped files left out", f"{asked['resident']['private'] / rows:,.0f}"],
        ["bytes resident a vector, mapped files counted", f"{asked['resident']['resident'] / rows:,.0f}"],
        *(
            [f"microseconds of it: {words[name]}", f"{(parts[name] - parts.get(before.get(name, ''), 0.0)) * 1e6:.1f}"]
            for name in words
        ),
        [f"seconds to add {changed['new_rows']:,} more", f"{changed['add_seconds']:.2f}"],
        ["milliseconds of the first search after that", f"{changed['first_search_seconds'] * 1e3:.2f}"],
        ["new rows found by their own vector, of 200", str(changed["found_of_200"])],
        ["milliseconds a search, idle: median, p99", _two(changed["idle"])],
        ["the same after adding", _two(changed["after"])],
        ["the same during a build in the background", _two(changed["during"])],
    ]


def _two(figures: dict[str, float]) -> str:
    return f"{figures['p50'] * 1e3:.3f}, {figures['p99'] * 1e3:.3f}"


def main() -> None:
    """Run the phases, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    parser.add_argument("--work", type=Path, required=True, help="the folder where the collection is kept")
    parser.add_argument("--keep-as", default="million", help="name of the result file; '' keeps none")
    parser.add_argument("--inside", choices=PHASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        if arguments.inside == "search" and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        figures = PHASES[arguments.inside](arguments)
        (arguments.work / f"million-{arguments.inside}.json").write_text(json.dumps(figures))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    figures = {}
    for phase in PHASES:
        record = arguments.work / f"million-{phase}.json"
        if phase != "build" or not record.exists():
            words = [sys.executable, __file__, str(arguments.corpus), "--work", str(arguments.work), "--inside", phase]
            words += ["--rows", str(arguments.rows)] if arguments.rows else []
            # While a build runs, searches have one thread and the build has the other cores.
            threads = {} if phase == "build" else ONE_THREAD
            subprocess.run(words, env=environment(**threads), check=True)
        figures[phase] = json.loads(record.read_text())
        print(f"{phase}: {json.dumps({k: v for k, v in figures[phase].items() if k != 'tuning'})}", file=sys.stderr)
    shown = table("million", ["what", "figure"], lines(figures))
    print(shown)
    if arguments.keep_as:
        publish([shown])
        print(f"\nKept in {keep(arguments.keep_as, {**describe(), **figures})}", file=sys.stderr)


if __name__ == "__main__":
    main()
