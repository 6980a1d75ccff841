"""A collection as a file that other programs read: JSON lines or Parquet, by the file's ending.

Both begin with a header that carries the space, so that vectors cannot come back into another one. A file of
JSON lines has the header as its first line; Parquet keeps it in the schema's metadata under ``samespace``.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import json
import operator
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samespace.collection import AddReport, Collection, Where
from samespace.encoders.canaries import Canaries
from samespace.errors import (
    InvalidInput,
    InvalidVectors,
    MissingExtra,
    NotFound,
    SamespaceError,
    StorageError,
    StorageFull,
)
from samespace.hits import Row
from samespace.space import Space
from samespace.vectors import Receipts, Vectors

__all__ = ["Header", "export_collection", "import_collection", "read_header"]

FORMAT = 1
_BLOCK = 4_096
_LONGEST_HEADER = 1 << 24


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        encoder: name of the encoder that made the vectors, if there was one.
        canaries: what proves another encoder of the space, if it was kept.
    """

    space: Space
    encoder: str | None
    canaries: Canaries | None = None

    def to_json(self) -> str:
        values: dict[str, Any] = {"samespace": FORMAT, "space": self.space.to_dict(), "encoder": self.encoder}
        if self.canaries is not None:
            values["canaries"] = base64.b64encode(self.canaries.to_bytes()).decode()
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> Header:
        try:
            values = json.loads(text)
            version, space = values["samespace"], Space.from_dict(values["space"])
            canaries = Canaries.from_bytes(base64.b64decode(values.get("canaries", ""), validate=True))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{path} does not begin with samespace's header ({error}), so the space of its vectors is not "
                "known. To add plain rows and encode them, index the file: samespace index FILE --text COLUMN."
            ) from None
        if version != FORMAT:
            raise InvalidInput(f"{path} has format {version!r}; this samespace reads {FORMAT}. Upgrade samespace.")
        return cls(space, values.get("encoder"), canaries)


def export_collection(
    collection: Collection,
    target: str | Path | IO[str],
    where: Where = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write all rows, or those that meet a condition, with their vectors.

    Args:
        collection: to read.
        target: a path that ends in .jsonl or .parquet, or an open text file for JSON lines. A path is
            replaced at the end, when everything is written.
        where: a filter (:mod:`samespace.where`).
        progress: called with the number of rows just written.

    Returns:
        rows written.

    Raises:
        InvalidInput: another ending.
        MissingExtra: Parquet without pyarrow.
        StorageError: the file cannot be written.
    """
    rows = collection.rows(where)
    header = Header(collection.space, collection.info().encoder, collection.canaries())
    if not isinstance(target, str | Path):
        if not isinstance(target, io.TextIOBase):
            raise InvalidInput(f"Expected a path or an open text file, got {type(target).__name__}.")
        return _write_jsonl(target, header, rows, progress)
    path = _path(target)
    write = _write_parquet if path.suffix == ".parquet" else _write_jsonl_file
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        count = write(draft, header, rows, progress)
        draft.replace(path)
    except SamespaceError:
        raise
    except OSError as error:
        kind = StorageFull if error.errno == errno.ENOSPC else StorageError
        raise kind(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return count


def read_header(path: str | Path) -> Header:
    """The space and encoder of an exported file.

    Raises:
        NotFound: no such file.
        InvalidInput: it is not an export of ours.
    """
    source = _path(path)
    if not source.is_file():
        raise NotFound(f"There is no file {source}.")
    if source.suffix == ".parquet":
        metadata = _parquet(source).schema_arrow.metadata or {}
        return Header.from_json(metadata.get(b"samespace", b"null"), source)
    with source.open("rb") as file:
        return Header.from_json(file.readline(_LONGEST_HEADER), source)


def import_collection(
    collection: Collection, path: str | Path, *, progress: Callable[[int], None] | None = None
) -> AddReport:
    """Add the rows of an exported file, vectors included; rows with the same id are replaced.

    Raises:
        SpaceMismatch: the file's vectors live in another space than the collection's; nothing is imported.
        InvalidInput: a row cannot be read or stored; the message says where, and what was imported before.
    """
    source = _path(path)
    header = read_header(source)
    collection.space.require(header.space, f"import {source} into {collection.path}")
    is_empty = collection.count() == 0  # only then do the file's canaries stand for all rows
    total, done = AddReport(0, 0, 0, 0), 0
    try:
        for block in _read_parquet(source) if source.suffix == ".parquet" else _read_jsonl(source):
            receipts = Receipts(_counts(block.seen), _counts(block.total))
            report = collection.add(
                block.contents,
                ids=block.ids,
                metadata=block.metadata,
                vectors=Vectors(block.array, header.space, "document", receipts=receipts),
                progress=progress,
            )
            total = AddReport(*map(operator.add, total, report))
            done += len(block.ids)
    except (InvalidInput, InvalidVectors) as error:
        raise InvalidInput(
            f"{source} cannot be imported beyond its first {done:,} rows, which were: {error} "
            f"Rows are counted from there."
        ) from error
    if is_empty and header.canaries is not None:
        collection.keep_canaries(header.canaries)
    return total


def _path(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise InvalidInput(f"Expected a path, got {type(path).__name__}.")
    if Path(path).suffix not in (".jsonl", ".parquet"):
        raise InvalidInput(f"The file's ending chooses the format: .jsonl or .parquet, got {Path(path).name!r}.")
    return Path(path)


def _counts(tokens: list[Any]) -> NDArray[np.int32]:
    if not all(type(count) is int and 0 <= count < 2**31 for count in tokens):
        raise InvalidInput("tokens_seen and tokens_total must be whole numbers.")
    return np.array(tokens, np.int32)


class _Block(NamedTuple):
    """Some rows, column by column."""

    ids: list[str]
    contents: list[str | None]
    metadata: list[Any]
    array: Any
    seen: list[int]
    total: list[int]


def _write_jsonl_file(path: Path, header: Header, rows: Iterator[Row], progress: Callable[[int], None] | None) -> int:
    with path.open("w", encoding="utf-8") as file:
        return _write_jsonl(file, header, rows, progress)


def _write_jsonl(file: IO[str], header: Header, rows: Iterator[Row], progress: Callable[[int], None] | None) -> int:
    file.write(header.to_json() + "\n")
    written = 0
    while block := list(islice(rows, _BLOCK)):
        for row in block:
            values = {
                "id": row.id,
                "content": row.content,
                "metadata": row.metadata,
                "vector": row.vector.tolist(),
                "tokens_seen": row.tokens_seen,
                "tokens_total": row.tokens_total,
            }
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
        written += len(block)
        if progress is not None:
            progress(len(block))
    return written


def _read_jsonl(path: Path) -> Iterator[_Block]:
    with path.open("rb") as file:
        next(file)  # the header
        for first in count(2, _BLOCK):
            lines = list(islice(file, _BLOCK))
            if not lines:
                return
            block, torn = _Block([], [], [], [], [], []), None
            for number, line in enumerate(lines, first):
                try:
                    values = json.loads(line)
                    row = [values[name] for name in ("id", "content", "metadata", "vector")]
                    tokens = [values.get(name) or 0 for name in ("tokens_seen", "tokens_total")]
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    torn = InvalidInput(f"Line {number} is not a row ({type(error).__name__}: {error}).")
                    break
                for column, value in zip(block, [*row, *tokens], strict=True):
                    column.append(value)
            if block.ids:
                yield block
            if torn is not None:
                raise torn


def _write_parquet(path: Path, header: Header, rows: Iterator[Row], progress: Callable[[int], None] | None) -> int:
    arrow, parquet = _arrow()
    schema = arrow.schema(
        [
            ("id", arrow.string()),
            ("content", arrow.string()),
            ("metadata", arrow.string()),
            ("vector", arrow.list_(arrow.float32(), header.space.dimension)),
            ("tokens_seen", arrow.int32()),
            ("tokens_total", arrow.int32()),
        ],
        metadata={"samespace": header.to_json()},
    )
    written = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while block := list(islice(rows, _BLOCK)):
            flat = arrow.array(np.concatenate([row.vector for row in block]))
            columns = [
                [row.id for row in block],
                [row.content for row in block],
                [json.dumps(row.metadata, ensure_ascii=False) for row in block],
                arrow.FixedSizeListArray.from_arrays(flat, header.space.dimension),
                [row.tokens_seen for row in block],
                [row.tokens_total for row in block],
            ]
            arrays = [
                column if isinstance(column, arrow.Array) else arrow.array(column, field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))
            written += len(block)
            if progress is not None:
                progress(len(block))
    return written


def _read_parquet(path: Path) -> Iterator[_Block]:
    arrow, _ = _arrow()
    file = _parquet(path)
    first = 0
    try:
        for batch in file.iter_batches(_BLOCK):
            vectors = batch.column("vector")
            yield _Block(
                batch.column("id").to_pylist(),
                batch.column("content").to_pylist(),
                [json.loads(text) for text in batch.column("metadata").to_pylist()],
                vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1),
                [seen or 0 for seen in batch.column("tokens_seen").to_pylist()],
                [total or 0 for total in batch.column("tokens_total").to_pylist()],
            )
            first += len(batch)
    except (KeyError, ValueError, TypeError, OSError, arrow.ArrowException) as error:
        raise InvalidInput(f"Row {first} and what follows cannot be read ({error}).") from None


def _parquet(path: Path) -> Any:
    arrow, parquet = _arrow()
    try:
        return parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is not a Parquet file that can be read ({error}).") from None


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    return arrow, parquet
