"""The local store: a folder with a SQLite catalogue, which is the truth, and a file of vectors.

A write goes: take SQLite's write lock, append the vectors and sync them, insert the rows that name their slots,
commit. A writer that dies on the way leaves bytes behind the last committed slot, which nobody reads and the
next writer overwrites. A slot's number is never used twice, not even after compaction; so a reader that
holds an old view can miss a row, which it notices, but never take one row for another.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from samespace.errors import (
    CollectionBusy,
    CollectionClosed,
    CollectionCorrupt,
    InvalidInput,
    InvalidVectors,
    NotFound,
    StorageError,
)
from samespace.space import Space
from samespace.stores import schema
from samespace.stores.base import Written
from samespace.stores.columns import Columns
from samespace.stores.failures import Failures, busy
from samespace.stores.fulltext import match_words
from samespace.stores.vectorfile import (
    Precision,
    as_stored,
    beyond,
    checksum,
    map_vectors,
    sync_folder,
    vector_file,
    vector_files,
    write_vectors,
)
from samespace.vectors import Matrix, Stored
from samespace.where import Condition

__all__ = ["LocalStore", "StoredRow", "View"]

_COPY_BLOCK = 16_384  # rows copied at once by compaction
_LONG_LOG = 1_000  # entries from which reading the rows' slots may be quicker than replaying the log,
_ROWS_AN_ENTRY = 8  # since replaying an entry takes as long as reading this many of them
_CATALOG = "catalog.sqlite"

# What is looked up comes as one JSON list: one text of the statement, which SQLite parses once, for any number of
# them, and rows in their order. CROSS JOIN is SQLite's word for "do not turn the loops around".
_FIELDS = "rows.slot, rows.id, content, metadata, tokens_seen, tokens_total"
_ROWS = f"SELECT {_FIELDS} FROM json_each(?) AS wanted CROSS JOIN rows "  # noqa: S608  # constant text
_BY_SLOT = _ROWS + "ON rows.slot = wanted.value"
_BY_ID = _ROWS + "ON rows.id = wanted.value"
# One row with all of it: each row that SQLite hands over costs Python more than the look-up.
_IDS = "SELECT json_group_array(rows.id) FROM json_each(?) AS wanted LEFT JOIN rows ON rows.slot = wanted.value"


class StoredRow(NamedTuple):
    """A row as the catalogue has it; ``metadata`` is JSON text."""

    slot: int
    id: str
    content: str | None
    metadata: str
    tokens_seen: int | None
    tokens_total: int | None


# As StoredRow._make, without a call of Python's for each row.
_stored_row = partial(tuple.__new__, StoredRow)


@dataclass(frozen=True, eq=False)
class View:
    """The collection as it was at one sequence number. Position p is slot ``first_slot + p``.

    Attributes:
        live: False where the row was deleted or replaced, bool of shape (n,).
        vectors: memory-mapped, float32 or float16 of shape (n, dimension).
        count: rows that are there.
    """

    sequence: int
    first_slot: int
    live: NDArray[np.bool_]
    vectors: Stored
    count: int

    @property
    def end_slot(self) -> int:
        return self.first_slot + len(self.live)

    @property
    def deleted(self) -> int:
        """Slots whose row was deleted or replaced."""
        return len(self.live) - self.count

    @property
    def precision(self) -> Precision:
        """Of the numbers in the file of vectors."""
        return "float16" if self.vectors.itemsize == 2 else "float32"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the committed vectors are: slots ``first_slot`` … ``end_slot - 1`` of the file."""

    first_slot: int
    end_slot: int
    precision: Precision

    def __len__(self) -> int:
        return self.end_slot - self.first_slot


class LocalStore:
    """Durable rows in a folder. Any number of readers and one writer at a time, across threads and processes.

    Args:
        path: the folder.
        space: makes the collection with this space where there is none; None opens what is there.
        encoder: name of the encoder that makes the vectors, kept for whoever opens the collection next.
        precision: of the numbers on disk, for a collection that is made; ``compact`` changes it later. float16 takes
            half the bytes, keeps 11 bits of each number, and refuses numbers beyond 65,504.
        timeout: seconds to wait for another writer.

    Raises:
        NotFound: there is no collection and no ``space`` to make one with.
        CollectionCorrupt: the files are not what was written.
    """

    def __init__(
        self,
        path: Path,
        space: Space | None = None,
        *,
        encoder: str | None = None,
        precision: Precision = "float32",
        timeout: float = 30.0,
    ) -> None:
        _check_precision(precision)
        self.path = path
        self._errors = Failures(path, path / _CATALOG)
        self._timeout = timeout
        self._lock = threading.RLock()
        self._write_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._closed = False
        catalog = path / _CATALOG
        with self._errors:
            if not catalog.exists():
                self._create(catalog, space, encoder, precision)
            self._is_fixed = schema.is_fixed(catalog)
            self._reader = schema.connect(catalog, timeout)
        self._columns = Columns(-1)
        self._masks: dict[Condition, tuple[int, NDArray[np.bool_]]] = {}
        self._data_version = -1
        self._view: View | None = None
        try:
            with self._errors:
                try:
                    schema.check(self._reader, catalog)
                except NotFound:
                    self._create(catalog, space, encoder, precision)
                meta = dict(self._reader.execute("SELECT key, value FROM meta").fetchall())
            try:
                self.space = Space.from_dict(json.loads(meta["space"]))
            except (KeyError, ValueError) as error:
                raise CollectionCorrupt(f"{catalog} has no readable space record ({error}).") from error
            self.encoder: str | None = meta.get("encoder") or None
            self.view()
        except BaseException:
            self._reader.close()
            raise

    def _create(self, catalog: Path, space: Space | None, encoder: str | None, precision: Precision) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInput(f"{self.path} is a file. A collection is a folder; choose another name.")
        if orphans := [file.name for file in vector_files(self.path) if file.stat().st_size]:
            raise CollectionCorrupt(
                f"{self.path} has vectors ({orphans[0]}), but its catalogue is empty or gone. Was it copied without "
                f"{_CATALOG}-wal? Restore the folder from a backup, or choose a new one."
            )
        if space is None:
            raise NotFound(f"There is no collection at {self.path}.")
        if self.path.is_dir() and not catalog.exists() and any(self.path.iterdir()):
            raise InvalidInput(
                f"{self.path} is a folder with other files in it and no collection. Choose a new or empty folder."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        connection = schema.connect(catalog, self._timeout)
        meta = {"space": space.canonical, "encoder": encoder or "", "precision": precision}
        schema.create(connection, {**meta, "first_slot": "0", "end_slot": "0"}, schema.FORMATS[precision])
        connection.close()
        sync_folder(self.path)
        sync_folder(self.path.parent)

    @property
    def precision(self) -> Precision:
        """Of the numbers in the file of vectors, now; another process may compact the collection to the other one."""
        return self.view().precision

    # Reading

    def view(self) -> View:
        """What is committed now. Costs microseconds when nothing has changed since the last call."""
        with self._lock, self._errors:
            if self._is_fixed and schema.log_of(self.path / _CATALOG).exists():
                raise StorageError(
                    f"{self.path} was opened where it may not be written, and is written now. Open it again."
                )
            version = self._read("PRAGMA data_version")[0][0]
            if version != self._data_version or self._view is None:
                self._view = self._read_view()
                self._data_version = version
            return self._view

    def _read_view(self) -> View:
        known = self._view
        self._read("BEGIN")
        try:
            layout = self._layout(self._reader)
            first = layout.first_slot
            if known is None or known.first_slot != first or known.precision != layout.precision:
                none = map_vectors(self.path, 0, self.space.dimension, layout.precision)
                known = View(0, first, np.empty(0, np.bool_), none, 0)
            sequence = self._read("SELECT coalesce(max(sequence), 0) FROM log")[0][0]
            live = np.zeros(len(layout), np.bool_)
            if sequence - known.sequence > max(_LONG_LOG, len(layout) // _ROWS_AN_ENTRY):
                alive = self._read("SELECT slot FROM rows")
                live[np.fromiter((slot for (slot,) in alive), np.int64, len(alive)) - first] = True
            else:
                live[: len(known.live)] = known.live
                changes = self._read(
                    "SELECT first_slot, end_slot, removed FROM log WHERE sequence > ? ORDER BY sequence",
                    (known.sequence,),
                )
                for start, stop, removed in changes:
                    live[start - first : stop - first] = True
                    live[np.frombuffer(removed, "<i8") - first] = False
        finally:
            self._read("COMMIT")
        vectors = known.vectors
        if len(vectors) != len(layout):
            vectors = self._map(layout)
        return View(sequence, first, live, vectors, int(np.count_nonzero(live)))

    def fetch(self, slots: Sequence[int]) -> list[StoredRow]:
        """The rows in these slots, in the order asked; those that are gone are left out."""
        return self._rows(_BY_SLOT, f"[{','.join(map(str, slots))}]")

    def find(self, ids: Sequence[str]) -> dict[str, StoredRow]:
        """The rows of these ids that are there."""
        return {row.id: row for row in self._rows(_BY_ID, json.dumps(list(ids)))}

    def slot_of(self, name: str) -> int | None:
        """The slot of the row of this id; None if there is no such row."""
        with self._lock, self._errors:
            found = self._read("SELECT slot FROM rows WHERE id = ?", (name,))
            return found[0][0] if found else None

    def ids_of(self, slots: NDArray[np.int64]) -> list[str | None]:
        """The ids of the rows in these slots, int64 of shape (n,), in the order asked; None where a row is gone.

        Made for many thousands at a time, and slots that come more than once.
        """
        # Neighbouring rows share pages, so going through the slots in order touches fewer of them.
        ordered, place = np.unique(slots, return_inverse=True)
        with self._lock, self._errors:
            names = json.loads(self._read(_IDS, (str(ordered.tolist()),))[0][0])
        found: list[str | None] = np.array(names, object)[place].tolist()
        return found

    def canaries(self) -> bytes | None:
        """What :meth:`keep_canaries` kept; None if nothing was."""
        with self._lock, self._errors:
            if not self._read("SELECT 1 FROM sqlite_master WHERE name = 'canaries'"):
                return None
            found = self._read("SELECT vectors FROM canaries")
            return found[0][0] if found else None

    def note(self, name: str) -> bytes | None:
        """What :meth:`keep_note` kept under a name; None if nothing was."""
        with self._lock, self._errors:
            if not self._read("SELECT 1 FROM sqlite_master WHERE name = 'notes'"):
                return None
            found = self._read("SELECT value FROM notes WHERE name = ?", (name,))
            return found[0][0] if found else None

    def truncated(self) -> int:
        """How many rows were longer than their encoder read."""
        with self._lock, self._errors:
            count: int = self._read("SELECT count(*) FROM rows WHERE tokens_seen < tokens_total")[0][0]
            return count

    def matching(self, condition: Condition | None, view: View) -> NDArray[np.bool_]:
        """Where rows are there and meet the condition, bool of shape (n,). Do not change it."""
        if condition is None:
            return view.live
        with self._lock, self._errors:
            sequence, mask = self._masks.get(condition, (-1, view.live))
            if sequence == view.sequence:
                return mask
            if self._columns.first_slot != view.first_slot:
                self._columns = Columns(view.first_slot)
            mask = view.live & self._columns.mask(condition, self._reader, len(view.live))
            if len(self._masks) >= 16:
                self._masks.pop(next(iter(self._masks)))
            self._masks[condition] = (view.sequence, mask)
            return mask

    def match_text(self, words: str, k: int, allowed: NDArray[np.bool_], view: View) -> list[tuple[int, float]]:
        """The ``k`` best positions for a text by BM25, with their scores, best first."""
        with self._lock, self._errors:
            self._check_open()
            return match_words(self._reader, words, k, allowed, view.first_slot)

    def _rows(self, statement: str, wanted: str) -> list[StoredRow]:
        """The rows that the statement finds for a JSON list."""
        with self._lock, self._errors:
            return list(map(_stored_row, self._read(statement, (wanted,))))

    def _read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._check_open()
        return self._reader.execute(statement, parameters).fetchall()

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionClosed(f"The collection {self.path} was closed. Open it again with samespace.open().")

    # Writing

    def write(
        self,
        ids: Sequence[str],
        contents: Sequence[str | None],
        metadata: Sequence[str],
        vectors: Matrix,
        tokens: Sequence[tuple[int | None, int | None]],
    ) -> Written:
        """Insert rows, or replace those that have these ids, in one durable commit.

        Args:
            ids: no id twice.
            contents: one a row.
            metadata: JSON text of an object, one a row.
            vectors: comparable, float32 of shape (n, dimension).
            tokens: tokens seen and tokens in all.

        Raises:
            InvalidVectors: a number is beyond the collection's precision; nothing was written.
            StorageFull, CollectionBusy: nothing was written.
        """
        with self._transaction() as writer:
            layout = self._layout(writer)
            end = layout.end_slot
            stored = _fitting(vectors, layout.precision, ids.__getitem__)
            old = writer.execute(
                "SELECT slot FROM rows WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            ).fetchall()
            removed = [slot for (slot,) in old]
            stop = end + len(ids)
            # The disk takes the vectors while SQLite works; both are done before the commit.
            with ThreadPoolExecutor(1) as disk:
                written = disk.submit(write_vectors, self._file(layout), len(layout), stored)
                self._remove(writer, removed)
                self._insert(writer, end, zip(ids, contents, metadata, tokens, strict=True))
                self._log(writer, end, stop, removed, checksum(stored))
                writer.execute("UPDATE meta SET value = ? WHERE key = 'end_slot'", (str(stop),))
                written.result()
        return Written(len(ids) - len(removed), len(removed))

    def keep_canaries(self, vectors: bytes, *, replace: bool = False) -> None:
        """Keep what proves an encoder of this space later, by default unless something is kept already."""
        with self._transaction() as writer:
            writer.execute(schema.CANARIES)
            writer.execute(_insert("canaries", replace=replace), (1, vectors))

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        """Keep some bytes under a name; with ``replace=False``, what is there stays."""
        with self._transaction() as writer:
            writer.execute(schema.NOTES)
            writer.execute(_insert("notes", replace=replace), (name, value))

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the rows of these ids in one durable commit, and say how many there were."""
        with self._transaction() as writer:
            found = writer.execute(
                "SELECT slot FROM rows WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            ).fetchall()
            return self._delete(writer, [slot for (slot,) in found])

    def delete_where(self, condition: Condition) -> int:
        """Delete the rows that meet a condition in one durable commit, and say how many there were."""
        with self._transaction() as writer:
            view = self.view()  # of all that is committed; nobody else commits before this does
            return self._delete(writer, (np.flatnonzero(self.matching(condition, view)) + view.first_slot).tolist())

    def _delete(self, writer: sqlite3.Connection, slots: list[int]) -> int:
        if slots:
            end = self._layout(writer).end_slot
            self._remove(writer, slots)
            self._log(writer, end, end, slots, 0)
        return len(slots)

    def compact(self, precision: Precision | None = None) -> None:
        """Give back the space of deleted rows: new vector file, new slot numbers, a log of one entry.

        Readers go on with the old file until they look again. The peak need is one copy of the live vectors.

        Args:
            precision: of the numbers in the new file; None keeps it. What float16 rounded away does not come back.

        Raises:
            InvalidVectors: a number is beyond that precision; the collection is as it was.
        """
        if precision is not None:
            _check_precision(precision)
        with self._transaction() as writer:
            layout = self._layout(writer)
            live = np.array([slot for (slot,) in writer.execute("SELECT slot FROM rows ORDER BY slot")], np.int64)
            end = layout.end_slot
            compacted = _Layout(end, end + len(live), precision or layout.precision)
            crc = self._copy_vectors(writer, layout, live, compacted)
            # New numbers are all above the old ones, so no two rows collide on the way.
            writer.execute("CREATE TEMP TABLE renumbered (old INTEGER PRIMARY KEY, new INTEGER)")
            writer.executemany(
                "INSERT INTO renumbered VALUES (?, ?)", ((slot, end + n) for n, slot in enumerate(live.tolist()))
            )
            writer.execute("UPDATE rows SET slot = (SELECT new FROM renumbered WHERE old = slot)")
            writer.execute("DROP TABLE renumbered")
            writer.execute("INSERT INTO text (text) VALUES ('rebuild')")
            sequence = writer.execute("SELECT coalesce(max(sequence), 0) FROM log").fetchone()[0]
            writer.execute("DELETE FROM log WHERE sequence < ?", (sequence,))
            writer.execute("UPDATE meta SET value = ? WHERE key = 'first_slot'", (str(end),))
            writer.execute("UPDATE meta SET value = ? WHERE key = 'end_slot'", (str(compacted.end_slot),))
            if compacted.precision != layout.precision:
                schema.migrate(writer, schema.FORMATS[compacted.precision])
                writer.execute("INSERT OR REPLACE INTO meta VALUES ('precision', ?)", (compacted.precision,))
            self._log(writer, end, compacted.end_slot, [], crc)
            writer.execute("DELETE FROM log WHERE sequence = ?", (sequence,))
        with self._write_lock, self._errors:
            writer = self._open_writer()
            self._drop_old_vector_files(writer)
            # A reader in the middle of something keeps old pages alive; what it holds is given back next time.
            with contextlib.suppress(sqlite3.OperationalError):
                writer.execute("VACUUM")
            with contextlib.suppress(sqlite3.OperationalError):
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def verify(self) -> list[str]:
        """Read everything and compare it with what was written.

        Returns:
            one sentence for each thing that is wrong; empty when all is well.
        """
        with self._lock, self._errors:
            problems = [f"catalogue: {row[0]}" for row in self._read("PRAGMA integrity_check") if row[0] != "ok"]
            while True:
                view = self.view()
                span = (view.first_slot, view.end_slot)
                total = self._read("SELECT count(*) FROM rows")[0][0]
                inside = self._read("SELECT count(*) FROM rows WHERE slot >= ? AND slot < ?", span)[0][0]
                entries = self._read("SELECT sequence, first_slot, end_slot, checksum FROM log ORDER BY sequence")
                if self.view() is view:
                    break  # nobody wrote in between, so all of it is of one moment
        if not total == inside == view.count:
            problems.append(f"catalogue: {total} rows, {inside} of them in its slots, and {view.count} by the log")
        for sequence, start, stop, crc in entries:
            part = view.vectors[start - view.first_slot : stop - view.first_slot]
            if stop > start and checksum(part) != crc:
                problems.append(f"vectors of slots {start} to {stop - 1} (change {sequence}) are not what was written")
        return problems

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes on disk: ``vectors`` and ``catalog``."""
        return {
            "vectors": sum(file.stat().st_size for file in vector_files(self.path)),
            "catalog": sum(file.stat().st_size for file in self.path.glob(f"{_CATALOG}*")),
        }

    def remove_files(self) -> None:
        """Delete the closed collection's files, and its folder unless there is something else in it."""
        with self._errors:
            for file in [*self.path.glob(f"{_CATALOG}*"), *vector_files(self.path)]:
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def close(self) -> None:
        """Close the files. Closing twice is fine."""
        with self._write_lock, self._lock:
            self._closed = True
            self._view = None
            self._reader.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    # How writing is done

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """SQLite's write lock from beginning to commit; all or nothing."""
        if not self._write_lock.acquire(timeout=self._timeout):
            raise CollectionBusy(busy(self.path))
        try:
            with self._errors:
                self._check_open()
                writer = self._open_writer()
                writer.execute("BEGIN IMMEDIATE")
                try:
                    yield writer
                    writer.execute("COMMIT")
                except BaseException:
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                    raise
        finally:
            self._write_lock.release()

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = schema.connect(self.path / _CATALOG, self._timeout)
            self._drop_old_vector_files(self._writer)
        return self._writer

    def _drop_old_vector_files(self, writer: sqlite3.Connection) -> None:
        """Remove what a compaction left, whether it ended or died."""
        writer.execute("BEGIN IMMEDIATE")  # no compaction is under way while we hold the lock
        current = self._file(self._layout(writer))
        for file in vector_files(self.path):
            if file != current:
                with contextlib.suppress(PermissionError):  # Windows keeps a mapped file; it goes next time
                    file.unlink()
        writer.execute("COMMIT")

    def _copy_vectors(self, writer: sqlite3.Connection, old: _Layout, slots: NDArray[np.int64], new: _Layout) -> int:
        """Write the vectors of these slots into the file of ``new``, and give their checksum."""

        def name(row: int) -> str:
            found: str = writer.execute("SELECT id FROM rows WHERE slot = ?", (int(part[row]),)).fetchone()[0]
            return found

        target = self._file(new)
        target.unlink(missing_ok=True)
        vectors = self._map(old)
        if len(slots) == 0:
            target.touch()
        try:
            for start in range(0, len(slots), _COPY_BLOCK):
                part = slots[start : start + _COPY_BLOCK]
                write_vectors(target, start, _fitting(vectors[part - old.first_slot], new.precision, name))
        except BaseException:
            target.unlink(missing_ok=True)  # a full disk has its room back at once
            raise
        return checksum(self._map(new))

    @staticmethod
    def _insert(writer: sqlite3.Connection, first: int, rows: Iterable[tuple[Any, ...]]) -> None:
        writer.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
            (
                (slot, name, content, metadata, seen, total)
                for slot, (name, content, metadata, (seen, total)) in enumerate(rows, first)
            ),
        )
        writer.execute(
            "INSERT INTO text (rowid, content) SELECT slot, content FROM rows WHERE slot >= ? AND content IS NOT NULL",
            (first,),
        )

    @staticmethod
    def _remove(writer: sqlite3.Connection, slots: list[int]) -> None:
        parameters = [(slot,) for slot in slots]
        # The full text index keeps no copy of the content, so it must be told what it forgets.
        writer.executemany(
            "INSERT INTO text (text, rowid, content) SELECT 'delete', slot, content FROM rows "
            "WHERE slot = ? AND content IS NOT NULL",
            parameters,
        )
        writer.executemany("DELETE FROM rows WHERE slot = ?", parameters)

    @staticmethod
    def _log(writer: sqlite3.Connection, first: int, end: int, removed: list[int], crc: int) -> None:
        writer.execute(
            "INSERT INTO log (first_slot, end_slot, removed, checksum) VALUES (?, ?, ?, ?)",
            (first, end, np.array(removed, "<i8").tobytes(), crc),
        )

    @staticmethod
    def _layout(connection: sqlite3.Connection) -> _Layout:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        precision = meta.get("precision", "float32")  # collections older than the choice do not say
        if precision not in get_args(Precision):
            raise CollectionCorrupt(f"The catalogue names a precision that is not known: {precision!r}.")
        try:
            return _Layout(int(meta["first_slot"]), int(meta["end_slot"]), precision)
        except (KeyError, ValueError) as error:
            raise CollectionCorrupt(f"The catalogue does not say which slots it has ({error!r}).") from None

    def _file(self, layout: _Layout) -> Path:
        return vector_file(self.path, layout.first_slot, layout.precision)

    def _map(self, layout: _Layout) -> Stored:
        return map_vectors(self._file(layout), len(layout), self.space.dimension, layout.precision)


def _insert(table: str, *, replace: bool) -> str:
    return f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO {table} VALUES (?, ?)"  # noqa: S608  # our own names


def _check_precision(precision: Precision) -> None:
    if precision not in get_args(Precision):
        raise InvalidInput(f"precision must be 'float32' or 'float16', got {precision!r}.")


def _fitting(vectors: Stored, precision: Precision, name: Callable[[int], str]) -> Stored:
    """The vectors as they are on disk; ``name`` tells the id of a row that cannot be there."""
    row = beyond(vectors, precision)
    if row is not None:
        largest = float(np.abs(vectors[row]).max())
        raise InvalidVectors(
            f"Row {name(row)!r} has a number of size {largest:.6g}; {precision} holds up to 65,504. "
            "Keep such vectors in float32, or scale them."
        )
    return as_stored(vectors, precision)
