"""What every bench notes beside its figures: the machine, the code, the memory of a process."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import threading
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).parent / "results"
DOCUMENTS = (Path(__file__).parent / "README.md", Path(__file__).parent.parent / "README.md")
SOURCE = Path(__file__).parent.parent / "src"

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "TOKIO_WORKER_THREADS",
        "LANCE_CPU_THREADS",
        "LANCE_IO_THREADS",
    ),
    "1",
)


def peak_memory() -> int:
    """The most bytes of memory that this process has held."""
    # getrusage would count what the parent held when it started us; Linux keeps the process's own figure too.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryWatch:
    """Looks at this process's memory every few milliseconds while a ``with`` block runs.

    Attributes:
        figures: bytes at the peak, what was there at the beginning left out. ``resident`` counts pages of
            mapped files too, which the system takes back when it needs them; ``private`` does not, and is the
            process's own need. Where the system does not tell them apart, both are the resident size.
    """

    def __init__(self, interval: float = 0.02) -> None:
        self.figures: dict[str, int] = {}
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            self._look()

    def _look(self) -> None:
        for name, value in resident().items():
            self._peak[name] = max(self._peak[name], value)

    def __enter__(self) -> Self:
        self._before = resident()
        self._peak = dict(self._before)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.figures = self.so_far()

    def so_far(self) -> dict[str, int]:
        """What :attr:`figures` would be if the block ended now."""
        self._look()
        return {name: self._peak[name] - value for name, value in self._before.items()}


def resident() -> dict[str, int]:
    """Bytes of memory that this process holds now: all of it, and what no file stands for."""
    status = Path("/proc/self/status")
    if not status.exists():
        peak = peak_memory()
        return {"resident": peak, "private": peak}
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {
        name: int(fields[field].split()[0]) * 1024 for name, field in (("resident", "VmRSS"), ("private", "RssAnon"))
    }


def one_thread() -> None:
    """Begin this script anew with one thread on one core, unless that is how it runs."""
    if os.environ.get("OMP_NUM_THREADS") == "1":
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment(**ONE_THREAD))


def folder_bytes(folder: Path) -> int:
    """Bytes that the files of a folder take on disk (blocks, so that holes do not count)."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def describe(packages: tuple[str, ...] = ("numpy", "turbovec", "rabitqlib", "faiss-cpu")) -> dict[str, Any]:
    """Commit, time, machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain", "--", "src", "bench")),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
    }


def keep(name: str, figures: dict[str, Any]) -> Path:
    """Write figures to ``results/NAME-DATE.json``; a later run of one day takes the place of an earlier."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path


def table(name: str, header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table between the markers by which documents take it over."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [header, rule, *rows]
    ]
    return "\n".join([f"<!-- {name}: begin -->", *lines, f"<!-- {name}: end -->"])


def publish(tables: list[str]) -> None:
    """Put tables in the place of those with the same markers in the documents that show them."""
    for document in DOCUMENTS:
        text = old = document.read_text(encoding="utf-8")
        for new in tables:
            first, last = new.splitlines()[0], new.splitlines()[-1]
            before, mark, rest = text.partition(first)
            if mark and last in rest:
                text = before + new + rest.partition(last)[2]
        if text != old:
            document.write_text(text, encoding="utf-8")


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, with samespace and the bench's modules to be found."""
    paths = [str(SOURCE), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    # Modules are compiled once, as after any installation, and not by every process.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=SOURCE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
