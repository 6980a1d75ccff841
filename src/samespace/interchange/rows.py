"""Rows that samespace did not write: which column is what, and their values as those of a collection."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from samespace.batches import content_id
from samespace.errors import InvalidInput, NotFound
from samespace.interchange.source import Columns
from samespace.sources.values import json_object, json_value

__all__ = ["Chosen", "Fields", "choose", "plain", "read_rows"]

_IDS = ("id", "_id", "ids", "doc_id", "document_id", "uuid", "key")
_CONTENTS = ("content", "text", "document", "page_content", "chunk", "passage", "sentence", "body")
_VECTORS = ("vector", "embedding", "embeddings", "vectors")
_ROW_FILES = (".jsonl", ".ndjson", ".parquet", ".csv", ".tsv")


class Fields(NamedTuple):
    """A row as a collection has it, but for its vector."""

    id: str
    content: str | None
    metadata: dict[str, Any]


class Chosen(NamedTuple):
    """Which column is what; None where there is none such."""

    id: str | None
    content: str | None
    vector: str | None

    def fields(self, row: Mapping[str, Any], place: str, number: object = None) -> Fields:
        """The values of a row.

        Args:
            row: by column.
            place: of the row, to begin a sentence.
            number: the id where there is no column of ids; None makes it from the content.

        Raises:
            InvalidInput: it has no id, or its content is not a text.
        """
        content = row.get(self.content) if self.content else None
        if content is not None and not isinstance(content, str):
            raise InvalidInput(f"{place}: expected a text in {self.content!r}, got {type(content).__name__}.")
        if self.id is not None:
            name = _text(row.get(self.id), f"{place}: the id in {self.id!r}")
        elif number is not None:
            name = str(number)
        elif content is not None:
            name = content_id(content)
        else:
            raise InvalidInput(f"{place} has neither an id nor a text. Name a column of ids: --id COLUMN.")
        return Fields(name, content, self._metadata(row))

    def _metadata(self, row: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in row.items():
            if key in self or (value := plain(value)) is None:
                continue
            if key == "metadata" and isinstance(inner := _object(value), dict):
                found = inner | found  # what many programs call the column that holds all of it
            else:
                found[key] = value
        return found


def choose(
    columns: Columns, names: Sequence[str], place: str, *, texts: Iterable[str] = (), vectors: Sequence[str] = ()
) -> Chosen:
    """Find which column is what, by what the user said, or else by the usual names.

    Args:
        columns: what the user said.
        names: of all columns.
        place: to begin a sentence.
        texts: columns of which something recorded that the vectors were made of them.
        vectors: columns whose type is that of vectors; the only one is taken whatever its name.

    Raises:
        InvalidInput: there is no column that the user named, or no saying which holds the vectors.
    """
    for named in (columns.id, columns.content, columns.vector):
        if named is not None and named not in names:
            raise InvalidInput(f"{place} has no column {named!r}. It has {', '.join(map(repr, names))}.")
    vector = columns.vector or (vectors[0] if len(vectors) == 1 else _usual(_VECTORS, vectors))
    if vector is None and len(vectors) > 1:
        raise InvalidInput(
            f"{place} has {len(vectors)} columns of vectors: {', '.join(map(repr, vectors))}. Choose one: --vector "
            "COLUMN."
        )
    id_ = columns.id or _usual(_IDS, names)
    content = columns.content or next((name for name in texts if name in names), None) or _usual(_CONTENTS, names)
    return Chosen(id_, content, vector)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table, by column: JSON lines, Parquet, or CSV with a header, whose values are texts.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is of another kind, or a row cannot be read; the message names it.
    """
    if path.suffix.lower() not in _ROW_FILES:
        raise InvalidInput(f"A table of rows ends in {', '.join(_ROW_FILES)}; got {path.name!r}.")
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    if path.suffix.lower() == ".parquet":
        from samespace.interchange.parquet import read_plain

        yield from read_plain(path)
    elif path.suffix.lower() in (".csv", ".tsv"):
        yield from _read_csv(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    else:
        yield from _read_jsonl(path)


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield json_object(line, f"{path}, line {number}")


def _read_csv(path: Path, delimiter: str) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            for row in lines:
                if None in row or None in row.values():
                    raise InvalidInput(f"{path}, line {lines.line_num}: it has not as many fields as the header.")
                yield {key: value for key, value in row.items() if value != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}, line {lines.line_num + 1} is not CSV in UTF-8: {error}.") from None


def _text(value: Any, what: str) -> str:
    """An id as text.

    Raises:
        InvalidInput: it is neither a text nor a whole number. ``what`` begins the sentence.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | UUID) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{what} must be a text or a whole number, got {value!r}.")


def _usual(usual: Iterable[str], names: Iterable[str]) -> str | None:
    """The first of the usual names that is there, whatever its case."""
    there = {name.lower(): name for name in names}
    return next((there[name] for name in usual if name in there), None)


def plain(value: Any) -> Any:
    """A value in JSON types; None for what is missing, or cannot be one."""
    return json_value(value, lambda other: str(other) if isinstance(other, UUID) else None)


def _object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
