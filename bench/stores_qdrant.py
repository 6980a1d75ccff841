"""What samespace costs over the bare Qdrant: a search, and loading rows in bulk.

    python bench/stores_qdrant.py [--load ROWS] [--work FOLDER]

The engines are the client's own local mode and Qdrant Edge; with QDRANT_URL set, the server there too. A search is
timed in rounds that take turns: the bare client, the store, and a collection that is opened by its URL. Loading is
timed twice in turns, each into a collection of its own: ``upload_collection`` (Edge: upserts of 1,000 points) against
``Store.write`` in blocks of 4,096 rows. A folder in memory shows more of what we cost: the disk costs both the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import QdrantClient, models

import samespace
from machine import describe, keep, one_thread, table
from samespace import Space, Vectors
from samespace.stores import connect
from samespace.stores.base import Block, Store
from samespace.vectors import unit

DIMENSION, K, BLOCK = 384, 10, 4_096
SPACE = Space("the bench", DIMENSION)


def rows(count: int) -> Block:
    """Rows with a text of some 200 characters and three fields."""
    noise = np.random.default_rng(0)
    vectors = unit(noise.standard_normal((count, DIMENSION)).astype(np.float32))
    texts = [f"row {row}: " + "a text as there are many of, " * 6 for row in range(count)]
    fields = [json.dumps({"year": 1990 + row % 35, "lang": "en", "page": row / 8}) for row in range(count)]
    return Block([f"row-{row}" for row in range(count)], texts, fields, vectors, [(9, 9)] * count)


def payload(block: Block, row: int) -> dict[str, Any]:
    """The same by hand."""
    return {"id": block.ids[row], "content": block.contents[row], "metadata": json.loads(block.metadata[row])}


def write(store: Store, block: Block) -> None:
    for start in range(0, len(block), BLOCK):
        store.write(block[start : start + BLOCK])


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def searching(asked: dict[str, Callable[[Any], Any]], queries: Any, rounds: int) -> dict[str, float]:
    """Seconds a search, the median of all; the ways take turns, so that what slows one slows the others."""
    found: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(rounds + 1):
        for row, query in enumerate(queries):
            for name in np.roll(list(asked), row):
                seconds = timed(lambda ask=asked[name], query=query: ask(query))
                if turn:  # the first fills caches
                    found[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def by_client(url: str, client: Callable[[Store], QdrantClient], block: Block, queries: Any, rounds: int) -> Any:
    """The ways to search one collection of a client."""
    store = connect(url, SPACE)
    write(store, block)
    bare, name = client(store), store.engine.name  # type: ignore[attr-defined]
    with samespace.open(url, space=SPACE) as collection:
        found = searching(
            {
                "bare": lambda query: bare.query_points(name, query, using="embedding", limit=K, with_payload=True),
                "store": lambda query: store.nearest(query[None], K),
                "collection": lambda query: collection.search(Vectors(query[None], SPACE, "query"), K),
            },
            queries,
            rounds,
        )
    store.drop()
    return found


def by_edge(url: str, block: Block, queries: Any, rounds: int) -> Any:
    """The ways to search one shard."""
    store = connect(url, SPACE)
    write(store, block)
    shard = store.engine._shared.shard  # type: ignore[attr-defined]

    def bare(query: Any) -> Any:
        asked = edge.Query.Nearest(query.tolist(), "embedding")
        return [
            (point.score, point.payload) for point in shard.query(edge.QueryRequest(K, query=asked, with_payload=True))
        ]

    with samespace.open(url, space=SPACE) as collection:
        found = searching(
            {
                "bare": bare,
                "store": lambda query: store.nearest(query[None], K),
                "collection": lambda query: collection.search(Vectors(query[None], SPACE, "query"), K),
            },
            queries,
            rounds,
        )
    store.drop()
    return found


def points(block: Block) -> Iterator[tuple[str, dict[str, list[float]], dict[str, Any]]]:
    for row, vector in enumerate(block.vectors):
        yield str(uuid.uuid5(uuid.NAMESPACE_URL, block.ids[row])), {"embedding": vector.tolist()}, payload(block, row)


def upload(client: QdrantClient, block: Block) -> float:
    """Seconds of the client's own bulk loader."""
    name = f"bare-{uuid.uuid4()}"
    client.create_collection(name, {"embedding": models.VectorParams(size=DIMENSION, distance=models.Distance.DOT)})

    def act() -> None:
        ids, vectors, payloads = zip(*points(block), strict=True)
        client.upload_collection(name, vectors, payloads, ids, wait=True)

    seconds = timed(act)
    client.delete_collection(name)
    return seconds


def upsert(folder: Path, block: Block) -> float:
    """Seconds of Edge by hand, which has no loader of its own."""
    folder.mkdir()
    params = edge.EdgeVectorParams(DIMENSION, edge.Distance.Dot)
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={"embedding": params}))

    def act() -> None:
        for start in range(0, len(block), 1_000):
            made = [edge.Point(*point) for point in points(block[start : start + 1_000])]
            shard.update(edge.UpdateOperation.upsert_points(made))
            shard.flush()

    seconds = timed(act)
    shard.close()
    return seconds


def loading(url: str, bare: Callable[[], float], block: Block) -> dict[str, float]:
    """Rows a second, the bare engine and ours, the better of two turns each."""
    theirs, ours = [], []
    for _ in range(2):
        theirs.append(bare())
        store = connect(url, SPACE)
        ours.append(timed(lambda store=store: write(store, block)))
        store.drop()
    return {"bare": len(block) / min(theirs), "store": len(block) / min(ours), "rows": len(block)}


def main() -> None:
    """Measure, print the tables, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="to search")
    parser.add_argument("--load", type=int, default=100_000, help="rows to load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="a folder for the collections; by default the system's own")
    parser.add_argument("--keep-as", default="stores-qdrant", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Local mode is not recommended", UserWarning)
    searched, loaded = rows(arguments.rows), rows(arguments.load)
    queries = unit(np.random.default_rng(1).standard_normal((40, DIMENSION)).astype(np.float32))
    figures: dict[str, Any] = {"search": {}, "load": {}}
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        folder = Path(work)
        local = f"qdrant-local:{folder / 'local'}?collection="
        shard = f"qdrant-edge:{folder / 'edge'}"
        figures["search"]["qdrant-edge"] = by_edge(shard, searched, queries, arguments.rounds)
        figures["load"]["qdrant-edge"] = loading(shard, lambda: upsert(folder / f"bare-{uuid.uuid4()}", loaded), loaded)
        ways: Any = {"qdrant-local": (local, lambda store: store.engine._client)}
        if "QDRANT_URL" in os.environ:
            ways["qdrant"] = (f"{os.environ['QDRANT_URL'].rstrip('/')}/bench-", ways["qdrant-local"][1])
        for name, (url, client) in ways.items():
            figures["search"][name] = by_client(f"{url}search", client, searched, queries, arguments.rounds)
            anchor = connect(f"{url}anchor", SPACE)  # whose client loads the bare collection

            def bare(anchor: Store = anchor, client: Any = client) -> float:
                return upload(client(anchor), loaded)

            figures["load"][name] = loading(f"{url}load", bare, loaded)
            anchor.drop()
    lines = [
        [
            name,
            way,
            f"{seconds * 1e6:,.0f}",
            f"{(seconds - found['bare']) * 1e6:+,.0f}",
            f"{seconds / found['bare']:.3f}",
        ]
        for name, found in figures["search"].items()
        for way, seconds in found.items()
    ]
    print(table("stores-qdrant-search", ["engine", "way", "µs", "over the bare client", "ratio"], lines))
    lines = [
        [
            name,
            f"{found['rows']:,}",
            f"{found['bare']:,.0f}",
            f"{found['store']:,.0f}",
            f"{found['store'] / found['bare']:.2f}",
        ]
        for name, found in figures["load"].items()
    ]
    print(table("stores-qdrant-load", ["engine", "rows", "bare rows/s", "rows/s", "ratio"], lines))
    if arguments.keep_as:
        packages = ("numpy", "qdrant-client", "qdrant-edge-py")
        print(f"Kept in {keep(arguments.keep_as, {**describe(packages), **figures})}", file=sys.stderr)


if __name__ == "__main__":
    one_thread()
    main()
