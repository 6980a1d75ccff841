"""Curves of recall against queries a second: in the terminal, and as a picture."""

from __future__ import annotations

import importlib.util
import math
from itertools import pairwise
from typing import TYPE_CHECKING

from samespace.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from samespace.recall.tune import Tuning

__all__ = ["chart", "draw", "require_matplotlib"]

# Told apart by everyone (Okabe and Ito, "Color Universal Design", 2008), and by their marks where there is no colour.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#117733")
_MARKS = "●▲■◆▼★○△"
_PICTURE_MARKS = "o^sDv*PX"
_MOST = 0.9999  # recall at the right border; what lies beyond is drawn on it
_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, _MOST)
_HEIGHT = 16  # lines of the terminal's chart
_LEFT = 9  # columns of its labels


def _across(recall: float) -> float:
    """Where a recall lies from left to right: each tenth of what is missed takes the same width."""
    return -math.log10(1.0 - min(recall, _MOST))


def _lines(tuning: Tuning) -> Iterator[tuple[str, str, int, list[tuple[float, float]], tuple[float, float] | None]]:
    """Each engine's name, colour, number, points (across, queries a second) and the chosen one of them."""
    for number, curve in enumerate(tuning.curves):
        points = [point for point in curve.points if point.k == 10]
        places = [(_across(point.recall.recall), 1.0 / point.seconds) for point in points]
        is_chosen = curve.engine == tuning.engine and tuning.point in points
        chosen = places[points.index(tuning.point)] if is_chosen and tuning.point is not None else None
        yield curve.engine, _COLOURS[number % len(_COLOURS)], number, places, chosen


def _ticks(tuning: Tuning) -> tuple[float, float, list[tuple[float, str]]]:
    """The left and right border, and the recalls that are written below."""
    lowest = min(_across(tuning.recall), *(x for *_, places, _ in _lines(tuning) for x, _ in places))
    shown = [tick for tick in _TICKS if _across(tick) >= lowest]
    below = max((tick for tick in _TICKS if _across(tick) <= lowest), default=0.0)
    ticks = sorted({below, *shown})
    return (
        _across(ticks[0]),
        _across(_MOST),
        [(_across(tick), f"{tick:g}{'+' if tick == _MOST else ''}") for tick in ticks],
    )


def chart(tuning: Tuning, console: Console) -> Text:
    """Draw the curves of dots, eight to a character, with a mark at each setting that was measured."""
    from rich.text import Text

    if not console.encoding.lower().startswith("utf"):
        return Text("")
    width = max(20, min(console.width, 100) - _LEFT - 2)
    left, right, ticks = _ticks(tuning)
    paces = [math.log10(pace) for *_, places, _ in _lines(tuning) for _, pace in places]
    bottom, top = min(paces) - 0.1, max(paces) + 0.1

    def column(across: float) -> float:
        return (across - left) / max(right - left, 1e-9) * (width - 1)

    def row(pace: float) -> float:
        return (top - math.log10(pace)) / (top - bottom) * (_HEIGHT - 1)

    declared = round(column(_across(tuning.recall)))
    cells = {(line, declared): ("┊", "dim") for line in range(_HEIGHT)}
    for _, colour, _, places, _ in _lines(tuning):
        cells |= {cell: (dots, colour) for cell, dots in _dots([(column(x), row(y)) for x, y in places]).items()}
    for _, colour, number, places, chosen in _lines(tuning):
        for x, y in places:
            style = f"bold reverse {colour}" if (x, y) == chosen else colour
            cells[round(row(y)), round(column(x))] = (_MARKS[number % len(_MARKS)], style)

    rounds = [digit * 10.0**power for digit in (2, 5, 1) for power in range(-3, 9)]  # the last wins a line
    labels = {round(row(pace)): f"{pace:,g}" for pace in rounds if bottom <= math.log10(pace) <= top}
    drawn = Text(f"{'queries/s':>{_LEFT}} ")
    for name, colour, number, _, chosen in _lines(tuning):
        drawn.append(f"   {_MARKS[number % len(_MARKS)]} {name}", colour)
        drawn.append(" (chosen)" if chosen is not None else "")
    drawn.append("\n")
    for line in range(_HEIGHT):
        drawn.append(f"{labels.get(line, ''):>{_LEFT}} │", "dim")
        for at in range(width):
            drawn.append(*cells.get((line, at), (" ", "")))
        drawn.append("\n")
    drawn.append(" " * (_LEFT + 1) + "└" + "─" * width + "\n", "dim")
    drawn.append(" " * (_LEFT + 2) + _scale([(round(column(x)), tick) for x, tick in ticks], width) + "\n", "dim")
    return drawn.append(" " * (_LEFT + 2) + f"recall@10, ┊ declared: {tuning.recall:g}\n")


def _dots(places: list[tuple[float, float]]) -> dict[tuple[int, int], str]:
    """Characters of Braille, by line and column, for straight lines between places (column, line)."""
    bits: dict[tuple[int, int], int] = {}
    for (x, y), (to_x, to_y) in pairwise(places):
        steps = max(1, math.ceil(max(abs(to_x - x) * 2, abs(to_y - y) * 4)))
        for step in range(steps + 1):
            across = round((x + (to_x - x) * step / steps) * 2)
            down = round((y + (to_y - y) * step / steps) * 4)
            # The dots are numbered down the left side, then down the right, and the last two below.
            bit = (0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80)[across % 2 * 4 + down % 4]
            bits[down // 4, across // 2] = bits.get((down // 4, across // 2), 0) | bit
    return {cell: chr(0x2800 + bit) for cell, bit in bits.items()}


def _scale(ticks: list[tuple[int, str]], width: int) -> str:
    """Write ticks below their columns, as many as there is room for; the outer ones first."""
    labels = [" "] * width
    for at, tick in [ticks[0], *reversed(ticks[1:])]:
        start = min(max(at - len(tick) // 2, 0), width - len(tick))
        if not "".join(labels[max(start - 1, 0) : start + len(tick) + 1]).strip():
            labels[start : start + len(tick)] = tick
    return "".join(labels).rstrip()


def require_matplotlib() -> None:
    """Raise MissingExtra where there is no matplotlib, without loading it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("A picture of the curves", "plot")


def draw(tuning: Tuning, path: Path) -> None:
    """Draw the curves into a file, whose suffix says of which kind.

    Raises:
        MissingExtra: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    left, right, ticks = _ticks(tuning)
    axes.axvline(_across(tuning.recall), color="black", linewidth=1, linestyle=":", label=f"declared {tuning.recall:g}")
    for name, colour, number, places, chosen in _lines(tuning):
        marker = _PICTURE_MARKS[number % len(_PICTURE_MARKS)]
        axes.plot(*zip(*places, strict=True), color=colour, marker=marker, markersize=5, label=name)
        if chosen is not None:
            axes.plot(*chosen, marker="o", markersize=13, markerfacecolor="none", color="black", linestyle="none")
            axes.annotate(f"chosen: {name}", chosen, textcoords="offset points", xytext=(10, 10))
    axes.set_yscale("log")
    margin = 0.03 * max(right - left, 1e-9)
    axes.set_xlim(left - margin, right + margin)
    axes.set_xticks([x for x, _ in ticks], [tick for _, tick in ticks])
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries a second, one thread")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(path, dpi=150)
