"""``samespace copy`` and ``samespace verify``: a collection moved whole, and looked over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.exits import INCOMPLETE, Interrupted
from samespace.cli.progress import progress

if TYPE_CHECKING:
    from samespace.keeping.verify import VerifyReport

_POWER = 0.99


@click.command(
    "copy",
    cls=options.Command,
    examples=(
        "samespace copy notes.ss 'postgresql://localhost/app?collection=notes'",
        "samespace copy qdrant://localhost:6333/notes notes.ss",
    ),
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--leave-foreign", is_flag=True, help="Leave out rows that another program wrote or changed.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds to wait for a server's answer.",
)
@options.as_json
def copy_command(source: str, target: str, leave_foreign: bool, timeout: float, as_json: bool) -> None:
    """Copy the collection FROM a folder or URL TO another, where nothing is yet.

    Rows go over as they are: no vector is made again. The same command goes on with a copy that was stopped. At the
    end, counts, checksums and searches of both sides are compared.
    """
    from samespace.keeping.copy import copy_collection
    from samespace.opening import stand
    from samespace.stores import shown

    from_store = stand(source, timeout=timeout)
    try:
        total = from_store.store.count()
    finally:
        from_store.close()
    with progress("copying and verifying", 2 * total, quiet=as_json) as meter:
        try:
            report = copy_collection(
                source,
                target,
                leave_foreign=leave_foreign,
                timeout=timeout,
                progress=lambda _what, rows: meter.advance(rows),
            )
        except KeyboardInterrupt:
            raise Interrupted("Interrupted. The same command goes on from there.") from None
    if as_json:
        output.document(
            {
                "rows": report.rows,
                "copied": report.copied,
                "left": report.left,
                "seconds": round(report.seconds, 3),
                "searches": report.searches,
                "agreement": report.agreement,
            }
        )
        return
    pace = f", {report.copied / max(report.seconds, 1e-9):,.0f} a second" if report.copied else ""
    click.echo(f"Copied {output.plural(report.copied, 'row')}{pace}.")
    if report.left:
        output.note(f"{output.plural(report.left, 'row')} of another program left out")
    searches = output.plural(report.searches, "search", "searches")
    agreement = f"{report.agreement:.0%} of the hits of {searches}"
    click.echo(f"{shown(target)} has all {report.rows:,}. Checksums agree, and {agreement}.")


@click.command(
    "verify",
    cls=options.Command,
    examples=("samespace verify 'postgresql://localhost/app?collection=notes'",),
)
@options.collection
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Rows to show.")
@options.as_json
def verify_command(collection: str, limit: int, as_json: bool) -> int:
    """Read all of COLLECTION, and tell what does not belong.

    That is damage, rows that another program wrote or changed, and vectors of another model. The exit code is 1 if
    anything was found.
    """
    import warnings

    from samespace.errors import ForeignVectorsWarning
    from samespace.keeping.verify import verify_collection
    from samespace.opening import open as open_collection

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignVectorsWarning)  # it says to run this command
        rows = open_collection(collection, create=False)
    with rows, progress("verifying", 2 * rows.count(), quiet=as_json) as meter:
        report = verify_collection(rows, progress=meter.advance)
    if as_json:
        output.document(_as_json(report))
    else:
        _show(collection, report, limit)
    return 0 if report.is_clean else INCOMPLETE


def _as_json(report: VerifyReport) -> dict[str, Any]:
    return {
        "rows": report.rows,
        "problems": report.problems,
        "suspects": [suspect._asdict() for suspect in report.suspects],
        "learned_from": None if report.statistics is None else report.statistics.rows,
        "false_alarms": None if report.statistics is None else report.statistics.false_alarms,
        "power": None if report.statistics is None else report.statistics.power,
    }


def _show(collection: str, report: VerifyReport, limit: int) -> None:
    from samespace.stores import shown

    for problem in report.problems:
        click.echo(problem)
    if report.suspects:
        table = output.table("", "row", "why", "what")
        for suspect in report.suspects[:limit]:
            table.add_row(suspect.id, suspect.why, suspect.detail)
        output.console().print(table)
        if len(report.suspects) > limit:
            click.echo(f"… and {len(report.suspects) - limit:,} more (--limit, or --json for all).")
    found = output.plural(len(report.suspects), "row does", "rows do") if report.suspects else "all rows"
    belong = "not belong" if report.suspects else "belong"
    click.echo(f"{shown(collection)}: {report.rows:,} rows read; {found} {belong}.")
    if report.statistics is None:
        output.note("there are too few rows to know what vectors of this space are like")
    else:
        chance = report.statistics.false_alarms
        output.note(
            f"of rows like the {report.statistics.rows:,} that it learned from, 1 in {1 / chance:,.0f} would be told "
            "without being foreign"
        )
        if report.statistics.power < _POWER:
            output.note(
                f"and of vectors in random directions {report.statistics.power:.0%}, so the distribution proves little",
                kind="warning",
            )
