"""What goes to stdout is what was asked for; everything else (notes, progress, errors) goes to stderr."""

from __future__ import annotations

import json
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from samespace.errors import PromptWarning, RecallWarning, TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console
    from rich.table import Table

    from samespace.hits import Hit, Row

__all__ = [
    "clean",
    "console",
    "document",
    "facts",
    "hit_dict",
    "note",
    "notes",
    "plural",
    "row_dict",
    "size",
    "table",
]

# Control characters except tab and newline: a stored text must not be able to move a reader's cursor.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def console(*, err: bool = False) -> Console:
    """Make a console that highlights nothing by itself; rich decides on colour by terminal and NO_COLOR."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, markup=False, emoji=False, soft_wrap=False)


def document(value: Any) -> None:
    """Write one JSON document, indented, to stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def note(message: str, *, as_json: bool = False, kind: Literal["note", "warning"] = "note") -> None:
    """Write one line to stderr; with ``as_json`` as a JSON object."""
    if as_json:
        click.echo(json.dumps({kind: message}, ensure_ascii=False), err=True)
    else:
        style = "dim" if kind == "note" else "yellow"
        console(err=True).print(f"{kind}: {clean(message)}", style=style, soft_wrap=True)


@contextmanager
def notes(*, as_json: bool) -> Iterator[None]:
    """Show the warnings of the library as notes once the body is done, each text once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        for kind in (TruncationWarning, RecallWarning, PromptWarning):
            warnings.simplefilter("always", kind)
        try:
            yield
        finally:
            for message in dict.fromkeys(str(w.message) for w in caught):
                note(message, as_json=as_json, kind="warning")


def hit_dict(hit: Hit) -> dict[str, Any]:
    """Turn a hit into JSON types."""
    return {"id": hit.id, "score": hit.score, "content": hit.content, "metadata": dict(hit.metadata)}


def row_dict(row: Row, *, vector: bool) -> dict[str, Any]:
    """Turn a row into JSON types; the vector, which is long, only if asked for."""
    values: dict[str, Any] = {
        "id": row.id,
        "content": row.content,
        "metadata": dict(row.metadata),
        "tokens_seen": row.tokens_seen,
        "tokens_total": row.tokens_total,
        "truncated": row.truncated,
    }
    if vector:
        values["vector"] = [float(x) for x in row.vector]
    return values


def clean(text: str) -> str:
    """``text`` without control characters, ready for a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").expandtabs(4))


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2 rows``, ``12,000 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: float) -> str:
    """Bytes as people read them: ``512 bytes``, ``1.5 MB`` (a million bytes)."""
    if count < 1000:
        return f"{int(count)} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000 or unit == "GB":
            return f"{count:.1f} {unit}"
    raise AssertionError("unreachable")  # pragma: no cover


def facts(pairs: Mapping[str, str]) -> Table:
    """Names and values in two columns."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        grid.add_row(name, clean(value))
    return grid


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make an empty table in the house's look; the columns in ``right`` are aligned right."""
    from rich import box
    from rich.table import Table

    empty = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        empty.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return empty
