"""LanceDB: a table with the header in its schema's metadata; others' by what their columns are."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb

from samespace.errors import InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange import tables
from samespace.interchange.blocks import BLOCK, Block, Progress, chunks
from samespace.interchange.failures import Failures
from samespace.interchange.formats import Place
from samespace.interchange.header import Header
from samespace.interchange.recorded import Recorded, recorded
from samespace.interchange.source import Columns, Source
from samespace.space import Metric

__all__ = ["read", "write"]

_FRAGMENT = 16_384  # rows a commit: each is a file of the table
_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "l2": "euclidean"}


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write a table, which takes its place when it is whole; return how many rows there were.

    Raises:
        InvalidInput: there is a table of that name that samespace did not export.
    """
    if place.table is None:
        raise InvalidInput(f"Name the table: lancedb:FOLDER?table=NAME, got {place}.")
    schema, written = tables.schema_of(header, sealed=True), 0
    draft = place.path / f".{place.table}.{os.getpid()}.tmp"
    with Failures(place, writes=True):
        if _folder(place, place.table).is_dir():
            there = lancedb.connect(place.path).open_table(place.table)
            if tables.header_of(there.schema, place.text) is None:
                raise InvalidInput(
                    f"{place} is a table that samespace did not export, and it stays as it is. Give another name."
                )
        try:
            table = lancedb.connect(draft).create_table(place.table, schema=schema)
            for block in chunks(rows, _FRAGMENT):
                table.add(tables.batch_of(block, schema, header))
                written += len(block)
                progress(len(block))
            del table
            _replace(_folder(place, place.table), draft / f"{place.table}.lance", draft / "before")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open a table of ours, or any other with a column of vectors.

    Raises:
        NotFound: there is no such folder or table.
        InvalidInput: it is not one that can be read.
    """
    if not place.path.is_dir():
        raise NotFound(f"There is no folder {place.path}.")
    names = [folder.stem for folder in place.path.glob("*.lance") if folder.is_dir()]
    if not names:
        raise InvalidInput(f"{place.path} is not a folder of LanceDB: it has no tables (NAME.lance).")
    name = place.named(names)
    if name not in names:
        raise NotFound(f"{place.path} has no table {name!r}. It has {', '.join(map(repr, sorted(names)))}.")
    with Failures(place):
        table = lancedb.connect(place.path).open_table(name)
        table.checkout(table.version)  # what others write meanwhile is not seen
        schema = table.schema
        header = tables.header_of(schema, place.text)
        said, sources = _recorded(schema, columns.vector)
        if header is not None:
            wanted, chosen = [each for each in schema.names if not each.startswith("_")], None
        else:
            if said is not None and columns.vector is None and said["vector_column"] in schema.names:
                columns = Columns(columns.id, columns.content, said["vector_column"])
            chosen = tables.chosen_of(schema, columns, place.text, sources)
            wanted = schema.names
        known = Recorded() if header else _known(said, _metric(table))
        count = table.count_rows()

    def blocks() -> Iterator[Block]:
        first = 0
        with Failures(place):
            batches = table.search().select(wanted).to_batches(BLOCK)
            if chosen is not None:
                yield from tables.foreign_blocks(batches, chosen, place.text)
                return
            for batch in batches:
                try:
                    block = tables.block_of(batch)
                except tables.FAILURES as error:
                    raise InvalidInput(f"{place}: row {first} and what follows cannot be read ({error}).") from None
                yield block
                first += len(batch)

    return Source(place.text, blocks, header, known, count, shared=True)


def _folder(place: Place, name: str) -> Path:
    return place.path / f"{name}.lance"


def _replace(target: Path, new: Path, before: Path) -> None:
    """Put a folder in the place of another, which comes back if that fails."""
    if target.exists():
        target.rename(before)
    try:
        new.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise


def _recorded(schema: Any, vector: str | None) -> tuple[dict[str, Any] | None, list[str]]:
    """What the schema says of its embedder, for the column of vectors that is meant; and the columns of its texts.

    It is read as JSON: LanceDB's own reader would open the embedder.
    """
    text = (schema.metadata or {}).get(b"embedding_functions")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        entries = json.loads(text or "[]")
        fitting = [entry for entry in entries if vector in (None, entry["vector_column"])]
        if fitting:
            return fitting[0], [fitting[0]["source_column"]]
    return None, []


def _known(said: dict[str, Any] | None, metric: Metric | None) -> Recorded:
    if said is None:
        return Recorded(metric=metric)
    settings = said.get("model")
    return recorded("LanceDB", str(said.get("name")), settings if isinstance(settings, dict) else {}, metric)


def _metric(table: Any) -> Metric | None:
    """That of the table's index of vectors; None without an index, where each search says its own."""
    for index in table.list_indices():
        stats = table.index_stats(index.name)
        kind = getattr(stats, "distance_type", None)
        if kind is not None:
            return _METRICS.get(str(kind))
    return None
