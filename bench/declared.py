"""Declared recall and measured recall, on queries that the tuner never saw.

    python bench/declared.py sentences=CORPUS:300000 words=CORPUS layers=CORPUS --work CACHE

Each CORPUS is a folder with a name, and if need be the rows to take of it. A collection of it is made and tuned
once, and kept in CACHE: on its own vectors, and where there are queries of another kind, a second time after one
half of them has been asked. Then it is opened with each recall declared and asked the queries of the corpus, or the
other half, one by one; one thread on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import corpus
from machine import describe, keep, one_thread, publish, table
from truth import Rows, query_sets, shares, tenth_scores

LEVELS = (0.9, 0.95, 0.99, 0.999)
_ROUNDS = 1


def prepared(name: str, rows: corpus.Corpus, past: Rows | None, work: Path) -> dict[str, Any]:
    """Make the collection, ask it the queries of the past, and tune it; all cores, once."""
    from rows import add, ask, once, opened

    def make() -> dict[str, Any]:
        with opened(work / f"{name}.ss", rows.vectors.shape[1]) as collection:
            began = time.perf_counter()
            add(collection, rows.texts, rows.vectors)
            added = time.perf_counter()
            if past is not None:
                ask(collection, past)
            asked = time.perf_counter()
            tuning = collection.tune(recall=0.99)
            return {
                "add_seconds": added - began,
                "tune_seconds": time.perf_counter() - asked,
                "tuning": tuning.to_dict(),
            }

    return once(work / f"{name}.json", make)


def measured(name: str, queries: Rows, documents: Rows, work: Path) -> list[dict[str, Any]]:
    """Recall and speed at each declared level."""
    from rows import ask, opened, settle

    tenth = tenth_scores(queries, documents)
    figures = []
    for level in LEVELS:
        with opened(work / f"{name}.ss", documents.shape[1], recall=level, remember_queries=False) as collection:
            settle(collection, queries[:1])
            for _ in range(_ROUNDS):
                found, seconds = ask(collection, queries)
            info = collection.info()
        point = next((curve.effort_for(level, 10) for curve in info.tuning.curves if curve.engine == info.engine), None)
        recalls = shares(found, queries, documents, tenth)
        figures.append(
            {
                "declared": level,
                "recall": float(recalls.mean()),
                "error": float(recalls.std() / np.sqrt(len(recalls))),
                "engine": info.engine,
                "effort": None if point is None else point.effort,
                "per_second": len(seconds) / sum(seconds),
                "p99": float(np.percentile(seconds, 99)),
                "alarms": info.alarms,
            }
        )
        print(f"{name}: {figures[-1]}", file=sys.stderr)
    return figures


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="NAME=FOLDER or NAME=FOLDER:ROWS")
    parser.add_argument("--work", type=Path, required=True, help="the folder where collections are kept")
    parser.add_argument("--queries", type=int, help="of each kind; all by default")
    parser.add_argument("--keep-as", default="declared", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for each in arguments.sets:
        name, _, place = each.partition("=")
        folder, _, count = place.partition(":")
        rows = corpus.load(Path(folder), int(count) if count else None)
        for kind, queries in query_sets(Path(folder), arguments.queries).items():
            past = None if kind == "the same kind" else np.load(Path(folder) / "others.npy")[: len(queries)]
            title = name if past is None else f"{name}-others"
            made = prepared(title, rows, past, arguments.work)
            figures[title] = (made, queries, rows.vectors)
    one_thread()
    figures = {
        title: {**made, "levels": measured(title, queries, documents, arguments.work)}
        for title, (made, queries, documents) in figures.items()
    }
    lines = [
        [
            title if level is made["levels"][0] else "",
            f"{level['declared']:g}",
            f"{level['recall']:.4f}",
            "yes" if level["recall"] >= level["declared"] else "NO",
            level["engine"] if level["effort"] is None else f"{level['engine']}, effort {level['effort']}",
            f"{level['per_second']:,.0f}",
        ]
        for title, made in figures.items()
        for level in made["levels"]
    ]
    shown = table("declared", ["set", "declared", "measured", "held", "answered by", "queries/s"], lines)
    print(shown)
    if arguments.keep_as:
        publish([shown])
        print(f"\nKept in {keep(arguments.keep_as, {**describe(), 'sets': figures})}", file=sys.stderr)


if __name__ == "__main__":
    main()
