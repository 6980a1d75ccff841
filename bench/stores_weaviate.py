"""Weaviate: what samespace adds to a search through the official client, and how fast it loads, against that client.

    python bench/stores_weaviate.py [--rows 10000] [--searches 2000]

The engine is the wire-protocol server of the tests, in a process of its own: so these figures say what samespace costs
around the client's requests, and nothing of Weaviate's own speed. Searches are interleaved, one by the client and one
by samespace, on the same rows with their texts, k = 10. Loading is timed in turns too, into fresh collections:
``store.write`` in blocks of 4,096 rows, and the client's ``batch.fixed_size`` and ``insert_many``.
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
import weaviate
from weaviate.classes.data import DataObject
from weaviate.classes.query import MetadataQuery
from weaviate.util import generate_uuid5

from machine import describe, environment, keep, table
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import Block
from samespace.vectors import unit

DIMENSION = 384
BLOCK = 4_096
TURNS = 3
WORDS = "river house light garden winter letter market music stone harbour window bread".split()  # noqa: SIM905


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    arguments = parser.parse_args()
    tests = str(Path(__file__).parent.parent / "tests")
    child = subprocess.Popen(
        [sys.executable, "-m", "stores.weaviate.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=os.pathsep.join((tests, environment()["PYTHONPATH"]))),
    )
    try:
        assert child.stdout is not None
        port, grpc_port = map(int, child.stdout.readline().split())
        with weaviate.connect_to_local("127.0.0.1", port, grpc_port, skip_init_checks=True) as client:
            figures = measured(client, f"127.0.0.1:{port}", grpc_port, arguments.rows, arguments.searches)
    finally:
        child.communicate()
    kept = keep("stores-weaviate", {**describe(("weaviate-client", "grpcio", "protobuf", "numpy")), **figures})
    load, search = figures["load"], figures["search"]
    print(
        table(
            "stores-weaviate",
            ["", "client", "samespace", "samespace against client"],
            [
                ["search, median µs", *(f"{search[name]:,.0f}" for name in ("client", "samespace")), search["said"]],
                ["load, rows/s", *(f"{load[name]:,.0f}" for name in ("batch", "samespace")), load["said"]],
            ],
        )
    )
    print(kept)


def measured(client: Any, host: str, grpc_port: int, rows: int, searches: int) -> dict[str, Any]:
    """Load, then search."""
    chance = np.random.default_rng(0)
    vectors = unit(chance.standard_normal((rows, DIMENSION)).astype(np.float32))
    names = [f"row-{row:06d}" for row in range(rows)]
    texts = [" ".join(chance.choice(WORDS, 40)) for _ in range(rows)]
    metadata = [f'{{"year": {2000 + row % 25}, "lang": "en"}}' for row in range(rows)]
    whole = Block(names, list(texts), metadata, vectors, [(40, 40)] * rows)
    plain = [
        {"row_id": name, "content": text, "year": 2000 + row % 25, "lang": "en"}
        for row, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    space = Space("bench", DIMENSION)
    taken: dict[str, list[float]] = {"batch": [], "insert_many": [], "samespace": []}
    used: dict[str, list[float]] = {name: [] for name in taken}  # microseconds of this process's CPU a row
    for turn in range(TURNS):
        with closing(connect(f"weaviate://{host}/Ours{turn}?grpc={grpc_port}", space)) as store:
            theirs = [made(client, f"Theirs{turn}{kind}") for kind in ("Batch", "Many")]

            def ours(store: Any = store) -> None:
                for start in range(0, rows, BLOCK):
                    store.write(whole[start : start + BLOCK])

            def batch(notes: Any = theirs[0]) -> None:
                with notes.batch.fixed_size(batch_size=1_000, concurrent_requests=4) as loading:
                    for name, properties, vector in zip(names, plain, vectors.tolist(), strict=True):
                        loading.add_object(properties, uuid=generate_uuid5(name), vector={"default": vector})
                assert not notes.batch.failed_objects

            def many(notes: Any = theirs[1]) -> None:
                lists = vectors.tolist()
                for start in range(0, rows, 1_000):
                    part = range(start, min(start + 1_000, rows))
                    done = notes.data.insert_many(
                        [
                            DataObject(plain[at], uuid=generate_uuid5(names[at]), vector={"default": lists[at]})
                            for at in part
                        ]
                    )
                    assert not done.errors

            turns: list[tuple[str, Callable[[], None]]] = [
                ("batch", batch),
                ("insert_many", many),
                ("samespace", ours),
            ]
            for name, load in turns if turn % 2 else turns[::-1]:
                start, cpu = time.perf_counter(), time.process_time()
                load()
                taken[name].append(rows / (time.perf_counter() - start))
                used[name].append((time.process_time() - cpu) / rows * 1e6)
            print({name: round(each[-1]) for name, each in taken.items()}, file=sys.stderr)
            if turn == TURNS - 1:
                found = searched(store, theirs[1], chance, searches)
    load = {name: float(np.median(each)) for name, each in taken.items()}
    best = max(load["batch"], load["insert_many"])
    return {
        "rows": rows,
        "dimension": DIMENSION,
        "searches": searches,
        "server": "tests/stores/weaviate/server.py, in a process of its own",
        "search": found,
        "load": {**load, "turns": taken, "cpu_us_a_row": used, "said": f"× {load['samespace'] / best:.2f}"},
    }


def made(client: Any, name: str) -> Any:
    """A collection as another program makes it: typed properties, the same vectors."""
    text = {"dataType": ["text"], "tokenization": "field", "indexSearchable": False}
    properties = [
        {"name": "row_id", **text},
        {"name": "content", "dataType": ["text"], "tokenization": "word", "indexFilterable": False},
        {"name": "year", "dataType": ["int"]},
        {"name": "lang", **text},
    ]
    index = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": {"distance": "dot"}}
    return client.collections.create_from_dict(
        {"class": name, "properties": properties, "vectorConfig": {"default": index}}
    )


def searched(store: Any, notes: Any, chance: np.random.Generator, searches: int) -> dict[str, Any]:
    """The same queries by both, in turns."""
    queries = unit(chance.standard_normal((searches, DIMENSION)).astype(np.float32))
    taken: dict[str, list[float]] = {"client": [], "samespace": []}
    for number, query in enumerate(queries):

        def theirs(query: Any = query) -> list[str]:
            answer = notes.query.near_vector(
                query.tolist(), limit=10, return_metadata=MetadataQuery(distance=True), return_properties=PROPERTIES
            )
            return [one.properties["row_id"] for one in answer.objects]

        def ours(query: Any = query) -> list[str]:
            return [hit.id for hit in store.nearest(query[None], 10)[0]]

        turns = [("client", theirs), ("samespace", ours)]
        found = []
        for name, search in turns if number % 2 else turns[::-1]:
            start = time.perf_counter()
            found.append(search())
            taken[name].append(time.perf_counter() - start)
        assert found[0] == found[1]
    client, own = (float(np.median(taken[name])) * 1e6 for name in ("client", "samespace"))
    paired = float(np.median(np.array(taken["samespace"]) - np.array(taken["client"]))) * 1e6
    return {
        "client": client,
        "samespace": own,
        "overhead_us": paired,
        "said": f"{paired:+,.0f} µs, {paired / client:+.0%}",
    }


PROPERTIES = ["row_id", "content", "year", "lang"]


if __name__ == "__main__":
    main()
