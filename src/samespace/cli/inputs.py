"""What ``samespace index`` was given (folders, files, tables, standard input) as one stream of passages."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samespace.sources import (
    TABLES,
    Columns,
    Passage,
    Record,
    read_files,
    read_jsonl,
    read_stream,
    read_table,
)
from samespace.sources import gone as gone_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from samespace.collection import Collection

__all__ = ["Inputs"]

_STDIN = "-"
_STDIN_NAME = "<stdin>"
_TABLE = ""  # stands for the digest in rows of tables, which have none


@dataclass
class _Stored:
    """The rows of one file that a collection holds: ids by the digest of the file they were read from."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)  # passages that the file had, by its digest

    def complete(self, digest: str) -> bool:
        """Every passage of the file in this state is there."""
        return digest in self.ids and len(self.ids[digest]) == self.whole[digest]

    def without(self, *digests: str) -> set[str]:
        """Ids that are of none of these states of the file."""
        return set().union(*(ids for digest, ids in self.ids.items() if digest not in digests))


@dataclass
class Inputs:
    """The paths of one run, and what was learnt on the way through them.

    Attributes:
        paths: folders and files.
        tables: files whose rows are the passages.
        stdin: standard input is read too.
        columns: of tables; None where there are none.
        files: that were read, or found unchanged.
        skipped: files that could not be read, each with the reason.
        unchanged_passages: of files that were found unchanged, and so not cut into passages again.
    """

    paths: list[Path]
    tables: list[Path]
    stdin: bool
    columns: Columns | None
    files: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unchanged_passages: int = 0
    _stored: dict[str, _Stored] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _unchanged: dict[str, str] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)
    _read_as_table: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, given: Sequence[str], columns: Columns | None) -> Inputs:
        """Sort what was given.

        Raises:
            click.UsageError: a table without ``--text``, or ``--text`` without a table.
        """
        paths = [Path(name) for name in given if name != _STDIN]
        tables = [path for path in paths if path.suffix.lower() in TABLES and not path.is_dir()]
        stdin = _STDIN in given
        if tables and columns is None:
            raise click.UsageError(f"{tables[0]} is a table: name the column to embed with --text.")
        if columns is not None and not tables and not stdin:
            raise click.UsageError(
                f"--text is for tables ({', '.join(TABLES)}) and standard input; there is none here."
            )
        return cls([path for path in paths if path not in tables], tables, stdin, columns)

    @property
    def named_but_skipped(self) -> bool:
        """A path could not be read that was named itself, not found in a folder."""
        named = {path.as_posix() for path in self.paths}
        return any(path in named for path, _ in self.skipped)

    def passages(self, collection: Collection) -> Iterator[Passage | Record]:
        """Go through everything to add, file by file; a file that is in the collection just so gives nothing.

        Raises:
            NotFound, InvalidInput, MissingExtra: a path does not exist, or a table cannot be read.
        """
        encoder = collection.require_encoder()
        files = read_files(
            self.paths,
            count_tokens=encoder.count_tokens,
            max_tokens=encoder.max_tokens,
            on_skip=self._skip,
            unchanged=self._is_unchanged,
            on_seen=self._seen.add,
        )
        tables = [(str(path), read_table(path, self.columns)) for path in self.tables if self.columns]
        self._stored = _stored(collection)
        yield from self._counted(files)
        for name, records in tables:
            yield from self._placed(name, records)
        if self.stdin and self.columns:
            # Not sys.stdin, whose encoding is the locale's.
            lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
            yield from self._placed(_STDIN_NAME, read_jsonl(lines, self.columns, name=_STDIN_NAME))
        elif self.stdin:
            self.files += 1
            self._read.add(_STDIN_NAME)
            stream = sys.stdin.buffer
            text = read_stream(
                stream, name=_STDIN_NAME, count_tokens=encoder.count_tokens, max_tokens=encoder.max_tokens
            )
            yield from self._counted(text)

    def gone(self, came: set[str]) -> list[str]:
        """Ids of rows that these paths gave once and do not give now.

        Args:
            came: ids of all the passages that came this time.
        """
        lost = set(gone_files(self._stored, self.paths, self._seen))
        ids: set[str] = set()
        for name, stored in self._stored.items():
            # One file may have been indexed as a table, and as a text in its folder: each run judges its own rows.
            if name in lost:
                ids |= stored.without()
            if name in self._unchanged:
                ids |= stored.without(_TABLE, self._unchanged[name])
            if name in self._read:
                ids |= stored.without(_TABLE) - came
            if name in self._read_as_table:
                ids |= stored.ids.get(_TABLE, set()) - came
        return sorted(ids)

    def _skip(self, path: Path, reason: str) -> None:
        name = path.as_posix()
        self.skipped.append((name, reason))
        if name in self._read:  # it was there, but is not text: what is kept of it stays
            self._read.remove(name)
            self.files -= 1

    def _is_unchanged(self, name: str, digest: str) -> bool:
        self.files += 1
        stored = self._stored.get(name)
        if stored is None or not stored.complete(digest):
            self._read.add(name)
            return False
        self._unchanged[name] = digest
        self.unchanged_passages += stored.whole[digest]
        return True

    def _counted(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """Write into every passage how many its file has, by which a later run sees if all are there."""
        for _, group in groupby(passages, key=lambda passage: passage.metadata["path"]):
            whole = list(group)
            for passage in whole:
                yield replace(passage, metadata={**passage.metadata, "passages": len(whole)})

    def _placed(self, name: str, records: Iterable[Record]) -> Iterator[Record]:
        self.files += 1
        self._read_as_table.add(name)
        for record in records:
            yield replace(record, metadata={"path": name, **record.metadata})


def _stored(collection: Collection) -> dict[str, _Stored]:
    files: dict[str, _Stored] = {}
    for row in collection.rows():
        path = row.metadata.get("path")
        if isinstance(path, str):
            digest = str(row.metadata.get("digest", _TABLE))
            file = files.setdefault(path, _Stored())
            file.ids.setdefault(digest, set()).add(row.id)
            file.whole[digest] = row.metadata.get("passages", -1)
    return files
