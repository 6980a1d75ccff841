"""Shards cut into parts, which workers read row by row: Parquet by rows, JSON lines by bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samespace.batches import check_id, check_unicode, content_id, metadata_json
from samespace.errors import InvalidInput
from samespace.scale.files import Shard, opened, unpacked
from samespace.scale.parquet import Parquet
from samespace.sources import Columns, Record
from samespace.sources.tables import record as record_of
from samespace.sources.values import json_object

__all__ = ["Extent", "Fields", "Part", "cut", "kind_of", "measure", "read", "rows_of", "weigh"]

_BLOCK = 2**20
_MARK = b"\xef\xbb\xbf"  # that a file is UTF-8
_PARTS_A_WORKER = 16  # so that all are done at about the same time
_PARTS_A_GROUP = 16  # since each is read from the beginning of the group
_STEPS = {"rows": (512, 65_536), "bytes": (2**16, 2**25)}  # the smallest and the largest part

_Row = tuple[Any, Callable[[], str]]  # what was read, and how its place in the shard is found


@dataclass(frozen=True, slots=True)
class Fields:
    """Which columns of a shard are what.

    Args:
        text: is embedded.
        id: None: ids are made from the texts.
        metadata: is kept beside the text; None keeps all other columns.
    """

    text: str
    id: str | None = None
    metadata: Sequence[str] | None = None

    def of(self, names: Iterable[str]) -> Columns:
        """The columns to read, of those that there are."""
        if self.metadata is None:
            return Columns(self.text, self.id, [name for name in names if name not in (self.text, self.id)])
        return Columns(self.text, self.id, self.metadata)


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a shard is.

    Attributes:
        unit: ``"rows"`` of Parquet, ``"bytes"`` of JSON lines.
        size: in that unit.
        grain: the smallest part that is worth the reading of what stands before it.
    """

    shard: Shard
    unit: str
    size: int
    grain: int


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a shard.

    Attributes:
        path: of the shard.
        begin: the first row, from 0; of JSON lines the byte from which on lines may begin.
        end: the row, or byte, after the last.
    """

    path: str
    begin: int
    end: int


def measure(shard: Shard, fields: Fields) -> Extent:
    """Look how long a shard is.

    Raises:
        InvalidInput: it is torn, or has no such column.
        NotFound: it has gone.
    """
    if not _is_parquet(shard.path):
        return Extent(shard, "bytes", shard.size, shard.size if _is_packed(shard.path) else 1)
    with opened(shard.path) as file, Parquet(file, shard.path) as table:
        next(table.read(0, 0, fields.of(table.names).names), None)  # which looks for the columns
        return Extent(shard, "rows", table.rows, -(-table.largest // _PARTS_A_GROUP))


def cut(missing: Sequence[tuple[Extent, int, int]], workers: int) -> Iterator[Part]:
    """Cut ranges of shards into parts of a size at which ``workers`` are well used."""
    total = dict.fromkeys(_STEPS, 0)
    for extent, begin, end in missing:
        total[extent.unit] += end - begin
    steps = {
        unit: min(max(total[unit] // (workers * _PARTS_A_WORKER), least), most)
        for unit, (least, most) in _STEPS.items()
    }
    for extent, begin, end in missing:
        step = max(steps[extent.unit], extent.grain)
        for start in range(begin, end, step):
            yield Part(extent.shard.path, start, min(start + step, end))


def rows_of(parts: Iterable[Part]) -> int | None:
    """How many rows there are; None where that is not known before they are read."""
    parts = list(parts)
    return sum(part.end - part.begin for part in parts) if all(_is_parquet(part.path) for part in parts) else None


def read(part: Part, fields: Fields, bad: Callable[[str], object] | None = None) -> Generator[Record, None, None]:
    """The rows of a part, each with an id, read as they are taken.

    Args:
        part: of a shard.
        fields: what its columns are.
        bad: is told of each row that cannot be used, which is then passed over; None raises at the first.

    Raises:
        InvalidInput: the shard cannot be read; or a row cannot be used, which the message names by its place.
    """
    for row, place in _parquet_rows(part, fields) if _is_parquet(part.path) else _lines(part):
        try:
            yield _checked(row, fields, "")
        except InvalidInput:
            try:
                _checked(row, fields, f"{part.path}, {place()}")  # finding it takes time, and most rows need none
            except InvalidInput as error:
                if bad is None:
                    raise
                bad(str(error))


def weigh(part: Part, fields: Fields) -> Generator[tuple[str | None, float], None, None]:
    """The texts of a part, each with how much of the part's length its row takes; None for a row that cannot be used.

    Of a packed shard only the beginning, since its length is known in packed bytes.

    Raises:
        InvalidInput: as :func:`read`, but for rows.
        NotFound: the shard has gone.
    """
    fields = replace(fields, metadata=())
    for row, weight in _weighed(part, fields):
        try:
            yield _checked(row, fields, "").content, weight
        except InvalidInput:
            yield None, weight


def _weighed(part: Part, fields: Fields) -> Iterator[tuple[Any, float]]:
    if _is_parquet(part.path):
        yield from ((row, 1.0) for row, _ in _parquet_rows(part, fields))
    elif _is_packed(part.path):
        content, packed = unpacked(part.path, _BLOCK)
        *lines, last = content.removeprefix(_MARK).split(b"\n")
        if packed == part.end:  # or else it is cut off
            lines.append(last)
        yield from ((line, (len(line) + 1) * packed / len(content)) for line in lines if line.strip())
    else:
        yield from ((line, float(len(line))) for line, _ in _lines(part))


def _checked(row: Any, fields: Fields, place: str) -> Record:
    """A row that nothing later finds fault with, except an engine with limits of its own."""
    if isinstance(row, bytes):
        row = json_object(row, place)
        for name in (fields.text, fields.id):
            if name is not None and name not in row:
                raise InvalidInput(f"{place} has no key {name!r}. It has {', '.join(map(repr, row)) or 'none'}.")
    record = record_of(row, fields.of(row), place)
    check_unicode(record.content, f"{place}: the text")
    try:
        metadata_json(record.metadata, 0)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from None
    name = content_id(record.content) if record.id is None else check_id(record.id, f"{place}: the id")
    return Record(name, record.content, record.metadata)


def _lines(part: Part) -> Iterator[_Row]:
    """The lines that begin in the part; blank ones are passed over."""
    end = float("inf") if _is_packed(part.path) else part.end
    with opened(part.path) as file:
        first = part.begin
        if first:
            # A line that began before is of the part before; this one may begin just where the part does.
            file.seek(first - 1)
            first += len(file.readline()) - 1
        position = first
        number = 0
        while position < end and (line := file.readline()):
            text = line if position else line.removeprefix(_MARK)
            position += len(line)
            number += 1
            if text.strip():
                yield text, lambda number=number: f"line {_lines_before(part.path, first) + number}"  # type: ignore[misc]


def _lines_before(path: str, position: int) -> int:
    ends = 0
    with opened(path) as file:
        while position and (block := file.read(min(position, _BLOCK))):
            ends += block.count(b"\n")
            position -= len(block)
    return ends


def _parquet_rows(part: Part, fields: Fields) -> Iterator[_Row]:
    with opened(part.path) as file, Parquet(file, part.path) as table:
        for number, row in table.read(part.begin, part.end, fields.of(table.names).names):
            yield row, lambda number=number: f"row {number}"  # type: ignore[misc]


def kind_of(path: str) -> str:
    """Parts of shards of one kind are as long as what is in them: by rows, by bytes, or by packed bytes."""
    return "rows" if _is_parquet(path) else "packed bytes" if _is_packed(path) else "bytes"


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _is_packed(path: str) -> bool:
    return path.lower().endswith(".gz")
