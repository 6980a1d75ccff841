"""A collection moved from a folder to PostgreSQL, to Qdrant, and back into a folder, killed on two of the ways.

    python bench/moving.py CORPUS [--rows 100000] [--qdrant qdrant-local]

CORPUS is a folder that ``corpus.py`` made. PostgreSQL is the server that the tests start; DATABASE_URL names another.
The two copies to engines are killed by SIGKILL after eight writes, and begun again. *bare* is the engine's own way
with the same rows in the same run: one binary COPY of ready-made bytes into an identical table, and points in
thousands into a shard of Qdrant Edge, or ``upload_collection`` of the client's local mode.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

import corpus
import stores_qdrant
from machine import describe, environment, keep, table
from samespace.keeping.copy import copy_collection
from samespace.opening import stand
from samespace.space import Space
from samespace.stores.base import Block, seals
from samespace.stores.postgres import bulk

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from stores.postgres.server import fresh, start

_WORKER = """
import sys
from samespace.keeping.copy import copy_collection
copy_collection(sys.argv[1], sys.argv[2], progress=lambda what, rows: print(what, rows, flush=True))
"""


def killed(source: str, target: str, after: int) -> int:
    """Begin to copy in another process, and kill it after so many writes; the rows that were told to be written."""
    command = [sys.executable, "-c", _WORKER, source, target]
    written = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        for _ in range(after):
            written += int(process.stdout.readline().split()[1])
        os.kill(process.pid, signal.SIGKILL)
    return written


def contents(place: str) -> tuple[int, str]:
    """Rows, and a digest of all of it in order of the ids."""
    rows = stand(place)
    digests = []
    for block, _ in rows.store.scan():
        for n, name in enumerate(block.ids):
            fields = json.dumps(json.loads(block.metadata[n]), sort_keys=True)
            whole = (name, block.contents[n], fields, block.tokens[n])
            digests.append(hashlib.sha256(repr(whole).encode() + block.vectors[n].tobytes()).hexdigest())
    rows.close()
    return len(digests), hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def copied(url: str, place: str, whole: Block) -> float:
    """Rows a second of a bare COPY into a table like the collection's."""
    name = place.rpartition("collection=")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        (relation,) = connection.execute(
            "SELECT relation FROM samespace.collections WHERE name = %s", (name,)
        ).fetchone()
        connection.execute(f'CREATE TABLE bare (LIKE samespace."{relation}" INCLUDING ALL)')
        pieces = list(bulk.as_copy(whole))
        connection.execute("CHECKPOINT")
        began = time.perf_counter()
        with connection.cursor().copy(f"COPY bare ({bulk.COPIED}) FROM STDIN (FORMAT binary)") as copy:
            for piece in pieces:
                copy.write(piece)
        seconds = time.perf_counter() - began
        connection.execute("DROP TABLE bare")
    return len(whole) / seconds


def uploaded(kind: str, folder: str, whole: Block) -> float:
    """Rows a second of Qdrant by hand."""
    if kind == "qdrant-edge":
        return len(whole) / stores_qdrant.upsert(Path(folder) / "bare", whole)
    from qdrant_client import QdrantClient

    client = QdrantClient(path=f"{folder}/bare")
    seconds = stores_qdrant.upload(client, whole)
    client.close()
    return len(whole) / seconds


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--qdrant", choices=("qdrant-edge", "qdrant-local"), default="qdrant-local")
    arguments = parser.parse_args()
    data = corpus.load(arguments.corpus, arguments.rows, 10)
    space = Space("sentence-transformers/all-MiniLM-L6-v2", data.vectors.shape[1])
    with tempfile.TemporaryDirectory() as folder, start(durable=True) as database:
        first, last = f"{folder}/first.ss", f"{folder}/last.ss"
        postgres = fresh(database)
        option = "?collection=notes" if arguments.qdrant == "qdrant-local" else ""
        qdrant = f"{arguments.qdrant}:{folder}/qdrant{option}"
        count = len(data.texts)
        whole = Block(
            [str(n) for n in range(count)],
            list(data.texts),
            [json.dumps(fields) for fields in data.metadata],
            data.vectors,
            [(None, None)] * count,
        )
        rows = stand(first, space)
        rows.store.write(whole)
        rows.close()
        wanted = contents(first)
        ways: list[dict[str, Any]] = []
        plan = (
            ("folder to PostgreSQL", first, postgres, 8),
            (f"PostgreSQL to {arguments.qdrant}", postgres, qdrant, 8),
            (f"{arguments.qdrant} to folder", qdrant, last, 0),
        )
        for way, source, target, kill in plan:
            before = killed(source, target, kill) if kill else 0
            began = time.perf_counter()
            report = copy_collection(source, target, timeout=120)
            verified = time.perf_counter() - began
            assert contents(target) == wanted, target
            ways.append(
                {
                    "way": way,
                    "killed_after": before,
                    "copied": report.copied,
                    "rows_per_second": report.copied / report.seconds,
                    "seconds_with_verification": verified,
                    "agreement": report.agreement,
                }
            )
        ways[0]["bare"] = copied(database, postgres, replace(whole, seals=seals(space, whole)))
        ways[1]["bare"] = uploaded(arguments.qdrant, folder, whole)
        one, other = stand(first), stand(last)
        same = all(
            np.array_equal(a.vectors, b.vectors) and a.ids == b.ids
            for (a, _), (b, _) in zip(one.store.scan(), other.store.scan(), strict=True)
        )
        one.close()
        other.close()
        assert same
    name = "moving" if arguments.qdrant == "qdrant-local" else "moving-edge"
    kept = keep(
        name,
        {
            **describe(("psycopg", "qdrant-client", "qdrant-edge-py", "numpy")),
            "rows": len(data.texts),
            "ways": ways,
            "same": same,
        },
    )
    print(
        table(
            name,
            [
                "way",
                "killed after rows",
                "then copied",
                "rows/s",
                "bare, rows/s",
                "share",
                "seconds, verified",
                "searches agree",
            ],
            [
                [
                    way["way"],
                    f"{way['killed_after']:,}",
                    f"{way['copied']:,}",
                    f"{way['rows_per_second']:,.0f}",
                    f"{way['bare']:,.0f}" if "bare" in way else "",
                    f"{way['rows_per_second'] / way['bare']:.2f}" if "bare" in way else "",
                    f"{way['seconds_with_verification']:.0f}",
                    f"{way['agreement']:.3f}",
                ]
                for way in ways
            ],
        )
    )
    print(kept)


if __name__ == "__main__":
    main()
