"""JSON lines: the header, then one object a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from samespace.errors import InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange.blocks import BLOCK, Block, Progress, chunks, drafts, fields, from_fields
from samespace.interchange.formats import Place
from samespace.interchange.header import KEY, Header
from samespace.interchange.rows import Chosen, choose, read_rows
from samespace.interchange.source import Columns, Source

__all__ = ["header_of", "lines_of", "read", "write", "write_lines"]

_LONGEST_HEADER = 1 << 24


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write a file, which takes its place when it is whole; return how many rows there were."""
    with drafts(place.path) as (draft,), draft.open("w", encoding="utf-8") as file:
        return write_lines(file, header, rows, progress)


def write_lines(file: IO[str], header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write the header and the rows into an open file; return how many rows there were."""
    file.write(header.to_json() + "\n")
    written = 0
    for block in chunks(rows):
        for row in block:
            values = fields(row)
            values["vector"] = row.vector.tolist()
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
        written += len(block)
        progress(len(block))
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open a file of ours, or any other with one object a row of which one value is the vector."""
    if not place.path.is_file():
        raise NotFound(f"There is no file {place}.")
    with place.path.open("rb") as file:
        first = file.readline(_LONGEST_HEADER)
    chosen = _foreign(json.loads(first), columns, place) if _is_row(first) else None
    if chosen is not None:
        return Source(str(place), lambda: _foreign_blocks(place, chosen))
    return Source(str(place), lambda: _blocks(place), Header.from_json(first, place.text))


def header_of(path: Path) -> Header | None:
    """The header on the first line; None if there is a row.

    Raises:
        InvalidInput: there is neither.
    """
    with path.open("rb") as file:
        first = file.readline(_LONGEST_HEADER)
    return None if _is_row(first) else Header.from_json(first, path)


def lines_of(path: Path, *names: str) -> Iterator[tuple[list[dict[str, Any]], InvalidInput | None]]:
    """The lines after the header as objects that have these names, in blocks; with the error that ends them."""
    with path.open("rb") as file:
        file.readline(_LONGEST_HEADER)
        for first in count(2, BLOCK):
            rows: list[dict[str, Any]] = []
            torn = None
            for number, line in enumerate(islice(file, BLOCK), first):
                try:
                    values = json.loads(line)
                    for name in names:
                        values[name]
                    values.get("id")
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    torn = InvalidInput(f"Line {number} is not a row ({type(error).__name__}: {error}).")
                    break
                rows.append(values)
            if not rows and torn is None:
                return
            yield rows, torn
            if torn is not None:
                return


def _blocks(place: Place) -> Iterator[Block]:
    for rows, torn in lines_of(place.path, "id", "content", "metadata", "vector"):
        if rows:
            yield from_fields(rows, [row["vector"] for row in rows])
        if torn is not None:
            raise torn


def _is_row(line: bytes) -> bool:
    """Whether a file's first line is an object, and not the header."""
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return isinstance(values, dict) and KEY not in values


def _foreign(values: dict[str, Any], columns: Columns, place: Place) -> Chosen | None:
    """Which value is what, if one of them is a vector."""
    vectors = [name for name, value in values.items() if _is_vector(value)]
    chosen = choose(columns, list(values), place.text, vectors=vectors)
    return chosen if chosen.vector else None


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and any(type(each) is float for each in value)


def _foreign_blocks(place: Place, chosen: Chosen) -> Iterator[Block]:
    first = 1
    for part in chunks(read_rows(place.path)):
        vectors = []
        for number, row in enumerate(part, first):
            vector = row.get(str(chosen.vector))
            if not isinstance(vector, list) or not all(type(each) in (int, float) for each in vector):
                raise InvalidInput(f"{place}, line {number}: expected a list of numbers in {chosen.vector!r}.")
            if len(vector) != len(part[0][str(chosen.vector)]):
                raise InvalidInput(
                    f"{place}, line {number}: its vector has {len(vector)} numbers, that of line {first} has "
                    f"{len(part[0][str(chosen.vector)])}."
                )
            vectors.append(vector)
        rows = [chosen.fields(row, f"{place}, line {number}") for number, row in enumerate(part, first)]
        yield Block(
            [row.id for row in rows],
            [row.content for row in rows],
            [row.metadata for row in rows],
            np.array(vectors, np.float32),
            [0] * len(rows),
            [0] * len(rows),
        )
        first += len(part)
