"""``samespace get`` and ``samespace delete``: rows by their ids."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.exits import INCOMPLETE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from samespace.hits import Row


@click.command("get")
@options.collection
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--vectors", is_flag=True, help="With --json: the vectors too.")
@options.as_json
def get_command(collection: str, ids: Sequence[str], vectors: bool, as_json: bool) -> int:
    """Show the rows of COLLECTION that have these IDs."""
    from samespace.opening import open as open_collection

    if vectors and not as_json:
        raise click.UsageError("--vectors needs --json: a vector is nothing to read.")
    with open_collection(collection, create=False) as rows:
        found = rows.get(ids)
    if as_json:
        output.document([output.row_dict(row, vector=vectors) for row in found])
    else:
        _show(found)
    absent = _absent(ids, {row.id for row in found})
    if absent:
        output.note(_not_there(absent), as_json=as_json)
    return INCOMPLETE if absent else 0


@click.command(
    "delete",
    cls=options.Command,
    examples=(
        "samespace delete notes.ss note-17 note-18",
        'samespace delete notes.ss --where \'{"year": {"$lt": 2020}}\'',
    ),
)
@options.collection
@click.argument("ids", nargs=-1, metavar="[ID]...")
@options.where
@click.option("--yes", is_flag=True, help="With --where: do not ask.")
@options.as_json
def delete_command(
    collection: str, ids: Sequence[str], where: Mapping[str, Any] | None, yes: bool, as_json: bool
) -> int:
    """Delete rows of COLLECTION: those with these IDs, or those that --where fits."""
    from samespace.opening import open as open_collection
    from samespace.stores import shown

    if bool(ids) == (where is not None):
        raise click.UsageError("Say which rows: either IDs or --where.")
    with open_collection(collection, create=False) as rows:
        if where is not None:
            count = rows.count(where)
            if count and not yes and not _agreed(f"Delete {output.plural(count, 'row')} of {shown(collection)}?"):
                output.note("nothing was deleted", as_json=as_json)
                return INCOMPLETE
            deleted, absent = rows.delete(where=where), []
        else:
            there = {row.id for row in rows.get(ids)}
            deleted, absent = rows.delete(ids), _absent(ids, there)
    if as_json:
        output.document({"deleted": deleted, "absent": absent})
    else:
        click.echo(f"Deleted {output.plural(deleted, 'row')}.")
        if absent:
            output.note(_not_there(absent))
    return 0 if deleted and not absent else INCOMPLETE


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: add --yes to delete without a question.")
    return click.confirm(question, err=True)


def _absent(ids: Sequence[str], there: set[str]) -> list[str]:
    return [name for name in dict.fromkeys(ids) if name not in there]


def _not_there(absent: Sequence[str]) -> str:
    shown = ", ".join(map(repr, absent[:5])) + (f" and {len(absent) - 5:,} more" if len(absent) > 5 else "")
    return f"{'no row has the id' if len(absent) == 1 else 'no rows have the ids'} {shown}"


def _show(rows: Sequence[Row]) -> None:
    from rich.text import Text

    console = output.console()
    for number, row in enumerate(rows):
        if number:
            console.print()
        console.print(Text(output.clean(row.id), "bold green"))
        facts = {name: value if isinstance(value, str) else repr(value) for name, value in row.metadata.items()}
        if row.truncated:
            facts["truncated"] = f"the encoder read {row.tokens_seen:,} of {row.tokens_total:,} tokens"
        if facts:
            console.print(output.facts(facts))
        if row.content is not None:
            console.print(Text(output.clean(row.content).strip("\n")))
