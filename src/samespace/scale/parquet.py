"""Parquet in parts: some rows of a file, with a part of one group of rows in memory at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from types import TracebackType
from typing import IO, Any, Self

from samespace.errors import InvalidInput, MissingExtra

__all__ = ["Parquet"]

_BATCH = 256  # rows that are held at a time
_BUFFER = 2**20  # bytes of a column that are read at a time


class Parquet:
    """A file of Parquet, within a ``with``: what is wrong with it is InvalidInput, up to the end of that.

    Args:
        file: open for reading.
        path: its name, for messages.

    Attributes:
        names: of its columns.
        rows: how many.
        largest: rows of its largest group, which can only be read from its beginning.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file, self._path = file, path

    def __enter__(self) -> Self:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtra("Reading Parquet", "parquet") from error
        self._errors = (pa.ArrowException, OSError)
        try:
            # Pages as they are needed, not a whole group: its texts may be larger than the memory.
            self._table = pq.ParquetFile(self._file, buffer_size=_BUFFER, pre_buffer=False)
        except self._errors as error:
            raise self._unreadable(error) from error
        about = self._table.metadata
        groups = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
        self._ends = list(accumulate(groups))
        self.names: list[str] = self._table.schema_arrow.names
        self.rows: int = about.num_rows
        self.largest = max(groups, default=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        if isinstance(error, self._errors):
            raise self._unreadable(error) from error

    def read(self, begin: int, end: int, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows from ``begin`` up to ``end``, from 0, each with its number, from 1.

        Raises:
            InvalidInput: there is no such column.
        """
        if missing := [name for name in columns if name not in self.names]:
            has = ", ".join(map(repr, self.names)) or "none"
            raise InvalidInput(f"{self._path} has no column {missing[0]!r}. It has {has}.")
        first, last = bisect_right(self._ends, begin), bisect_left(self._ends, end)
        groups = list(range(first, min(last + 1, len(self._ends))))
        position = self._ends[first - 1] if first else 0
        for batch in self._table.iter_batches(_BATCH, row_groups=groups, columns=list(columns), use_threads=False):
            start, stop = max(begin - position, 0), min(end - position, batch.num_rows)
            if start < stop:
                yield from enumerate(batch.slice(start, stop - start).to_pylist(), position + start + 1)
            position += batch.num_rows

    def _unreadable(self, error: BaseException) -> InvalidInput:
        return InvalidInput(f"{self._path} is not Parquet that can be read: {error}.")
