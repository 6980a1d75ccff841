"""Parquet: the header in the schema's metadata, one column for each part of a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from samespace.errors import InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange import tables
from samespace.interchange.blocks import BLOCK, Block, Progress, chunks, drafts
from samespace.interchange.formats import Place
from samespace.interchange.header import Header
from samespace.interchange.source import Columns, Source

__all__ = ["read", "read_plain", "write"]


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write a file, which takes its place when it is whole; return how many rows there were."""
    schema, written = tables.schema_of(header), 0
    with drafts(place.path) as (draft,), parquet.ParquetWriter(draft, schema) as writer:
        for block in chunks(rows):
            writer.write_batch(tables.batch_of(block, schema, header))
            written += len(block)
            progress(len(block))
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open a file of ours, or any other with a column of vectors."""
    if not place.path.is_file():
        raise NotFound(f"There is no file {place}.")
    file = _opened(place.path)
    schema, name = file.schema_arrow, place.text
    try:
        header = tables.header_of(schema, name)
        chosen = None if header is not None else tables.chosen_of(schema, columns, name)
    except BaseException:
        file.close()
        raise

    def blocks() -> Iterator[Block]:
        first = 0
        try:
            if chosen is not None:
                yield from tables.foreign_blocks(file.iter_batches(BLOCK), chosen, name)
                return
            for batch in file.iter_batches(BLOCK):
                yield tables.block_of(batch)
                first += len(batch)
        except tables.FAILURES as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"Row {first} and what follows cannot be read ({error}).") from None

    return Source(name, blocks, header, count=file.metadata.num_rows, finish=file.close)


def read_plain(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of any file, by column.

    Raises:
        InvalidInput: it cannot be read.
    """
    with _opened(path) as file:
        try:
            for batch in file.iter_batches(BLOCK):
                yield from batch.to_pylist()
        except (arrow.ArrowException, OSError) as error:
            raise InvalidInput(f"{path} is not a Parquet file that can be read ({error}).") from None


def _opened(path: Path) -> Any:
    try:
        return parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is not a Parquet file that can be read ({error}).") from None
