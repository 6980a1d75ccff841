"""``samespace index``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import costs, options, output
from samespace.cli.exits import INCOMPLETE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samespace.cli.inputs import Inputs
    from samespace.cli.intake import Tally
    from samespace.collection import Collection
    from samespace.encoders.providers.metering import Estimate, Spent
    from samespace.sources import Columns

_SHOWN_SKIPS = 10


@click.command(
    "index",
    cls=options.Command,
    examples=(
        "samespace index docs README.md --into notes.ss",
        "samespace index docs --into notes.ss --sync",
        "samespace index talks.csv --into talks.ss --text abstract --id number --metadata year,speaker",
        "man gzip | samespace index - --into notes.ss",
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option("--into", required=True, metavar="COLLECTION", help="The collection; made if it is not there.")
@options.encoder
@click.option("--text", metavar="COLUMN", help="Of a table: the column to embed.")
@click.option("--id", "id_", metavar="COLUMN", help="Of a table: the column of ids; made from the texts if left out.")
@click.option("--metadata", metavar="COLUMNS", help="Of a table: columns to keep beside the text, with commas between.")
@click.option("--sync", is_flag=True, help="Also delete rows that these PATHS gave once and do not give now.")
@options.threads
@options.max_cost
@options.as_json
def index_command(
    paths: Sequence[str],
    into: str,
    encoder: str | None,
    text: str | None,
    id_: str | None,
    metadata: str | None,
    sync: bool,
    threads: int | None,
    max_cost: float | None,
    as_json: bool,
) -> int:
    """Read PATHS, cut them into passages, and add these to a collection.

    PATHS are folders, files (text, Markdown, reStructuredText, HTML, source code, PDF), tables (CSV, TSV,
    JSONL, Parquet), or - for standard input: text, or with --text JSONL. A second run embeds only what
    changed, and after Ctrl-C the same command goes on from where it was. Nothing is deleted without --sync.
    """
    from samespace.cli.inputs import Inputs
    from samespace.cli.intake import take_in
    from samespace.opening import open as open_collection
    from samespace.stores import shown

    inputs = Inputs.of(paths, _columns(text, id_, metadata))
    begun = time.perf_counter()
    with open_collection(into, encoder, threads=threads, max_cost=max_cost) as rows:
        if rows.require_encoder().paid:
            again = Inputs(inputs.paths, inputs.tables, stdin=False, columns=inputs.columns)
            costs.note_estimate(_estimate(rows, again), max_cost, as_json=as_json)
        try:
            tally = take_in(rows, inputs.passages(rows), label="indexing", quiet=as_json)
        finally:  # after an error and Ctrl-C too: it was paid for
            if not as_json:
                costs.note_spent(getattr(rows.encoder, "spent", None))
        gone = inputs.gone(tally.ids)
        removed = rows.delete(gone) if sync and gone else 0
        left = len(gone) - removed
        spent: Spent | None = getattr(rows.encoder, "spent", None)
    seconds = time.perf_counter() - begun
    if as_json:
        output.document(_as_json(inputs, tally, removed, seconds) | ({"spent": asdict(spent)} if spent else {}))
    else:
        _show(shown(into), inputs, tally, removed, left, seconds)
    return INCOMPLETE if inputs.named_but_skipped or not inputs.files else 0


def _estimate(rows: Collection, inputs: Inputs) -> Estimate:
    """What these inputs cost at most. Reading them twice is cheap."""
    encoder: Any = rows.require_encoder()
    estimate: Estimate = encoder.estimate(passage.content for passage in inputs.passages(rows))
    return estimate


def _columns(text: str | None, id_: str | None, metadata: str | None) -> Columns | None:
    if text is None:
        if id_ or metadata:
            raise click.UsageError("--id and --metadata are for tables, and need --text.")
        return None
    from samespace.sources import Columns

    names = [name.strip() for name in (metadata or "").split(",") if name.strip()]
    if "path" in names:
        raise click.UsageError("The metadata 'path' is the file that a row came from; no column can be kept as it.")
    return Columns(text, id_, names)


def _as_json(inputs: Inputs, tally: Tally, removed: int, seconds: float) -> dict[str, Any]:
    return {
        "added": tally.added,
        "replaced": tally.replaced,
        "unchanged": tally.unchanged + inputs.unchanged_passages,
        "removed": removed,
        "truncated": tally.truncated,
        "files": inputs.files,
        "skipped": [{"path": path, "reason": reason} for path, reason in inputs.skipped],
        "seconds": round(seconds, 3),
    }


def _show(into: str, inputs: Inputs, tally: Tally, removed: int, left: int, seconds: float) -> None:
    unchanged = tally.unchanged + inputs.unchanged_passages
    counts = {"added": tally.added, "updated": tally.replaced, "unchanged": unchanged, "removed": removed}
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what == "added")
    passages = output.plural(tally.added + tally.replaced + unchanged, "passage")
    rate = f", {tally.done / seconds:,.0f}/s" if tally.added == tally.done and seconds > 1 else ""
    files = output.plural(inputs.files, "file")
    click.echo(f"{into}: {said}. {passages} of {files} in {seconds:.1f} s{rate}.")
    if tally.truncated:
        output.note(
            f"{output.plural(tally.truncated, 'row is', 'rows are')} longer than the encoder reads; "
            "the vectors stand for their beginnings",
            kind="warning",
        )
    if left:
        output.note(f"{output.plural(left, 'row is', 'rows are')} no longer in these files; --sync deletes them")
    if inputs.skipped:
        lines = [f"{path}: {reason}" for path, reason in inputs.skipped[:_SHOWN_SKIPS]]
        if len(inputs.skipped) > _SHOWN_SKIPS:
            lines.append(f"and {len(inputs.skipped) - _SHOWN_SKIPS:,} more; --json lists them all")
        output.note("\n  ".join([f"skipped {output.plural(len(inputs.skipped), 'file')}", *lines]))
    if not inputs.files:
        output.note("there is nothing to read in these paths")
