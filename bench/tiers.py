"""What each memory tier costs: bytes on disk and in memory, recall against float32, and speed.

    python bench/tiers.py CORPUS --work CACHE [--rows 100000]

CORPUS is a folder that ``corpus.py`` made. The tier ``full`` is measured before and after ``tune``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, keep, publish, table
from rows import add, ask, opened, settle
from samespace.memory import TIERS
from truth import shares, tenth_scores


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--keep-as", default="tiers", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    vectors = np.load(arguments.corpus / "documents.npy", mmap_mode="r")[: arguments.rows]
    texts = (arguments.corpus / "documents.txt").read_text(encoding="utf-8").split("\n")[: arguments.rows]
    queries = np.load(arguments.corpus / "queries.npy")[: arguments.queries]
    tenth = tenth_scores(queries, vectors)
    entries: list[dict[str, Any]] = []
    for name in TIERS:
        path = arguments.work / "tier.ss"
        shutil.rmtree(path, ignore_errors=True)
        with opened(path, vectors.shape[1], memory=name, remember_queries=False) as rows:
            add(rows, texts, vectors)
            for tuned in (False, True) if name == "full" else (False,):
                if tuned:
                    rows.tune(0.99)
                    settle(rows, queries[:1])
                ask(rows, queries[:200])
                found, seconds = ask(rows, queries)
                info = rows.info()
                entries.append(
                    {
                        "tier": f"{name}, tuned to .99" if tuned else name,
                        "engine": info.engine,
                        "disk": info.bytes_vectors / info.count,
                        "memory": info.memory_index / info.count,
                        "recall": float(shares(found, queries, np.asarray(vectors), tenth).mean()),
                        "p50": float(np.median(seconds)),
                    }
                )
                print(entries[-1], file=sys.stderr)
        shutil.rmtree(path)
    header = ["tier", "engine", "bytes on disk a vector", "bytes in memory", "recall@10", "ms a search"]
    lines = [
        [
            entry["tier"],
            entry["engine"],
            f"{entry['disk']:,.0f}",
            f"{entry['memory']:,.0f}",
            f"{entry['recall']:.4f}",
            f"{entry['p50'] * 1e3:.2f}",
        ]
        for entry in entries
    ]
    shown = table("tiers", header, lines)
    print(shown)
    if arguments.keep_as:
        publish([shown])
        print(f"\nKept in {keep(arguments.keep_as, {**describe(), 'tiers': entries})}", file=sys.stderr)


if __name__ == "__main__":
    main()
