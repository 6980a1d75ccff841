"""Rows as Arrow batches, for Parquet and LanceDB: ours by a fixed schema, others' by what their columns are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as arrow

from samespace.errors import InvalidInput
from samespace.hits import Row
from samespace.interchange.blocks import Block, matrix, seals
from samespace.interchange.header import KEY, Header
from samespace.interchange.rows import Chosen, choose
from samespace.interchange.source import Columns

__all__ = ["FAILURES", "batch_of", "block_of", "chosen_of", "foreign_blocks", "header_of", "schema_of"]

FAILURES = (KeyError, ValueError, TypeError, OSError, arrow.ArrowException)
"""What reading a damaged table raises."""


def schema_of(header: Header, *, sealed: bool = False) -> Any:
    """The columns of an export, with the header in the schema's metadata."""
    columns = [
        ("id", arrow.string()),
        ("content", arrow.string()),
        ("metadata", arrow.string()),
        ("vector", arrow.list_(arrow.float32(), header.space.dimension)),
        ("tokens_seen", arrow.int32()),
        ("tokens_total", arrow.int32()),
    ]
    if sealed:
        columns.append(("seal", arrow.string()))
    return arrow.schema(columns, metadata={KEY: header.to_json()})


def header_of(schema: Any, name: str) -> Header | None:
    """The header in a schema's metadata; None if samespace did not write it.

    Raises:
        InvalidInput: it is damaged, or of a newer format.
    """
    text = (schema.metadata or {}).get(KEY.encode())
    return None if text is None else Header.from_json(text, name)


def batch_of(rows: Sequence[Row], schema: Any, header: Header) -> Any:
    """Rows as a record batch of the schema."""
    vectors = matrix(rows, header.space)
    ids, contents = [row.id for row in rows], [row.content for row in rows]
    columns: list[Any] = [
        ids,
        contents,
        [json.dumps(row.metadata, ensure_ascii=False) for row in rows],
        arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.reshape(-1)), header.space.dimension),
        [row.tokens_seen for row in rows],
        [row.tokens_total for row in rows],
    ]
    if "seal" in schema.names:
        columns.append(seals(header.space, ids, contents, vectors))
    arrays = [
        column if isinstance(column, arrow.Array) else arrow.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return arrow.record_batch(arrays, schema=schema)


def block_of(batch: Any) -> Block:
    """Rows of a record batch that :func:`batch_of` made.

    Raises:
        One of :data:`FAILURES`: it is none.
    """
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names if name != "vector"}
    return Block(
        columns["id"],
        columns["content"],
        [json.loads(text) for text in columns["metadata"]],
        _floats(batch.column("vector")),
        [seen or 0 for seen in columns["tokens_seen"]],
        [total or 0 for total in columns["tokens_total"]],
        columns.get("seal"),
    )


def chosen_of(schema: Any, columns: Columns, name: str, texts: Sequence[str] = ()) -> Chosen:
    """Which column of a table is what.

    Raises:
        InvalidInput: there is no column of vectors, or no saying which.
    """
    vectors = [field.name for field in schema if _is_vector(field.type)]
    chosen = choose(columns, schema.names, name, texts=texts, vectors=vectors)
    if chosen.vector is None or not _is_vector(schema.field(chosen.vector).type):
        named = "no column of vectors" if chosen.vector is None else f"no vectors in {chosen.vector!r}"
        raise InvalidInput(
            f"{name} has {named}: lists of floats are expected. It has {', '.join(map(_described, schema))}."
        )
    return chosen


def foreign_blocks(batches: Iterator[Any], chosen: Chosen, name: str) -> Iterator[Block]:
    """Rows of record batches that another program made.

    Raises:
        InvalidInput: a row cannot be one of a collection; the message names it.
    """
    first = 0
    for batch in batches:
        vectors = batch.column(chosen.vector)
        if vectors.null_count:
            row = first + vectors.is_null().to_pylist().index(True)
            raise InvalidInput(f"{name}, row {row}: it has no vector. Leave the row out.")
        plain = [field.name for field in batch.schema if not _is_vector(field.type)]
        rows = [
            chosen.fields(row, f"{name}, row {number}")
            for number, row in enumerate(batch.select(plain).to_pylist(), first)
        ]
        try:
            array = _floats(vectors)
        except ValueError:
            raise InvalidInput(
                f"{name}: the vectors in {chosen.vector!r}, rows {first} to {first + len(rows) - 1}, are not all of "
                "one dimension."
            ) from None
        yield Block(
            [row.id for row in rows],
            [row.content for row in rows],
            [row.metadata for row in rows],
            array,
            [0] * len(rows),
            [0] * len(rows),
        )
        first += len(rows)


def _floats(column: Any) -> Any:
    """A column of lists as a matrix.

    Raises:
        ValueError: the lists are not all of one length.
    """
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if not arrow.types.is_fixed_size_list(column.type):
        lengths = np.diff(column.offsets.to_numpy())
        if len(lengths) and (lengths != lengths[0]).any():
            raise ValueError("The lists are not all of one length.")
    return flat.reshape(len(column), -1) if len(column) else flat.reshape(0, 0)


def _is_vector(kind: Any) -> bool:
    types = arrow.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _described(field: Any) -> str:
    return f"{field.name!r} ({field.type})"
