"""One phase of one system, in a process of its own. Started by ``systems.py``; writes its figures as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import corpus
from machine import folder_bytes, peak_memory
from rivals import SYSTEMS
from rivals.system import FIELDS, Setting, System

K = 10
_WARM_UP = 200  # queries before the clock starts


def build(system: type[System], arguments: argparse.Namespace) -> dict[str, Any]:
    """Add everything; the clock runs until it is durable and a search has been answered."""
    rows = corpus.load(arguments.corpus, arguments.rows, 1)
    ids, metadata = rows.ids, rows.metadata
    before = peak_memory()
    opened = system(arguments.folder, rows.vectors.shape[1], threads=os.cpu_count() or 1)
    first = system.settings[0].arguments
    began = time.perf_counter()
    opened.add(ids, rows.texts, metadata, rows.vectors)
    added = time.perf_counter() - began
    found = opened.search(rows.vectors[0], 1, **first)
    seconds = time.perf_counter() - began
    if [name for name, _, _ in found] != ids[:1] and found[0][1] != rows.texts[0]:
        sys.exit(f"The first row was not found again, but {found}.")
    peak = peak_memory() - before
    opened.close()
    return {
        "seconds": seconds,
        "add_seconds": added,
        "peak_memory": peak,
        "disk": folder_bytes(arguments.folder),
    }


def search(system: type[System], arguments: argparse.Namespace) -> dict[str, Any]:
    """Open what was built and ask every query by itself, with every setting."""
    dimension = np.load(arguments.corpus / "queries.npy", mmap_mode="r").shape[1]
    queries = np.load(arguments.corpus / "queries.npy")[: arguments.queries]
    truths = np.load(arguments.truth)
    before = peak_memory()
    began = time.perf_counter()
    opened = system(arguments.folder, dimension, threads=1)
    opened.search(queries[0], K, **system.settings[0].arguments)
    opened_after = time.perf_counter() - began
    opened.settle()
    for query in queries:  # reads every page that the searches will need, so that no setting pays for the next
        opened.search(query, K, **system.settings[0].arguments)
    figures: dict[str, Any] = {"open_seconds": opened_after, "settings": {}}
    for setting in system.settings:
        truth = None if setting.truth == "none" else truths[setting.truth]
        figures["settings"][setting.label] = _measure(opened, setting, queries, truth)
    figures["peak_memory"] = peak_memory() - before
    opened.close()
    return figures


def _measure(opened: System, setting: Setting, queries: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    for query in queries[:_WARM_UP]:
        opened.search(query, K, **setting.arguments)
    times, answers = [], []
    for query in queries:
        began = time.perf_counter()
        found = opened.search(query, K, **setting.arguments)
        times.append(time.perf_counter() - began)
        answers.append(found)
    for name, text, metadata in (row for found in answers for row in found):
        assert text, "a row came back without its text"
        assert metadata.keys() == set(FIELDS), "a row came back without its metadata"
        assert name == f"row-{metadata['number']}", "a row came back with the metadata of another"
    figures: dict[str, Any] = {
        "per_second": len(times) / sum(times),
        "p50": float(np.percentile(times, 50)),
        "p99": float(np.percentile(times, 99)),
    }
    if truth is not None:
        names = [{f"row-{row}" for row in exact} for exact in truth.tolist()]
        hits = [len({name for name, _, _ in found} & exact) for found, exact in zip(answers, names, strict=True)]
        figures["recall"] = sum(hits) / truth.size
    return figures


def main() -> None:
    """Read the command line, run the phase and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("phase", choices=("version", "build", "search"))
    for name in ("--corpus", "--folder", "--truth", "--out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int)
    arguments = parser.parse_args()
    if arguments.phase == "search" and hasattr(os, "sched_setaffinity"):
        # The variables that say how many threads are not obeyed by all; a process on one core has one core.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    logging.disable(logging.WARNING)
    try:
        module, name = SYSTEMS[arguments.system]
        system: type[System] = getattr(import_module(module), name)
    except ImportError as error:
        figures: dict[str, Any] = {"missing": str(error)}
    else:
        if arguments.phase == "version":
            settings = [setting.label for setting in system.settings]
            figures = {"version": system.version(), "build": system.build, "settings": settings}
        else:
            figures = {"build": build, "search": search}[arguments.phase](system, arguments)
    arguments.out.write_text(json.dumps(figures))
    # Some clients leave threads that never end; everything is on disk.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
