"""A collection of a corpus's rows, for the benches that look at samespace alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import samespace
from samespace import Collection, Space, Vectors
from samespace.indexes import ENGINES
from truth import K, Rows


def opened(path: Path, dimension: int, **options: Any) -> Collection:
    """The collection in a folder, or a new one."""
    return samespace.open(path, space=Space("the corpus", dimension, normalized=True), **options)


def add(collection: Collection, texts: Sequence[str], vectors: Rows, first: int = 0) -> None:
    """Add rows that are named by their number, from ``first`` on."""
    numbers = range(first, first + len(texts))
    collection.add(
        texts,
        ids=(f"row-{number}" for number in numbers),
        metadata=({"number": number} for number in numbers),
        vectors=Vectors(np.asarray(vectors), collection.space, "document"),
    )


def numbers(hits: Sequence[Any]) -> list[int]:
    """The numbers of the rows that were found."""
    return [int(hit.id.removeprefix("row-")) for hit in hits]


def ask(collection: Collection, queries: Rows, **arguments: Any) -> tuple[list[list[int]], list[float]]:
    """Search for one query after the other: the numbers of the rows found, and the seconds that each took."""
    found, seconds = [], []
    for row in range(len(queries)):
        query = Vectors(queries[row : row + 1], collection.space, "query")
        began = time.perf_counter()
        hits = collection.search(query, K, **arguments)
        seconds.append(time.perf_counter() - began)
        found.append(numbers(hits))
    return found, seconds


def settle(collection: Collection, query: Rows) -> None:
    """Search until what was tuned before has been loaded, which is done in the background."""
    for _ in range(600):
        ask(collection, query)
        cover = collection._rows.searcher._upkeep.cover
        tuning = None if cover is None else cover.tuning
        if tuning is not None and (cover.fast is not None or not ENGINES[tuning.engine].builds):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{collection} does not use what was tuned")


def once(record: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``make`` returned when it was first called for this record."""
    if not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(make()))
    figures: dict[str, Any] = json.loads(record.read_text())
    return figures
