"""Whole systems side by side: rows with texts and metadata in, single queries returning texts out.

    python bench/systems.py CORPUS [--python rivals/bin/python] [--rounds 3] [--only samespace zvec]
    python bench/systems.py CORPUS --rows 300000 --built CACHE --rounds 1 --keep-as systems-300k

CORPUS is a folder that ``corpus.py`` made. Every system runs in processes of its own, one after the other, in
rounds, so that a noisy machine is noisy for all; the median of the rounds is printed. A system that is not
installed for ``--python`` (by default the Python that runs this) is listed as such. Building may use every
core; searching has one thread on one core, in a process that opens what the builder left on the disk. With
``--built``, what is built stays in that folder, and what is there is not built again: building the rivals'
graphs takes a quarter of an hour for 300,000 rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import corpus
from machine import ONE_THREAD, describe, environment, keep, publish, table
from rivals import SYSTEMS

_K = 10
_BLOCK = 100  # queries compared at once
_DIGIT = 3


def exact(rows: corpus.Corpus) -> dict[str, np.ndarray]:
    """The rows that are truly nearest to each query: of all, and of those whose digit is 3."""
    tenth = np.flatnonzero(np.array([fields["digit"] for fields in rows.metadata]) == _DIGIT)
    found: dict[str, list[np.ndarray]] = {"all": [], "digit": []}
    for start in range(0, len(rows.query_vectors), _BLOCK):
        scores = rows.query_vectors[start : start + _BLOCK] @ rows.vectors.T
        found["all"].append(np.argpartition(-scores, _K, axis=1)[:, :_K])
        found["digit"].append(tenth[np.argpartition(-scores[:, tenth], _K, axis=1)[:, :_K]])
    return {name: np.concatenate(parts) for name, parts in found.items()}


class Bench:
    """Runs phases of systems and collects their figures."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self._arguments = arguments
        self._work = work
        self._truth = work / "truth.npz"

    def prepare(self) -> dict[str, Any]:
        """Compute the exact answers; returns the corpus's label."""
        rows = corpus.load(self._arguments.corpus, self._arguments.rows, self._arguments.queries)
        truth = exact(rows)
        np.savez(self._truth, all=truth["all"], digit=truth["digit"])
        return {**rows.label, "rows_used": len(rows.texts), "queries_used": len(rows.queries)}

    def run(self, system: str, phase: str) -> dict[str, Any]:
        """One phase in a new process; an error there is an entry in the table, not the end of the run."""
        folder, out = self._work / system, self._work / "figures.json"
        record = folder.with_suffix(".json")
        if phase == "build":
            if self._arguments.built and record.exists():
                kept: dict[str, Any] = json.loads(record.read_text())
                return {**kept, "cached": True}
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        out.unlink(missing_ok=True)
        python = sys.executable if system.startswith("samespace") else self._arguments.python
        words = [python, str(Path(__file__).with_name("worker.py")), system, phase, "--out", str(out)]
        words += [
            "--corpus",
            str(self._arguments.corpus),
            "--folder",
            str(folder),
            "--truth",
            str(self._truth),
        ]
        for name in ("rows", "queries"):
            if (value := getattr(self._arguments, name)) is not None:
                words += [f"--{name}", str(value)]
        threads = ONE_THREAD if phase == "search" else {}
        done = subprocess.run(
            words, env=environment(**threads), capture_output=True, text=True, check=False, cwd=self._work
        )
        if not out.exists():
            return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
        figures: dict[str, Any] = json.loads(out.read_text())
        if phase == "build" and self._arguments.built:
            record.write_text(json.dumps(figures))
        return figures


def summary(entry: dict[str, Any]) -> dict[str, Any]:
    """Medians over the rounds."""
    builds, searches = entry["builds"], entry["searches"]
    median: dict[str, Any] = {
        name: statistics.median(figures[name] for figures in builds)
        for name in ("seconds", "add_seconds", "peak_memory", "disk")
    }
    # What was built before may have been built beside other work: it is not compared.
    median["add"] = "-" if builds[0].get("cached") else f"{median['seconds']:.1f}"
    median["search_memory"] = statistics.median(figures["peak_memory"] for figures in searches)
    median["open_seconds"] = statistics.median(figures["open_seconds"] for figures in searches)
    median["settings"] = {
        label: {
            name: statistics.median(figures["settings"][label][name] for figures in searches)
            for name in searches[0]["settings"][label]
        }
        for label in searches[0]["settings"]
    }
    return median


def rows_of(name: str, entry: dict[str, Any]) -> list[list[str]]:
    """The lines of the table for one system."""
    if "missing" in entry:
        return [[name, "not installed", *["-"] * 9]]
    if "failed" in entry:
        return [[f"{name} {entry['version']}", f"failed: {entry['failed'][:60]}", *["-"] * 9]]
    median = entry["median"]
    lines: list[list[str]] = []
    for label, figures in median["settings"].items():
        first = not lines
        lines.append(
            [
                f"{name} {entry['version']}" if first else "",
                f"{entry['build']}; {label}" if first and label != entry["build"] else label,
                median["add"] if first else "",
                f"{figures['per_second']:,.0f}",
                f"{figures['p50'] * 1e3:.2f}",
                f"{figures['p99'] * 1e3:.2f}",
                f"{figures['recall']:.4f}" if "recall" in figures else "-",
                f"{median['disk'] / 2**20:,.0f}" if first else "",
                f"{median['peak_memory'] / 2**20:,.0f}" if first else "",
                f"{median['search_memory'] / 2**20:,.0f}" if first else "",
                f"{median['open_seconds']:.2f}" if first else "",
            ]
        )
    return lines


def best_of(name: str, entry: dict[str, Any], good_recall: float) -> list[str]:
    """One line for a system: its fastest setting of good recall, or else that of the best recall."""
    settings = [each for each in entry["median"]["settings"].items() if "where" not in each[0]]
    good = [each for each in settings if each[1]["recall"] >= good_recall]
    label, figures = (
        max(good, key=lambda each: each[1]["per_second"]) if good else max(settings, key=lambda each: each[1]["recall"])
    )
    return [
        f"{name} {entry['version']}",
        f"{entry['build']}; {label}" if label != entry["build"] else label,
        entry["median"]["add"],
        f"{figures['per_second']:,.0f}",
        f"{figures['recall']:.4f}",
        f"{entry['median']['disk'] / 2**20:,.0f}",
    ]


def measure(bench: Bench, names: list[str], rounds: int, searches: int) -> dict[str, dict[str, Any]]:
    """In every round all systems build, and then all search, several times in turns."""
    entries = {name: {**bench.run(name, "version"), "builds": [], "searches": []} for name in names}
    for turn in range(rounds):
        for phase in ["build", *["search"] * searches]:
            for name, entry in entries.items():
                if entry.keys() & {"missing", "failed"}:
                    continue
                figures = bench.run(name, phase)
                if "failed" in figures:
                    entry["failed"] = figures["failed"]
                else:
                    entry["builds" if phase == "build" else "searches"].append(figures)
                print(f"round {turn + 1}: {name} {phase}: {json.dumps(figures)}", file=sys.stderr)
    for entry in entries.values():
        if searches and not entry.keys() & {"missing", "failed"}:
            entry["median"] = summary(entry)
    return entries


HEADER = [
    "system",
    "settings",
    "add s",
    "queries/s",
    "p50 ms",
    "p99 ms",
    "recall@10",
    "disk MiB",
    "add peak MiB",
    "search peak MiB",
    "open s",
]
BEST = ["system", "settings", "add s", "queries/s", "recall@10", "disk MiB"]


def main() -> None:
    """Run the rounds, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the Python that has the rivals installed")
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    parser.add_argument("--queries", type=int, help="of the corpus; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="of building")
    parser.add_argument("--searches", type=int, default=2, help="of searching in each round; 0 only builds")
    parser.add_argument("--good", type=float, default=0.99, help="recall from which on the fastest setting is best")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--work", type=Path, help="a folder for the systems' files; by default the system's own")
    parser.add_argument("--built", type=Path, help="a folder where the systems' files stay, and are not built again")
    parser.add_argument("--keep-as", default="systems", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    arguments.corpus = arguments.corpus.resolve()
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        if arguments.built:
            arguments.built.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, (arguments.built or Path(work)).resolve())
        label = bench.prepare()
        entries = measure(bench, arguments.only, arguments.rounds, arguments.searches)
    if not arguments.searches:
        return
    lines = [line for name, entry in entries.items() for line in rows_of(name, entry)]
    best = [best_of(name, entry, arguments.good) for name, entry in entries.items() if "median" in entry]
    name = arguments.keep_as or "systems"
    tables = [table(name, HEADER, lines), table(f"{name}-best", BEST, best)]
    print("\n\n".join(tables))
    if arguments.keep_as:
        publish(tables)
        figures = {**describe(), "corpus": label, "systems": entries}
        print(f"\nKept in {keep(arguments.keep_as, figures)}", file=sys.stderr)


if __name__ == "__main__":
    main()
