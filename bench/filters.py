"""Search with filters: recall and latency from half of the rows down to one in two thousand.

    python bench/filters.py CORPUS [--queries 500]

CORPUS is a folder that ``corpus.py`` made. Every query has a filter of its own. A *random* one takes a window
of a random number from 0 to 1,999 that each row has, so that what passes is spread over the whole space; *random,
all values distinct* takes one of a number that no other row has, such as a time stamp. One that *follows the
clusters* takes the rows of some cells of a k-means partition: those around a random cell, which is as a rule
far from the query; that is where graphs lose their way. All is measured twice: with the scan, and with what
``tune(recall=.99)`` chose. One thread on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import corpus
from machine import describe, keep, one_thread, publish, table

K = 10
SHARES = (0.5, 0.1, 0.02, 0.005, 0.0005)
_CELLS = 1_000
_ROUNDS = 4  # of k-means
_SAMPLE = 20_000  # rows that it looks at
_BLOCK = 4_096
_TIE = 1e-6  # two scores this close are one
_STEPS = 2_000  # values of the random number

Filter = tuple[dict[str, Any], NDArray[np.bool_]]
"""A ``where``, and the rows that meet it."""


def k_means(vectors: NDArray[np.float32], chance: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Cells of the rows and their centres, by a few rounds of Lloyd's algorithm on a sample of the sphere."""
    sample = vectors[chance.permutation(len(vectors))[:_SAMPLE]]
    centres = sample[: min(_CELLS, len(sample) // 10)].copy()
    for _ in range(_ROUNDS):
        cells = _nearest(sample, centres)
        order = np.argsort(cells, kind="stable")
        kept, starts = np.unique(cells[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centres[kept] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return _nearest(vectors, centres), centres


def _nearest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    blocks = range(0, len(vectors), _BLOCK)
    return np.concatenate([(vectors[start : start + _BLOCK] @ centres.T).argmax(1) for start in blocks])


def random_filter(field: str, values: NDArray[np.int64], share: float, chance: np.random.Generator) -> Filter:
    """A window of a random number."""
    steps = int(values.max()) + 1
    width = round(share * steps)
    start = int(chance.integers(0, steps - width + 1))
    where = {field: {"$gte": start, "$lt": start + width}}
    return where, (values >= start) & (values < start + width)


def cluster_filter(
    cells: NDArray[np.intp], centres: NDArray[np.float32], share: float, chance: np.random.Generator
) -> Filter:
    """Cells around a random one, until they hold the share of the rows."""
    sizes = np.bincount(cells, minlength=len(centres))
    order = np.argsort(-(centres @ centres[chance.integers(len(centres))]))
    order = order[sizes[order] > 0]
    needed = int(np.searchsorted(np.cumsum(sizes[order]), share * len(cells))) + 1
    chosen = order[:needed]
    return {"cell": {"$in": chosen.tolist()}}, np.isin(cells, chosen)


def measure(rows: corpus.Corpus, make: Callable[[], Filter], collection: Any) -> dict[str, float]:
    """Every query with its own filter: recall, and the milliseconds of a new filter and of the same again."""
    from samespace import Vectors

    hits, wanted, passing, fewest = 0, 0, 0, K
    first, again = [], []
    for vector in rows.query_vectors:
        where, mask = make()
        query = Vectors(vector[None, :], collection.space, "query")
        allowed = np.flatnonzero(mask)
        scores = rows.vectors[allowed] @ vector
        least = np.partition(scores, -K)[-K] if len(scores) > K else -np.inf
        began = time.perf_counter()
        found = collection.search(query, K, where=where)
        first.append(time.perf_counter() - began)
        began = time.perf_counter()
        collection.search(query, K, where=where)
        again.append(time.perf_counter() - began)
        names = {hit.metadata["number"] for hit in found}
        assert names <= set(allowed.tolist()), "a row that does not meet the filter came back"
        good = np.count_nonzero(rows.vectors[list(names)] @ vector >= least - _TIE)
        hits, wanted, passing = hits + int(good), wanted + min(K, len(allowed)), passing + len(allowed)
        fewest = min(fewest, len(found) + max(0, K - len(allowed)))
    return {
        "share": passing / len(first) / len(rows.texts),
        "recall": hits / wanted,
        "fewest": fewest,
        "new_filter_ms": float(np.median(first)) * 1e3,
        "same_filter_ms": float(np.median(again)) * 1e3,
    }


WHAT = ("recall@10", "new filter ms", "same filter ms")


def cells_of(figures: dict[str, float]) -> list[str]:
    """What the table shows of one measurement."""
    return [f"{figures['recall']:.4f}", f"{figures['new_filter_ms']:.2f}", f"{figures['same_filter_ms']:.2f}"]


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--work", type=Path, help="a folder for the collection; by default the system's own")
    parser.add_argument("--keep-as", default="filters", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    one_thread()
    import samespace
    from samespace import Space, Vectors

    rows = corpus.load(arguments.corpus, arguments.rows, arguments.queries)
    chance = np.random.default_rng(4)
    few, distinct = chance.integers(0, _STEPS, len(rows.texts)), chance.permutation(len(rows.texts))
    cells, centres = k_means(rows.vectors, chance)
    columns = {"few": few.tolist(), "distinct": distinct.tolist(), "cell": cells.tolist()}
    metadata = [
        {"number": number, **dict(zip(columns, values, strict=True))}
        for number, values in enumerate(zip(*columns.values(), strict=True))
    ]
    kinds: dict[str, Callable[[float], Filter]] = {
        "random": lambda share: random_filter("few", few, share, chance),
        "random, all values distinct": lambda share: random_filter("distinct", distinct, share, chance),
        "follows the clusters": lambda share: cluster_filter(cells, centres, share, chance),
    }
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        space = Space("the corpus", rows.vectors.shape[1], normalized=True)
        vectors = Vectors(rows.vectors, space, "document")
        for state, engine in (("scan", "scan"), ("tuned", "auto")):
            with samespace.open(Path(work) / "rows.ss", space=space, engine=engine) as collection:
                if state == "scan":
                    collection.add(rows.texts, ids=rows.ids, metadata=metadata, vectors=vectors)
                else:
                    figures["tuning"] = collection.tune(recall=0.99).to_dict()
                # The first filter on a field reads its column; later ones in the process do not.
                for name in columns:
                    began = time.perf_counter()
                    collection.count({name: 0})
                    figures[f"seconds of the first filter on {name}"] = time.perf_counter() - began
                figures[state] = {
                    kind: [measure(rows, partial(make, share), collection) for share in SHARES]
                    for kind, make in kinds.items()
                }
                figures[state]["engine"] = collection.info().engine
    lines = [
        [
            kind,
            f"{scan['share']:.2%}",
            *(text for each in (scan, tuned) for text in cells_of(each)),
            str(min(scan["fewest"], tuned["fewest"])),
        ]
        for kind in kinds
        for scan, tuned in zip(figures["scan"][kind], figures["tuned"][kind], strict=True)
    ]
    ways = ("scan", f"tuned: {figures['tuned']['engine']}")
    header = ["filter", "rows that pass", *(f"{way}: {what}" for way in ways for what in WHAT), "fewest hits of 10"]
    shown = table("filters", header, lines)
    print(shown)
    if arguments.keep_as:
        publish([shown])
        label = {**rows.label, "rows_used": len(rows.texts), "queries_used": len(rows.queries)}
        path = keep(arguments.keep_as, {**describe(), "corpus": label, **figures})
        print(f"\nKept in {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
