"""Pinecone: what samespace adds to a search through the official SDK, and how fast it loads, against that SDK.

    python bench/stores_pinecone.py [--rows 10000] [--searches 2000]

The engine is the wire-protocol server of the tests, in a process of its own: so these figures say what samespace costs
around the SDK's requests, and nothing of Pinecone's own speed. Searches are interleaved, one by the SDK and one by
samespace, on the same rows with their texts, k = 10. Loading is timed in turns too, into fresh namespaces:
``store.write`` in blocks of 4,096 rows, and ``Index.upsert`` with ``batch_size`` and its eight threads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, environment, keep, table
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import Block
from samespace.vectors import unit

DIMENSION = 384
BLOCK = 4_096
BATCH = 200  # rows of 384 numbers that 2 MB of JSON surely hold, as samespace reckons them
TURNS = 3
KEY = "pcsk_bench"
SERVE = f"""
import sys
from stores.pinecone.server import serving
with serving({KEY!r}) as server:
    server.add("bench", {DIMENSION})
    print(server.url, flush=True)
    sys.stdin.read()
"""


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    arguments = parser.parse_args()
    os.environ["PINECONE_API_KEY"] = KEY
    tests = str(Path(__file__).parent.parent / "tests")
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=os.pathsep.join((tests, environment()["PYTHONPATH"]))),
    )
    try:
        assert child.stdout is not None
        figures = measured(child.stdout.readline().strip(), arguments.rows, arguments.searches)
    finally:
        child.communicate()
    kept = keep("stores-pinecone", {**describe(("pinecone", "numpy")), **figures})
    load, search = figures["load"], figures["search"]
    print(
        table(
            "stores-pinecone",
            ["", "SDK", "samespace", "samespace against SDK"],
            [
                ["search, median µs", *(f"{search[name]:,.0f}" for name in ("sdk", "samespace")), search["said"]],
                ["load, rows/s", *(f"{load[name]:,.0f}" for name in ("sdk", "samespace")), load["said"]],
            ],
        )
    )
    print(kept)


def measured(url: str, rows: int, searches: int) -> dict[str, Any]:
    """Load, then search."""
    chance = np.random.default_rng(0)
    vectors = unit(chance.standard_normal((rows, DIMENSION)).astype(np.float32))
    names = [f"row-{row:06d}" for row in range(rows)]
    texts = [" ".join(chance.choice(WORDS, 40)) for _ in range(rows)]
    metadata = [f'{{"year": {2000 + row % 25}, "lang": "en"}}' for row in range(rows)]
    whole = Block(names, list(texts), metadata, vectors, [(40, 40)] * rows)
    space = Space("bench", DIMENSION)
    taken: dict[str, list[float]] = {"sdk": [], "samespace": []}
    for turn in range(TURNS):
        with closing(connect(f"pinecone://bench?namespace=ours-{turn}&host={url}", space)) as store:
            index = store._place.index

            def ours(store: Any = store) -> None:
                for start in range(0, rows, BLOCK):
                    store.write(whole[start : start + BLOCK])

            def theirs(index: Any = index, turn: int = turn) -> None:
                records = [
                    (name, vector, {"text": text, "year": 2000 + row % 25, "lang": "en"})
                    for row, (name, vector, text) in enumerate(zip(names, vectors.tolist(), texts, strict=True))
                ]
                done = index.upsert(vectors=records, namespace=f"theirs-{turn}", batch_size=BATCH, show_progress=False)
                assert done.upserted_count == rows

            turns: list[tuple[str, Callable[[], None]]] = [("sdk", theirs), ("samespace", ours)]
            for name, load in turns if turn % 2 else turns[::-1]:
                start = time.perf_counter()
                load()
                taken[name].append(rows / (time.perf_counter() - start))
            print({name: round(each[-1]) for name, each in taken.items()}, file=sys.stderr)
            if turn == TURNS - 1:
                found = searched(store, index, f"theirs-{turn}", chance, searches)
    load = {name: float(np.median(each)) for name, each in taken.items()}
    return {
        "rows": rows,
        "dimension": DIMENSION,
        "searches": searches,
        "server": "tests/stores/pinecone/server.py, in a process of its own",
        "search": found,
        "load": {**load, "turns": taken, "said": f"× {load['samespace'] / load['sdk']:.2f}"},
    }


def searched(store: Any, index: Any, namespace: str, chance: np.random.Generator, searches: int) -> dict[str, Any]:
    """The same queries by both, in turns."""
    queries = unit(chance.standard_normal((searches, DIMENSION)).astype(np.float32))
    taken: dict[str, list[float]] = {"sdk": [], "samespace": []}
    for number, query in enumerate(queries):

        def theirs(query: Any = query) -> list[str]:
            answer = index.query(vector=query.tolist(), top_k=10, namespace=namespace, include_metadata=True)
            return [match.id for match in answer.matches]

        def ours(query: Any = query) -> list[str]:
            return [hit.id for hit in store.nearest(query[None], 10)[0]]

        turns = [("sdk", theirs), ("samespace", ours)]
        found = []
        for name, search in turns if number % 2 else turns[::-1]:
            start = time.perf_counter()
            found.append(search())
            taken[name].append(time.perf_counter() - start)
        assert found[0] == found[1]
    sdk, own = (float(np.median(taken[name])) * 1e6 for name in ("sdk", "samespace"))
    paired = float(np.median(np.array(taken["samespace"]) - np.array(taken["sdk"]))) * 1e6
    return {"sdk": sdk, "samespace": own, "overhead_us": paired, "said": f"+{paired:,.0f} µs, {paired / sdk:+.0%}"}


WORDS = (
    "river",
    "house",
    "light",
    "garden",
    "winter",
    "letter",
    "market",
    "music",
    "stone",
    "harbour",
    "window",
    "bread",
)


if __name__ == "__main__":
    main()
