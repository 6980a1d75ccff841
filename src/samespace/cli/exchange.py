"""``samespace export`` and ``samespace import``: a collection as files and databases that other programs read."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import costs, options, output
from samespace.cli.exits import Interrupted
from samespace.cli.progress import progress
from samespace.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from samespace.collection import Collection
    from samespace.encoders.providers.metering import Spent
    from samespace.interchange import Source
    from samespace.space import Space


@click.command(
    "export",
    cls=options.Command,
    examples=(
        "samespace export notes.ss notes.parquet",
        "samespace export notes.ss 'chroma:./db?collection=notes'",
        "samespace export notes.ss - | jq .id",
    ),
)
@options.collection
@click.argument("target")
@options.where
@options.as_json
def export_command(collection: str, target: str, where: Mapping[str, Any] | None, as_json: bool) -> None:
    """Write the rows of COLLECTION, vectors and space included, to TARGET.

    A file's suffix says how: .jsonl, .parquet, .npy or .faiss, which two get their rows beside them. A database is
    lancedb:FOLDER?table=NAME or chroma:FOLDER?collection=NAME. A TARGET of - is JSONL on standard output. The first
    line of JSONL is a header with the space.
    """
    from samespace.interchange import export_collection
    from samespace.opening import open as open_collection

    _refuse_url(target)
    with open_collection(collection, create=False) as rows:
        if target == "-":
            export_collection(rows, sys.stdout, where)
            return
        with progress("exporting", rows.count(where), quiet=as_json) as meter:
            written = export_collection(rows, target, where, progress=meter.advance)
    if as_json:
        output.document({"rows": written, "file": target})
    else:
        click.echo(f"Wrote {output.plural(written, 'row')} to {target}.")


@click.command(
    "import",
    cls=options.Command,
    examples=(
        "samespace import notes.parquet --into notes.ss",
        "samespace import chroma:./db --into notes.ss",
        "samespace import old.faiss --rows texts.jsonl --into notes.ss --encoder minilm",
    ),
)
@click.argument("source")
@click.option("--into", required=True, metavar="COLLECTION", help="The collection; made if it is not there.")
@click.option(
    "--encoder",
    metavar="NAME",
    help="The encoder that made the vectors, which becomes that of a new collection; the source's own if left out.",
)
@click.option(
    "--space", metavar="FILE", help="For vectors of a model that is not here: their space, as JSON. Not proven."
)
@click.option("--id", "id_", metavar="COLUMN", help="Of what samespace did not write: the column of ids.")
@click.option("--content", metavar="COLUMN", help="The column of texts.")
@click.option("--vector", metavar="COLUMN", help="The column of vectors.")
@click.option("--rows", "beside", metavar="FILE", help="The rows of a .npy or .faiss: .jsonl, .parquet or .csv.")
@options.max_cost
@options.as_json
def import_command(
    source: str,
    into: str,
    encoder: str | None,
    space: str | None,
    id_: str | None,
    content: str | None,
    vector: str | None,
    beside: str | None,
    max_cost: float | None,
    as_json: bool,
) -> None:
    """Add the rows of a SOURCE, vectors included; a row whose id is there is replaced.

    SOURCE is what 'samespace export' wrote, or any .jsonl, .parquet, .npy, .faiss, lancedb:FOLDER?table=NAME or
    chroma:FOLDER?collection=NAME. Vectors of an export come in if their space is the collection's; those of others
    if the encoder makes the same ones of a sample of their texts. A SOURCE of - is JSONL on standard input.
    """
    from samespace.interchange import Columns, import_collection, read_source
    from samespace.interchange.transfer import survey_source
    from samespace.stores import shown

    _refuse_url(source)
    if space is not None and encoder is not None:
        raise click.UsageError("--encoder proves the vectors, --space declares them: give one of the two.")
    declared = None if space is None else _space(Path(space))
    notes: list[str] = []
    with (
        _file(source) as place,
        read_source(place, Columns(id=id_, content=content, vector=vector, rows=beside)) as found,
    ):
        with progress("checking", found.count, quiet=as_json) as meter:
            survey_source(found, meter.advance, to_prove=declared is None)
        count = found.count if found.found is None else found.found.rows
        with (
            _collection(into, found, encoder, declared, max_cost) as rows,
            progress("importing", count, quiet=as_json) as meter,
        ):
            try:
                report = import_collection(rows, found, space=declared, progress=meter.advance, tell=notes.append)
            except KeyboardInterrupt:
                raise Interrupted(f"Interrupted. The first {meter.done:,} rows are in {shown(into)}.") from None
            spent: Spent | None = getattr(rows.encoder, "spent", None) if found.proof else None
    if as_json:
        output.document(report._asdict() | {"notes": notes})
        return
    for note in notes:
        click.echo(note, err=True)
    costs.note_spent(spent)
    click.echo(f"{shown(into)}: {report.added:,} added, {report.replaced:,} replaced.")


def _refuse_url(place: str) -> None:
    """Raise if a collection is named where a file or a database shall be."""
    from samespace.interchange.formats import FORMATS
    from samespace.stores import is_url, shown

    if not place.startswith(tuple(row.mark for row in FORMATS)) and is_url(place):
        raise InvalidInput(
            f"{shown(place)} is a collection, and this command reads and writes files. Use: samespace copy FROM TO."
        )


@contextmanager
def _file(name: str) -> Iterator[str]:
    """Yield the place itself, or standard input as a file."""
    if name != "-":
        yield name
        return
    with TemporaryDirectory(prefix="samespace-") as folder:
        path = Path(folder, "standard-input.jsonl")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield str(path)
        except InvalidInput as error:
            raise InvalidInput(str(error).replace(str(path), "<stdin>")) from error


def _space(path: Path) -> Space:
    """The space that a file declares."""
    from samespace.space import Space

    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    try:
        return Space.from_dict(json.loads(path.read_bytes()))
    except ValueError as error:
        example = '{"model": "acme/embed-1", "dimension": 768, "metric": "cosine"}'
        raise InvalidInput(f"{path} is no space: {error} Expected JSON such as {example}.") from None


def _collection(
    into: str, source: Source, encoder: str | None, space: Space | None, max_cost: float | None
) -> Collection:
    """Open the collection; or make it, after the source was found to be of its space.

    A new one has the source's space, and its encoder if that is known.
    """
    from samespace import encoders
    from samespace.interchange import encoder_of
    from samespace.interchange.transfer import check_source
    from samespace.opening import open as open_collection

    header = source.header
    declared = space if header is None else header.space
    if space is not None and header is not None:
        space.require(header.space, f"import {source.name}")
    try:
        return open_collection(into, encoder, space=declared, create=False, max_cost=max_cost)
    except NotFound:
        made = encoder_of(source) if encoder is None and space is None else None
    if encoder is not None:
        made = encoders.encoder(encoder, max_cost=max_cost)
    if header is not None and made is not None:
        header.space.require(made.space, "open a collection with this encoder")
    check_source(source, made, space)
    return open_collection(into, made, space=declared)
