"""Bare indexes side by side: recall@10 against queries a second, one thread on one core.

    python bench/engines.py CORPUS --name sentences --work CACHE [--rows 300000] [--build-only]

CORPUS is a folder that ``corpus.py``, ``words.py`` or ``layers.py`` made. What ``raw.py`` lists is built once, each
in a process of its own, and kept in CACHE; then all indexes are opened in one process and asked in turns, every query
by itself, at every setting. Recall and speed are of the same queries: those of the documents' kind and, if the
corpus has them, those of another kind (the second half; the first is for who learns from the past). What builds
take is compared with ``--build-only --rebuild``, on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import (
    ONE_THREAD,
    RESULTS,
    describe,
    environment,
    folder_bytes,
    keep,
    one_thread,
    peak_memory,
    publish,
    table,
)
from raw import LIBRARIES
from truth import Rows, query_sets, shares, tenth_scores

LEVELS = (0.9, 0.95, 0.98, 0.99, 0.999)
_ENOUGH = 0.9995  # of recall; more effort has nothing to show
_SLOW = 0.02  # seconds a query; nor has it here
_WARM_UP = 100  # queries before the clock starts


def rows_of(folder: Path, rows: int | None) -> Rows:
    """The documents' vectors, in memory."""
    return np.array(np.load(folder / "documents.npy", mmap_mode="r")[:rows])


# Building


def build(name: str, documents: Rows, file: Path, threads: int) -> dict[str, Any]:
    """Build one index and keep it; to be run in a process of its own."""
    library = LIBRARIES[name]
    before, began, used = peak_memory(), time.perf_counter(), sum(os.times()[:4])
    index = library.build(documents, threads)
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": sum(os.times()[:4]) - used,  # of child processes too
        "threads": threads,
        "peak_memory": peak_memory() - before,
        "version": library.version,
        "rows": len(documents),
    }
    library.save(index, file)
    return {**figures, "disk": folder_bytes(file) if file.is_dir() else file.stat().st_size}


def built(arguments: argparse.Namespace, name: str, cache: Path) -> dict[str, Any]:
    """The figures of one build, from the cache if it is there."""
    record = cache / f"{name}.json"
    if record.exists() and name not in arguments.rebuild:
        figures: dict[str, Any] = json.loads(record.read_text())
        return figures
    words = [sys.executable, __file__, str(arguments.corpus), "--name", arguments.name, "--inside", name]
    words += ["--work", str(arguments.work), "--threads", str(arguments.threads)]
    if arguments.rows:
        words += ["--rows", str(arguments.rows)]
    threads = str(arguments.threads)
    done = subprocess.run(
        words, env=environment(**dict.fromkeys(ONE_THREAD, threads)), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    figures = json.loads(record.read_text())
    print(f"{name}: {json.dumps(figures)}", file=sys.stderr)
    return figures


# Asking


@dataclass
class Point:
    """One index at one setting: recall over all queries, and the seconds a query of each round."""

    effort: Any
    recall: float
    seconds: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Of the median round."""
        return 1 / float(np.median(self.seconds))

    def to_dict(self) -> dict[str, Any]:
        """For the result file."""
        return {"effort": self.effort, "recall": self.recall, "per_second": self.per_second, "rounds": self.seconds}


def ask_all(ask: Any, queries: Rows, effort: Any, limit: float = math.inf) -> tuple[list[NDArray[Any]], float]:
    """Ask one by one until the time is over: what was found, and the seconds a query."""
    found, spent = [], 0.0
    for row in range(len(queries)):
        query = queries[row : row + 1]
        began = time.perf_counter()
        hits = ask(query, effort)
        spent += time.perf_counter() - began
        found.append(hits[0])
        if spent > limit:
            break
    return found, spent / len(found)


def curve(
    ask: Any, efforts: tuple[Any, ...], queries: Rows, documents: Rows, tenth: NDArray[np.float32]
) -> list[Point]:
    """The first round, over all queries: goes up the settings until there is no more to gain."""
    points: list[Point] = []
    for effort in efforts:
        ask_all(ask, queries[:_WARM_UP], effort)
        found, seconds = ask_all(ask, queries, effort)
        points.append(Point(effort, float(shares(found, queries, documents, tenth).mean()), [seconds]))
        if points[-1].recall >= _ENOUGH or seconds > _SLOW:
            break
    return points


def at_level(points: list[Point], level: float) -> float | None:
    """Queries a second at a recall, between the measured points; None if it is not reached."""
    reached = [point for point in points if point.recall >= level]
    if not reached:
        return None
    best = max(point.per_second for point in reached)
    for low, high in pairwise(points):
        if low.recall < level <= high.recall:
            share = (level - low.recall) / (high.recall - low.recall)
            between = (1 - share) * math.log(low.per_second) + share * math.log(high.per_second)
            best = max(best, math.exp(between))
    return best


# Showing


def draw(curves: dict[str, list[Point]], title: str, file: Path) -> None:
    """Keep a picture of the curves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    for label, points in curves.items():
        ours = label.startswith("samespace")
        missed = [max(1 - point.recall, 1e-4) for point in points]
        speed = [point.per_second for point in points]
        axes.plot(missed, speed, marker="o", markersize=4, linewidth=2.5 if ours else 1.2, label=label)
    axes.set(xscale="log", yscale="log", xlim=(0.3, 0.8e-4), xlabel="recall@10", ylabel="queries a second, one thread")
    ticks = [0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001, 0.0001]
    axes.set_xticks(ticks, [f"{1 - tick:g}" for tick in ticks[:-1]] + ["≥ .9999"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_title(title)
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def lines(curves: dict[str, list[Point]], builds: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The table's rows: one an index."""
    shown = []
    for name, points in curves.items():
        speeds = [at_level(points, level) for level in LEVELS]
        made = builds[name]
        shown.append(
            [
                f"{LIBRARIES[name].label} ({made['version']})",
                *(f"{speed:,.0f}" if speed else "-" for speed in speeds),
                f"{max(point.recall for point in points):.4f}",
                f"{made['cpu_seconds']:,.0f}",
                f"{made['disk'] / made['rows']:,.0f}",
            ]
        )
    return shown


def main() -> None:
    """Build what is missing, ask in rounds, print the tables, keep the figures and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--name", required=True, help="of the set, for tables and files")
    parser.add_argument("--work", type=Path, required=True, help="the folder where built indexes are kept")
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    parser.add_argument("--queries", type=int, help="of each kind; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="for a setting in the rounds after the first")
    parser.add_argument("--threads", type=int, default=1, help="of a build")
    parser.add_argument("--only", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--rebuild", nargs="+", choices=LIBRARIES, default=[])
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--keep-as", default="engines", help="name of the result files; '' keeps none")
    parser.add_argument("--inside", choices=LIBRARIES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.corpus = arguments.corpus.resolve()
    cache = arguments.work / f"{arguments.name}-{arguments.rows or 'all'}"
    cache.mkdir(parents=True, exist_ok=True)
    if arguments.inside:
        if arguments.threads == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        name = arguments.inside
        documents = rows_of(arguments.corpus, arguments.rows)
        figures = build(name, documents, cache / f"{name}.index", arguments.threads)
        (cache / f"{name}.json").write_text(json.dumps(figures))
        return
    builds = {name: built(arguments, name, cache) for name in arguments.only}
    if arguments.build_only:
        show_builds(arguments, builds)
        return
    one_thread()
    measure(arguments, cache, builds)


def show_builds(arguments: argparse.Namespace, builds: dict[str, dict[str, Any]]) -> None:
    """Print the table of the builds, and keep it."""
    header = ["index", "threads", "seconds", "CPU seconds", "peak MiB", "disk MiB"]
    shown = [
        [
            f"{LIBRARIES[name].label} ({made['version']})",
            str(made["threads"]),
            f"{made['seconds']:,.0f}",
            f"{made['cpu_seconds']:,.0f}",
            f"{made['peak_memory'] / 2**20:,.0f}",
            f"{made['disk'] / 2**20:,.0f}",
        ]
        for name, made in builds.items()
        if "failed" not in made
    ]
    text = table(f"builds-{arguments.name}", header, shown)
    print(text)
    if arguments.keep_as:
        publish([text])
        path = keep(f"builds-{arguments.name}", {**describe(), "corpus": arguments.name, "builds": builds})
        print(f"\nKept in {path}", file=sys.stderr)


def measure(arguments: argparse.Namespace, cache: Path, builds: dict[str, dict[str, Any]]) -> None:
    """Open everything that was built, ask it, and show."""
    documents = rows_of(arguments.corpus, arguments.rows)
    asks = {}
    for name in arguments.only:
        if "failed" in builds[name]:
            print(f"{name} failed: {builds[name]['failed']}", file=sys.stderr)
            continue
        asks[name] = LIBRARIES[name].load(cache / f"{name}.index", documents)
    kept: dict[str, Any] = {}
    tables = []
    for kind, queries in query_sets(arguments.corpus, arguments.queries).items():
        tenth = tenth_scores(queries, documents)
        curves = {}
        for name, ask in asks.items():
            curves[name] = curve(ask, LIBRARIES[name].efforts, queries, documents, tenth)
            print(f"{kind}: {name}: {[each.to_dict() for each in curves[name]]}", file=sys.stderr)
        for _ in range(arguments.rounds - 1):
            for name, points in curves.items():
                for point in points:
                    point.seconds.append(ask_all(asks[name], queries, point.effort, arguments.seconds)[1])
        marker = f"engines-{arguments.name}" + ("" if kind == "the same kind" else "-others")
        header = ["index", *(f"q/s at {level:g}" for level in LEVELS), "best recall", "build CPU s", "bytes a vector"]
        tables.append(table(marker, header, lines(curves, builds)))
        if arguments.keep_as:
            RESULTS.mkdir(exist_ok=True)
            shown = {LIBRARIES[name].label: points for name, points in curves.items()}
            title = f"{len(documents):,} × {documents.shape[1]} {arguments.name}, queries of {kind}"
            draw(shown, title, RESULTS / f"{marker}.png")
        kept[kind] = {name: [point.to_dict() for point in points] for name, points in curves.items()}
    print("\n\n".join(tables))
    if arguments.keep_as:
        publish(tables)
        label = {"name": arguments.name, "rows": len(documents), "dimension": documents.shape[1]}
        figures = {**describe(), "corpus": label, "builds": builds, "curves": kept}
        print(f"\nKept in {keep(f'{arguments.keep_as}-{arguments.name}', figures)}", file=sys.stderr)


if __name__ == "__main__":
    main()
