"""Files that hold vectors alone, and the rows beside them: ``notes.npy`` with ``notes.npy.jsonl``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.hits import Row
from samespace.interchange.blocks import BLOCK, Block, chunks, fields, from_fields, matrix, seals
from samespace.interchange.formats import Place
from samespace.interchange.jsonl import header_of, lines_of
from samespace.interchange.recorded import Recorded
from samespace.interchange.rows import choose, read_rows
from samespace.interchange.source import Columns, Source
from samespace.space import Space
from samespace.vectors import Matrix

__all__ = ["VectorFile", "sidecar", "source_of", "write_rows"]

Numbers = NDArray[np.int64]

_WHOLE = re.compile(r"-?[0-9]{1,19}")


@dataclass(eq=False)
class VectorFile:
    """The vectors of a file, to be taken in any order.

    Attributes:
        count: how many there are.
        take: the vectors at some positions, of shape (n, dimension).
        numbers: their own ids, int64 of shape (count,); None: those are the positions.
        recorded: what the file says of them.
        remarks: what the user should know of them.
        owner: of the memory that they are in, which must live as long.
    """

    count: int
    take: Callable[[Numbers], Any]
    numbers: Numbers | None = None
    recorded: Recorded = field(default_factory=Recorded)
    remarks: list[str] = field(default_factory=list)
    owner: Any = None


def sidecar(path: Path) -> Path:
    """Where the rows of an export lie."""
    return path.with_name(f"{path.name}.jsonl")


def write_rows(file: IO[str], rows: Sequence[Row], first: int, space: Space) -> Matrix:
    """Write a line for each row, and return the vectors that belong to them.

    Args:
        file: after its header.
        rows: of the collection.
        first: number of the first.
        space: of the vectors.
    """
    vectors = matrix(rows, space)
    made = seals(space, [row.id for row in rows], [row.content for row in rows], vectors)
    for number, (row, seal) in enumerate(zip(rows, made, strict=True), first):
        file.write(json.dumps({"number": number, **fields(row), "seal": seal}, ensure_ascii=False) + "\n")
    return vectors


def source_of(vectors: VectorFile, place: Place, columns: Columns) -> Source:
    """The file's vectors with the rows of its export, those that the user names, or no more than their numbers.

    Raises:
        InvalidInput: the numbers or the rows cannot be used.
    """
    rows = None if columns.rows is None else Path(columns.rows)
    header = None
    if rows is None and (beside := sidecar(place.path)).is_file():
        header, rows = header_of(beside), beside
    if header is not None:
        # Others may have changed one of the two files, so the rows' seals are compared.
        return Source(
            place.text,
            lambda: _ours(vectors, place),
            header,
            count=vectors.count,
            shared=True,
            remarks=vectors.remarks,
        )
    return Source(
        place.text,
        lambda: _numbered(vectors) if rows is None else _theirs(vectors, rows, columns, place),
        recorded=vectors.recorded,
        count=vectors.count,
        remarks=vectors.remarks,
    )


class _Lookup:
    """Finds positions by the vectors' own ids."""

    def __init__(self, vectors: VectorFile, place: Place) -> None:
        numbers = np.arange(vectors.count) if vectors.numbers is None else vectors.numbers
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]
        self._used = np.zeros(vectors.count, bool)
        twice = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if len(twice):
            raise InvalidInput(
                f"{place} has the id {self._sorted[twice[0]]} more than once. Remove one of them, or give each vector "
                "an id of its own."
            )

    def find(self, numbers: Numbers) -> Numbers:
        """Positions; -1 for what is not there."""
        if not len(self._sorted):
            return np.full(len(numbers), -1)
        places = np.minimum(np.searchsorted(self._sorted, numbers), len(self._sorted) - 1)
        found = np.where(self._sorted[places] == numbers, self._order[places], -1)
        self._used[found[found >= 0]] = True
        return found

    @property
    def unused(self) -> Numbers:
        """The ids of vectors that nobody asked for."""
        return np.sort(self._sorted[~self._used[self._order]])


def _ours(vectors: VectorFile, place: Place) -> Iterator[Block]:
    lookup, beside = _Lookup(vectors, place), sidecar(place.path)
    gone = 0
    for lines, torn in lines_of(beside, "id", "content", "metadata", "number"):
        numbers = [line["number"] for line in lines]
        if not all(type(number) is int and abs(number) < 2**63 for number in numbers):
            raise InvalidInput(f"{beside}: expected whole numbers in 'number'.")
        positions = lookup.find(np.array(numbers, np.int64))
        rows = [line for line, position in zip(lines, positions, strict=True) if position >= 0]
        gone += len(lines) - len(rows)
        if rows:
            yield from_fields(rows, vectors.take(positions[positions >= 0]), [row.get("seal") for row in rows])
        if torn is not None:
            raise InvalidInput(f"{beside}: {torn}")
    if len(unused := lookup.unused):
        raise InvalidInput(
            f"{place} holds {len(unused):,} vectors that have no row in {beside}, the first with the id {unused[0]}. "
            "Something else added them, or the rows are torn. Name a table of all rows: --rows FILE."
        )
    if gone and vectors.numbers is None:
        raise InvalidInput(f"{place} lacks the vectors of {gone:,} rows of {beside}. It is torn, or of another export.")


def _numbered(vectors: VectorFile) -> Iterator[Block]:
    for start in range(0, vectors.count, BLOCK):
        positions = np.arange(start, min(start + BLOCK, vectors.count))
        numbers = positions if vectors.numbers is None else vectors.numbers[positions]
        none = [0] * len(positions)
        ids = [str(number) for number in numbers.tolist()]
        yield Block(ids, [None] * len(ids), [{} for _ in ids], vectors.take(positions), none, none)


def _theirs(vectors: VectorFile, rows: Path, columns: Columns, place: Place) -> Iterator[Block]:
    lines = read_rows(rows)
    first = next(lines, None)
    if first is None:
        raise InvalidInput(f"{rows} has no rows; {place} has {vectors.count:,} vectors.")
    chosen = choose(columns, list(first), str(rows))
    by_id = vectors.numbers is not None and chosen.id is not None
    lookup, done = _Lookup(vectors, place) if by_id else None, 0
    for part in chunks(chain([first], lines)):
        if lookup is not None:
            positions = lookup.find(np.array([_number(row.get(str(chosen.id)), rows) for row in part], np.int64))
            if (positions < 0).any():
                row = part[int((positions < 0).argmax())]
                raise InvalidInput(f"{rows} has a row of the id {row[str(chosen.id)]!r}, which {place} has not.")
        else:
            positions = np.arange(done, done + len(part))
            if done + len(part) > vectors.count:
                raise InvalidInput(
                    f"{rows} has more rows than {place} has vectors, which are {vectors.count:,}. They must be one for "
                    "one, in the same order."
                )
        numbers = None if vectors.numbers is None else vectors.numbers[positions].tolist()
        values = [
            chosen.fields(row, f"{rows}, row {done + at}", numbers[at] if numbers else None)
            for at, row in enumerate(part)
        ]
        none = [0] * len(values)
        yield Block(
            [row.id for row in values],
            [row.content for row in values],
            [row.metadata for row in values],
            vectors.take(positions),
            none,
            none,
        )
        done += len(part)
    if done < vectors.count:
        raise InvalidInput(
            f"{rows} has {done:,} rows, and {place} has {vectors.count:,} vectors. They must be one for one; the file "
            "of rows may be torn."
        )


def _number(value: Any, rows: Path) -> int:
    """An id of a table as one of an index."""
    is_whole = type(value) is int or (isinstance(value, str) and _WHOLE.fullmatch(value))
    if not is_whole or not -(2**63) <= int(value) < 2**63:
        raise InvalidInput(
            f"{rows}: the id {value!r} is not a whole number, and the index has ids that are. Name their column: --id."
        )
    return int(value)
