"""``samespace embed``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from samespace.cli import costs, options, output
from samespace.cli.exits import INCOMPLETE, Interrupted
from samespace.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samespace.encoders.providers.metering import Estimate, Spent
    from samespace.scale import EmbedReport


@click.command(
    "embed",
    cls=options.Command,
    examples=(
        "samespace embed shards --into notes.ss --text abstract --id number",
        "samespace embed 'shards/*.parquet' --into notes.ss --text abstract --on ray --workers 2",
        "samespace embed s3://bucket/shards --into qdrant://host/notes --text abstract --on ray --address auto",
    ),
)
@click.argument("shards", nargs=-1, required=True, metavar="SHARDS...")
@click.option("--into", required=True, metavar="COLLECTION", help="The collection; made if it is not there.")
@options.encoder
@click.option("--text", required=True, metavar="COLUMN", help="The column to embed.")
@click.option("--id", "id_", metavar="COLUMN", help="The column of ids; made from the texts if left out.")
@click.option("--metadata", metavar="COLUMNS", help="Columns to keep, with commas between; all others if left out.")
@click.option(
    "--on",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in this process, or by workers on Ray.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="On Ray: workers; one to every four CPUs.")
@click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="On Ray: CPUs of each worker.")
@click.option("--address", metavar="URL", help="A Ray cluster that is running; one is started here if left out.")
@click.option("--skip-bad", is_flag=True, help="Pass over rows and shards that cannot be used, and tell of them.")
@click.option("--again", is_flag=True, help="Compare rows with COLLECTION that an earlier run had finished, too.")
@options.max_cost
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait for writers or a server.")
@options.as_json
def embed_command(
    shards: Sequence[str],
    into: str,
    encoder: str | None,
    text: str,
    id_: str | None,
    metadata: str | None,
    on: Literal["local", "ray"],
    workers: int | None,
    cpus: int | None,
    address: str | None,
    skip_bad: bool,
    again: bool,
    max_cost: float | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Embed the rows of SHARDS, and add them to a collection, here or on many machines.

    SHARDS are Parquet or JSON lines: files, folders, patterns, or URLs such as s3://bucket/shards. What is done is kept
    with the collection, so after Ctrl-C, or the loss of a machine, the same command goes on from where it was.
    """
    from samespace.scale import embed
    from samespace.stores import shown

    if on == "local":
        for option, value in (("--workers", workers), ("--cpus", cpus), ("--address", address)):
            if value is not None:
                raise click.UsageError(f"{option} needs --on ray.")
    columns = None if metadata is None else [name.strip() for name in metadata.split(",") if name.strip()]
    with output.notes(as_json=as_json), progress("embedding", quiet=as_json) as meter:

        def show(rows: int, total: int | None) -> None:
            if total is not None and meter.total is None:
                meter.expect(total)
            meter.advance(rows)

        try:
            report = embed(
                shards,
                into,
                encoder,
                text=text,
                id=id_,
                metadata=columns,
                on=on,
                workers=workers,
                cpus=cpus,
                address=address,
                skip_bad=skip_bad,
                again=again,
                timeout=timeout,
                max_cost=max_cost,
                tell_cost=_Tell(max_cost, as_json=as_json),
                progress=show,
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted. {meter.done:,} rows were embedded; run the same command again to go on from there."
            ) from None
    if as_json:
        output.document({**asdict(report), "seconds": round(report.seconds, 3)})
    else:
        _show(shown(into), report)
    return INCOMPLETE if report.bad.count else 0


class _Tell:
    """Says what it will cost, and what it cost."""

    def __init__(self, max_cost: float | None, *, as_json: bool) -> None:
        self._max_cost, self._as_json = max_cost, as_json

    def expected(self, estimate: Estimate | None) -> None:
        if estimate is None:
            said = "what this costs could not be estimated, since none of the rows that were tried can be used"
            output.note(said, as_json=self._as_json)
        else:
            costs.note_estimate(estimate, self._max_cost, as_json=self._as_json, is_sampled=True)

    def spent(self, spent: Spent, *, at_least: bool) -> None:
        if not self._as_json:
            costs.note_spent(spent, at_least=at_least)


def _show(into: str, report: EmbedReport) -> None:
    counts = {"added": report.added, "updated": report.replaced, "unchanged": report.unchanged}
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what == "added")
    rate = f", {report.rows / report.seconds:,.0f}/s" if report.rows and report.seconds > 1 else ""
    rows, shards = output.plural(report.rows, "row"), output.plural(report.shards, "shard")
    workers = f" by {report.workers} workers" if report.workers > 1 else ""
    click.echo(f"{into}: {said}. {rows} of {shards} read in {report.seconds:.1f} s{workers}{rate}.")
    if report.remembered:
        had = output.plural(report.remembered, "shard was", "shards were")
        output.note(f"{had} done by an earlier run, and not read again; --again compares them")
    if report.repeated:
        output.note(f"{output.plural(report.repeated, 'part was', 'parts were')} done again, since a worker died")
    if report.truncated:
        output.note(
            f"{output.plural(report.truncated, 'row is', 'rows are')} longer than the encoder reads; "
            "the vectors stand for their beginnings",
            kind="warning",
        )
    if report.bad.count:
        lines = list(report.bad.rows)
        if report.bad.count > len(lines):
            lines.append(f"and {report.bad.count - len(lines):,} more")
        output.note("\n  ".join([f"passed over {report.bad.count:,} that cannot be used", *lines]), kind="warning")
