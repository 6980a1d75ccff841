"""``samespace export`` and ``samespace import``: a collection as one file that other programs read."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.exits import Interrupted
from samespace.cli.progress import progress
from samespace.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from samespace.collection import Collection


@click.command(
    "export",
    cls=options.Command,
    examples=("samespace export notes.ss notes.parquet", "samespace export notes.ss - | jq .id"),
)
@options.collection
@click.argument("file")
@options.where
@options.as_json
def export_command(collection: str, file: str, where: Mapping[str, Any] | None, as_json: bool) -> None:
    """Write the rows of COLLECTION, vectors and space included, to FILE.

    The suffix says how: .jsonl or .parquet. A FILE of - is JSONL on standard output. The first line of JSONL
    is a header with the space.
    """
    from samespace.interchange import export_collection
    from samespace.opening import open as open_collection

    with open_collection(collection, create=False) as rows:
        if file == "-":
            export_collection(rows, sys.stdout, where)
            return
        with progress("exporting", rows.count(where), quiet=as_json) as meter:
            written = export_collection(rows, Path(file), where, progress=meter.advance)
    if as_json:
        output.document({"rows": written, "file": file})
    else:
        click.echo(f"Wrote {output.plural(written, 'row')} to {file}.")


@click.command(
    "import",
    cls=options.Command,
    examples=("samespace import notes.parquet --into notes.ss",),
)
@click.argument("file")
@click.option("--into", required=True, metavar="COLLECTION", help="The collection; made if it is not there.")
@click.option("--encoder", metavar="NAME", help="The encoder of a new collection; the file's if left out.")
@options.as_json
def import_command(file: str, into: str, encoder: str | None, as_json: bool) -> None:
    """Add the rows of a FILE that 'samespace export' wrote; a row whose id is there is replaced.

    Vectors come in only if their space is the collection's. A FILE of - is JSONL on standard input.
    """
    from samespace.interchange import import_collection

    with (
        _file(file) as path,
        _collection(into, path, encoder) as rows,
        progress("importing", quiet=as_json) as meter,
    ):
        try:
            report = import_collection(rows, path, progress=meter.advance)
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted. The first {meter.done:,} rows are in {into}.") from None
    if as_json:
        output.document(report._asdict())
    else:
        click.echo(f"{into}: {report.added:,} added, {report.replaced:,} replaced.")


@contextmanager
def _file(name: str) -> Iterator[Path]:
    """Yield the file itself, or standard input as a file."""
    if name != "-":
        yield Path(name)
        return
    with TemporaryDirectory(prefix="samespace-") as folder:
        path = Path(folder, "standard-input.jsonl")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield path
        except InvalidInput as error:
            raise InvalidInput(str(error).replace(str(path), "<stdin>")) from error


def _collection(into: str, path: Path, encoder: str | None) -> Collection:
    """Open or make the collection; a new one has the file's space, and its encoder if that is known."""
    from samespace.encoders import MODELS
    from samespace.interchange import read_header
    from samespace.opening import open as open_collection

    header = read_header(path)
    model = MODELS.get(header.encoder or "")
    if encoder is None and model is not None and model.space == header.space:
        encoder = model.name
    return open_collection(into, encoder, space=header.space)
