"""Tables to records: CSV, JSON lines and Parquet, row by row."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.sources.base import Record
from samespace.sources.decoding import encoding_of
from samespace.sources.values import described, json_object, json_value

__all__ = ["TABLES", "Columns", "read_jsonl", "read_table", "record"]

_BATCH = 1_024
_SNIFFED_BYTES = 2**20
_LONGEST_FIELD = 2**31 - 1  # what a C long holds on every system
_DELIMITERS = (",", ";", "\t", "|")
_INT = re.compile(r"-?[0-9]{1,19}")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?")
_LARGEST_INT = 2**63 - 1  # a longer number is a label, and a float would change it


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table to read.

    Args:
        text: the text to embed.
        id: None: ids are made from the texts.
        metadata: what to keep beside the text.
    """

    text: str
    id: str | None = None
    metadata: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        named = [self.text, *([] if self.id is None else [self.id]), *self.metadata]
        return list(dict.fromkeys(named))


def read_table(path: Path, columns: Columns) -> Iterator[Record]:
    """Read a table of any of the kinds in :data:`TABLES`, chosen by the file's suffix.

    CSV needs a header; its delimiter is the one that splits the header into the columns asked for. Its
    metadata is text, except for what is plainly a number: ``12``, ``-3`` and ``0.5`` become int and float,
    ``007``, ``+1``, ``1e3`` and ``nan`` stay text. JSON lines and Parquet keep their types; dates and times
    become ISO text. What is null, NaN or (in CSV) empty is left out.

    Args:
        path: the file.
        columns: which columns to read.

    Returns:
        Records in the order of the file, which is read as they are taken.

    Raises:
        NotFound: at once, if the file does not exist.
        InvalidInput: at once, for a suffix that is not a table's; later, for a column that is not there, a
            broken row, or a row without a text or an id. Names the file and the line (of Parquet, the row).
        MissingExtra: Parquet without its extra.
    """
    path = Path(path)
    reader = TABLES.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"A table's name ends in {', '.join(TABLES)}; got {str(path)!r}.")
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    return reader(path, columns)


def read_jsonl(lines: Iterable[str], columns: Columns, *, name: str = "<stdin>") -> Iterator[Record]:
    """Read JSON lines, such as an open text file or standard input. Blank lines are passed over.

    Args:
        lines: each a JSON object.
        columns: the keys to read. ``text`` must be in every object, ``id`` too if it is named.
        name: of the source, for messages.

    Raises:
        InvalidInput: as :func:`read_table`.
    """
    found: set[str] = set()
    wanted = set(columns.metadata)
    number = 0
    for number, line in _numbered(lines, name):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        row = json_object(line, place)
        if missing := [key for key in columns.names if key not in wanted and key not in row]:
            raise InvalidInput(f"{place} has no key {missing[0]!r}. It has {_listed(row)}.")
        found.update(wanted & row.keys())
        yield record(row, columns, place)
    # A key that is optional may be missing in any object, but not in all of them.
    if number and (missing := [key for key in columns.metadata if key not in found]):
        raise InvalidInput(f"{name}: no line has a key {missing[0]!r}.")


def _read_jsonl_file(path: Path, columns: Columns) -> Iterator[Record]:
    with _opened(path) as file:
        yield from read_jsonl(file, columns, name=str(path))


def _read_csv(path: Path, columns: Columns) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))  # the module has one for all readers
    with _opened(path, newline="") as file:
        lines = (line for _, line in _numbered(file, str(path)))
        first = next(lines, "")
        if not first.strip():
            raise InvalidInput(f"{path}: expected a header with the columns' names on line 1, got nothing.")
        rows = csv.reader(chain([first], lines), delimiter=_delimiter(first, columns), strict=True)
        header: list[str] = []
        while True:
            begins = rows.line_num + 1
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise InvalidInput(f"{path}, line {begins} is not CSV: {error}.") from error
            if not header:
                header = [name.strip() for name in values]
                if missing := [name for name in columns.names if name not in header]:
                    raise InvalidInput(f"{path} has no column {missing[0]!r}. It has {_listed(header)}.")
                continue
            if not values:
                continue  # a blank line
            place = f"{path}, line {begins}"
            if len(values) != len(header):
                raise InvalidInput(f"{place}: expected {len(header)} fields, as the header has, got {len(values)}.")
            row: dict[str, Any] = dict(zip(header, values, strict=True))
            row.update((key, _number(row[key])) for key in columns.metadata)
            yield record(row, columns, place)


def _read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("Reading Parquet", "parquet") from error
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns.names if name not in names]:
                raise InvalidInput(f"{path} has no column {missing[0]!r}. It has {_listed(names)}.")
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns.names):
                for row in batch.to_pylist():
                    number += 1
                    yield record(row, columns, f"{path}, row {number}")
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is not Parquet that can be read: {error}.") from error


TABLES: Mapping[str, Callable[[Path, Columns], Iterator[Record]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl_file,
    ".ndjson": _read_jsonl_file,
    ".parquet": _read_parquet,
}
"""The reader of each kind of table, by the file's suffix."""


def _opened(path: Path, newline: str | None = None) -> IO[str]:
    with path.open("rb") as file:
        try:
            # The window may end within a character; what comes after its last line end is not judged.
            window = file.read(_SNIFFED_BYTES)
            encoding = encoding_of(window[: window.rfind(b"\n") + 1] or window)
        except InvalidInput as error:
            raise InvalidInput(f"{path} cannot be read as a table: {error}.") from error
    return path.open(encoding=encoding, newline=newline)


def _numbered(lines: Iterable[str], name: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{name}: after line {number} stands a byte that is not {error.encoding}: {error.reason}. "
            "Save the file as UTF-8."
        ) from error


def _delimiter(first: str, columns: Columns) -> str:
    wanted = set(columns.names)
    fits = {}
    for delimiter in _DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter), [])
        fits[delimiter] = (len(wanted & {name.strip() for name in names}), len(names))
    return max(_DELIMITERS, key=lambda delimiter: fits[delimiter])


def record(row: Mapping[str, Any], columns: Columns, place: str) -> Record:
    """One row as a record; ``place`` names it in errors."""
    text = row[columns.text]
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"{place}: expected a text in {columns.text!r}, got {described(text)}. Leave the row out.")
    key = None
    if columns.id is not None:
        key = row[columns.id]
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str) or not key:
            raise InvalidInput(f"{place}: expected an id in {columns.id!r}, got {described(key)}.")
    metadata = {name: _kept(row.get(name), name, place) for name in columns.metadata}
    return Record(key, text, {name: value for name, value in metadata.items() if value is not None})


def _kept(value: Any, name: str, place: str) -> Any:
    """A value of metadata in JSON types; None for what is missing."""

    def refuse(other: Any) -> Any:
        raise InvalidInput(f"{place}: {name!r} holds {described(other)}, which JSON has no type for.")

    return json_value(value, refuse)


def _number(text: str) -> str | int | float | None:
    """Read an int or a float that would be written the same way again; anything else is text."""
    if not text:
        return None
    if _INT.fullmatch(text) and str(int(text)) == text:
        return int(text) if abs(int(text)) <= _LARGEST_INT else text
    return float(text) if _FLOAT.fullmatch(text) else text


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
