"""Rows come and go: recall after each of many rounds of deleting a tenth and adding a tenth.

    python bench/churn.py CORPUS --work CACHE [--rows 100000] [--rounds 50]

CORPUS is a folder that ``corpus.py`` made, with at least six times as many rows as are held at a time. The collection
is tuned to .99 once, and then left to itself: what it builds, it builds in the background while rows change.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, keep, publish, table
from rows import add, ask, once, opened, settle
from truth import shares, tenth_scores

LEVELS = (0.95, 0.99)
_SHARE = 10  # one in so many goes in each round


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="the folder where the tuned collection is kept")
    parser.add_argument("--rows", type=int, default=100_000, help="held at a time")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--keep-as", default="churn", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    count, change = arguments.rows, arguments.rows // _SHARE
    total = count + arguments.rounds * change
    vectors = np.load(arguments.corpus / "documents.npy", mmap_mode="r")[:total]
    assert len(vectors) == total, f"the corpus has {len(vectors):,} rows, and {total:,} are needed"
    with (arguments.corpus / "documents.txt").open(encoding="utf-8", newline="\n") as lines:
        texts = [line.removesuffix("\n") for line in islice(lines, total)]
    queries = np.load(arguments.corpus / "queries.npy")[: arguments.queries]
    kept, path = arguments.work / "churn.ss", arguments.work / "churn-run.ss"

    def make() -> dict[str, Any]:
        with opened(kept, vectors.shape[1]) as collection:
            add(collection, texts[:count], vectors[:count])
            return {"tuning": collection.tune(recall=0.99).to_dict()}

    tuned = once(arguments.work / "churn.json", make)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(kept, path)
    chance = np.random.default_rng(6)
    live = np.arange(count)
    rounds: list[dict[str, Any]] = []
    with opened(path, vectors.shape[1], recall=0.99, remember_queries=False) as collection:
        settle(collection, queries[:1])
        for turn in range(arguments.rounds):
            began = time.perf_counter()
            gone = chance.choice(live, change, replace=False)
            collection.delete([f"row-{number}" for number in gone.tolist()])
            first = count + turn * change
            add(collection, texts[first : first + change], vectors[first : first + change], first)
            changed = time.perf_counter() - began
            live = np.setdiff1d(np.concatenate([live, np.arange(first, first + change)]), gone)
            tenth = tenth_scores(queries, vectors[live])
            figures: dict[str, Any] = {"round": turn + 1, "change_seconds": changed}
            for level in LEVELS:
                found, seconds = ask(collection, queries, recall=level)
                assert np.isin(np.concatenate(found), live).all(), "a deleted row was found"
                figures[f"recall at {level:g}"] = float(shares(found, queries, vectors, tenth).mean())
                figures[f"p50 ms at {level:g}"] = float(np.median(seconds)) * 1e3
            info = collection.info()
            figures |= {"engine": info.engine, "indexed": info.indexed, "deleted": info.deleted, "alarms": info.alarms}
            figures["building"] = info.building
            rounds.append(figures)
            print(figures, file=sys.stderr)
    shutil.rmtree(path)
    shown_lines = [
        [f"declared {level:g}", *(text(rounds, f"{name} at {level:g}") for name in ("recall", "p50 ms"))]
        for level in LEVELS
    ]
    shown = table("churn", [f"{len(rounds)} rounds", "recall@10: least, mean", "p50 ms: least, mean"], shown_lines)
    print(shown)
    if arguments.keep_as:
        publish([shown])
        figures = {**describe(), "rows": count, "change": change, **tuned, "rounds": rounds}
        print(f"\nKept in {keep(arguments.keep_as, figures)}", file=sys.stderr)


def text(rounds: list[dict[str, Any]], name: str) -> str:
    """The least and the mean of a figure over the rounds."""
    values = [figures[name] for figures in rounds]
    return f"{min(values):.4f}, {sum(values) / len(values):.4f}"


if __name__ == "__main__":
    main()
