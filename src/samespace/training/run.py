"""What every training run shares: its progress, its checkpoint on disk, and the report that it leaves."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from samespace.errors import InvalidInput, NotFound
from samespace.training.checkpoint import Checkpoint, disk, write_file

__all__ = [
    "Checkpoint",
    "Progress",
    "Report",
    "Step",
    "describe_file",
    "digest_texts",
    "disk",
    "finish",
    "held_interrupt",
    "stage",
    "write_card",
    "write_curve",
    "write_file",
]


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run stands.

    Attributes:
        done: of the whole, in ``unit``.
        total: the whole; 0 where it is not known.
        loss: mean of the latest steps; NaN where there is none yet.
        rate: of ``unit`` a second.
        unit: what is counted: ``"steps"``, ``"words"``, ``"texts"``.
        stage: what is being done, as a word or two for the reader of a bar.
    """

    done: int
    total: int
    loss: float
    rate: float
    unit: str = "steps"
    stage: str = "training"


Progress = Callable[[Step], None]
"""Called, in the thread that asked, now and then while a run goes on."""


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        folder: where the model is.
        kind: ``"words"``, ``"bert"``, ``"pairs"`` or ``"static"``.
        before: figures on held-out data before training, by name; empty where there was no model before.
        after: the same figures after it.
        curve: (step, loss), in order.
        seconds: of training, the runs that were interrupted included.
        settings: what the run was asked for; a checkpoint belongs to these.
        data: what it was made from: files, counts, digests, the model before.
        notes: sentences for the model card, such as one on the licence of the model before.
    """

    folder: Path
    kind: str
    before: dict[str, float]
    after: dict[str, float]
    curve: list[tuple[int, float]]
    seconds: float
    settings: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "curve": [list(point) for point in self.curve],
            "seconds": self.seconds,
            "settings": self.settings,
            "data": self.data,
            "notes": list(self.notes),
        }


def stage(progress: Progress | None) -> Callable[[str], None]:
    """Make a function that tells ``progress`` what is being done before the first step."""

    def tell(name: str) -> None:
        if progress is not None:
            progress(Step(0, 0, math.nan, 0.0, stage=name))

    return tell


@contextmanager
def held_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C until the body asks for it, so that no step is left half done. A second comes at once.

    Yields:
        a function that says whether Ctrl-C was pressed. In another thread than the main one, or where the
        program has a handler of its own, it always says no, and Ctrl-C is as before.
    """
    asked = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield asked.is_set
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def describe_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, as a checkpoint and a model card note it.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is empty.
        StorageError: it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    with disk(f"Cannot read {path}"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not (size := path.stat().st_size):
        raise InvalidInput(f"{path} is empty; expected texts to train on.")
    return {"file": path.name, "bytes": size, "sha256": digest}


def digest_texts(texts: Iterable[str]) -> dict[str, Any]:
    """Count and SHA-256 of texts that came from no file, under the same names."""
    digest, count = hashlib.sha256(), 0
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        count += 1
    return {"texts": count, "sha256": digest.hexdigest()}


def finish(report: Report, checkpoint: Checkpoint) -> None:
    """Write what stands beside a trained model: the card, the curve and the Space; then the checkpoint goes."""
    from samespace.encoders import encoder

    write_curve(report.folder, report)
    write_card(report.folder, report)
    space = encoder(str(report.folder.absolute())).space
    write_file(report.folder / "samespace.json", json.dumps(space.to_dict(), indent=2).encode())
    checkpoint.remove()


def write_curve(folder: Path, report: Report) -> None:
    """Write the loss of each noted step into ``curve.json``, and into ``curve.png`` where matplotlib is installed."""
    points = [{"step": step, "loss": loss} for step, loss in report.curve]
    write_file(folder / "curve.json", json.dumps(points).encode())
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return  # the extra "plot"; the figures are there without it
    if not report.curve:
        return
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*report.curve, strict=True), color="#0072B2")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(f"{report.kind}: {report.folder.name}")
    axes.grid(visible=True, alpha=0.25)
    figure.savefig(folder / "curve.png", dpi=120)


_PACKAGES = ("samespace", "numpy", "torch", "transformers", "sentence-transformers", "tokenizers", "peft")
_PACKAGES_OF = {"words": ("samespace", "numpy", "gensim")}


def write_card(folder: Path, report: Report) -> None:
    """Write the model card, ``README.md``: what the model was made from, how, and whether it got better."""
    library = "gensim" if report.kind == "words" else "sentence-transformers"
    found = {name: _version(name) for name in _PACKAGES_OF.get(report.kind, _PACKAGES)}
    figures = [
        (name, _figure(report.before.get(name)), _figure(report.after.get(name)))
        for name in {**report.before, **report.after}
    ]
    lines = [
        "---",
        f"library_name: {library}",
        f"tags: [samespace, {report.kind}]",
        "---",
        "",
        f"# {report.folder.name}",
        "",
        f"Made by `samespace train {report.kind}` in {report.seconds:,.0f} seconds. Use it with",
        f"`samespace index FILES --into notes.ss --encoder ./{report.folder.name}`.",
        "",
        "## Before and after, on held-out data",
        "",
        *_rows(("figure", "before", "after"), figures),
        "## Made from",
        "",
        *_rows(("", ""), _flat(report.data)),
        "## Settings",
        "",
        *_rows(("", ""), _flat(report.settings)),
        "## Libraries",
        "",
        *_rows(("", ""), [(name, number) for name, number in found.items() if number]),
        *(line for note in report.notes for line in (note, "")),
    ]
    write_file(folder / "README.md", "\n".join(lines).encode())


def _rows(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["None.", ""]
    table = [header, ("---",) * len(header), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table), ""]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((f"{prefix}{name}", f"{value:,}" if type(value) is int else str(value)))
    return rows


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
