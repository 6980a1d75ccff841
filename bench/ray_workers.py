"""Bulk embedding by workers on Ray on this machine: one, two, and two of which one is killed on the way.

Run: python bench/ray_workers.py [--rows 8000] [--rounds 2]

Rows are docstrings of Python's standard library, cut to their first 90 characters and numbered, so that no two are
alike. The worker that is killed is in the middle of a part. Every run begins with a collection that is not there, and
ends with a count of what is in it. The seconds are those of the whole command; the rate is that between the first part
that was done and the last, so without the start of Ray and of the workers. Runs of the kinds take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

import samespace as ss
from machine import RESULTS, describe
from samespace.scale import embed
from samespace.sources import docstrings

KINDS: dict[str, dict[str, Any]] = {
    "this process, all cores": {},
    "1 worker of 1 CPU": {"on": "ray", "workers": 1, "cpus": 1},
    "2 workers of 1 CPU": {"on": "ray", "workers": 2, "cpus": 1},
    "1 worker of 2 CPUs": {"on": "ray", "workers": 1, "cpus": 2},
    "2 workers of 1 CPU, one killed": {"on": "ray", "workers": 2, "cpus": 1},
}
_SHARDS = 8


def write_shards(folder: Path, rows: int) -> set[str]:
    texts = [" ".join(each.content.split())[:90] for each in docstrings()]
    names = [f"row-{number}" for number in range(rows)]
    each = -(-rows // _SHARDS)
    lines = [
        json.dumps({"id": name, "text": f"{text} ({number})"})
        for number, (name, text) in enumerate(zip(names, islice(cycle(texts), rows), strict=True))
    ]
    for shard in range(_SHARDS):
        (folder / f"{shard}.jsonl").write_text("\n".join(lines[shard * each : (shard + 1) * each]) + "\n")
    return set(names)


def kill_a_worker(place: Path, after: int, killed: list[int]) -> None:
    """Wait until some rows are there, and kill one of the processes that embed."""
    while True:
        time.sleep(0.05)
        try:
            with ss.open(place, create=False) as collection:
                if collection.count() < after:
                    continue
        except ss.errors.NotFound:
            continue
        workers = [
            child for child in psutil.Process().children(recursive=True) if "MapWorker" in " ".join(child.cmdline())
        ]
        if workers:
            time.sleep(1.0)  # into the next part: a part is committed at its end
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(workers[0].pid)
            return


def measure(kind: str, shards: Path, names: set[str], folder: Path) -> dict[str, Any]:
    place = folder / "n.ss"
    load = os.getloadavg()[0]
    done: list[tuple[float, int]] = []
    killed: list[int] = []
    if "killed" in kind:
        threading.Thread(target=kill_a_worker, args=(place, len(names) // 4, killed), daemon=True).start()
    report = embed(
        [shards],
        place,
        text="text",
        id="id",
        progress=lambda rows, _total: done.append((time.perf_counter(), rows)) if rows else None,
        **KINDS[kind],
    )
    with ss.open(place, create=False) as collection:
        there = list(collection.ids())
        problems = collection.verify()
    (begun, _), *later = done
    return {
        "kind": kind,
        "seconds": report.seconds,
        "rate": sum(rows for _, rows in later) / (later[-1][0] - begun),
        "load_before": load,
        "rows_read": report.rows,
        "rows_there": len(there),
        "lost": len(names - set(there)),
        "doubled": len(there) - len(set(there)),
        "strange": len(set(there) - names),
        "problems": problems,
        "workers_killed": len(killed),
        "parts_repeated": report.repeated,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder, "shards")
        shards.mkdir()
        names = write_shards(shards, asked.rows)
        for number in range(asked.rounds):
            for kind in KINDS:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    runs.append({"round": number, **measure(kind, shards, names, Path(place))})
                print(json.dumps(runs[-1]), flush=True)
    best = {kind: statistics.median(run["rate"] for run in runs if run["kind"] == kind) for kind in KINDS}
    figures = {
        **describe(("numpy", "openvino", "ray", "pyarrow")),
        "rows": asked.rows,
        "rate_median": best,
        "two_against_one": best["2 workers of 1 CPU"] / best["1 worker of 1 CPU"],
        "runs": runs,
    }
    (RESULTS / "ray-workers.json").write_text(json.dumps(figures, indent=2) + "\n")
    for kind, rate in best.items():
        print(f"{kind:32} {rate:8,.0f} rows/s")


if __name__ == "__main__":
    main()
