"""``samespace tune``: measure engines on a collection's own vectors, and use the one that is best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from samespace.cli import options, output
from samespace.cli.exits import Interrupted
from samespace.cli.progress import stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from samespace.recall.estimate import Estimate
    from samespace.recall.tune import Curve, Point, Tuning

__all__ = ["interval", "said"]

_MIB = 1 << 20


@click.command(
    "tune",
    cls=options.Command,
    examples=(
        "samespace tune notes.ss --recall .99",
        "samespace tune notes.ss --engines graph,hnsw,ivf --plot curves.png",
    ),
)
@options.collection
@options.recall("Declare this recall from now on, above 0 and at most 1; what is declared if left out.")
@click.option(
    "--engines",
    metavar="NAMES",
    help="Engines to measure, with commas between, or all; scan and the best built engine if left out.",
)
@options.plot("Also draw the curves into a .png, .svg or .pdf file.")
@options.as_json
def tune_command(collection: str, recall: float | None, engines: str | None, plot: Path | None, as_json: bool) -> None:
    """Find the engine that answers soonest at a declared recall, and search COLLECTION with it.

    Recall is the part of the true nearest rows that a search finds. It is measured on the collection's vectors
    and its latest queries. Building an engine can take minutes; Ctrl-C leaves everything as it was.
    """
    from samespace.opening import open as open_collection
    from samespace.stores import shown

    names = None if engines is None else _names(engines)
    with open_collection(collection, create=False) as rows, stages("tuning", quiet=as_json) as show:
        try:
            tuning = rows.tune(recall, names, show)
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted. {shown(collection)} is searched as before.") from None
    if as_json:
        output.document(tuning.to_dict())
    else:
        _show(shown(collection), tuning)
    if plot is not None:
        from samespace.cli.curves import draw

        draw(tuning, plot)
        output.note(f"the curves are drawn in {plot}", as_json=as_json)


def _names(engines: str) -> list[str]:
    if engines.strip() == "all":
        from samespace.indexes import ENGINES

        return [name for name, row in ENGINES.items() if row.available]
    names = [name.strip() for name in engines.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--engines must name engines, with commas between, or be all.")
    return names


def _show(collection: str, tuning: Tuning) -> None:
    from samespace.cli.curves import chart

    console, point = output.console(), tuning.point
    click.echo(f"{collection}: {said(tuning)}")
    if point is None:
        output.note("no engine that was measured reaches it, so every search compares with every vector")
    measured = " and ".join(f"{count:,} {_POOLS.get(name, name)}" for name, count in tuning.pools.items())
    output.note(f"measured with {measured}")
    console.print(_table(tuning))
    console.print(chart(tuning, console), end="")


_POOLS = {"own": "queries made of its own rows", "past": "queries of the past"}


def said(tuning: Tuning) -> str:
    """The choice in one sentence."""
    point = tuning.point
    if point is None:
        return f"{tuning.engine}; recall {tuning.recall:g} is declared."
    setting = "" if tuning.effort is None else f" at effort {tuning.effort:,}"
    return (
        f"{tuning.engine}{setting} finds {interval(point.recall)} of the 10 nearest, {_pace(point)} queries/s; "
        f"recall {tuning.recall:g} is declared."
    )


def _table(tuning: Tuning) -> Table:
    columns = ("queries/s", "build", "memory")
    table = output.table("", "engine", "effort", "recall@10", *columns, right=("effort", *columns))
    table.caption = f"✓ reaches {tuning.recall:g} with confidence, → the fastest of these"
    for curve, point in _rows(tuning):
        is_chosen = curve.engine == tuning.engine and point == tuning.point
        table.add_row(
            "→" if is_chosen else "✓" if point.reaches(tuning.recall) else "",
            curve.engine,
            f"{point.effort:,}" if point.effort else "",
            interval(point.recall),
            _pace(point),
            f"{curve.build_seconds:,.1f} s",
            f"{curve.memory / _MIB:,.1f} MiB",
            style="bold" if is_chosen else "",
        )
    return table


def _rows(tuning: Tuning) -> Iterator[tuple[Curve, Point]]:
    """Of each engine the setting that reaches the declared recall, or its highest, and those beside it."""
    for curve in tuning.curves:
        points = [point for point in curve.points if point.k == 10]
        reached = curve.effort_for(tuning.recall, 10)
        middle = len(points) - 1 if reached is None else points.index(reached)
        yield from ((curve, point) for point in points[max(0, middle - 1) : middle + 2])


def interval(found: Estimate) -> str:
    """A recall with its 95 % interval."""
    return f"{found.recall:.4f} ({found.low:.4f}–{found.high:.4f})"


def _pace(point: Point) -> str:
    return f"{1 / point.seconds:,.0f}"
