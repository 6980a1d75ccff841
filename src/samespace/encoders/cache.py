"""Vectors that were made once, on disk: one file for all encoders and all processes of a user."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.places import cache_folder
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts

__all__ = ["LIMIT", "Found", "VectorCache", "shared_cache"]

LIMIT = 2 << 30
"""Bytes that the file may take."""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_FORMAT = 1
_SCHEMA = f"""
    CREATE TABLE vectors (
        key BLOB NOT NULL UNIQUE, used INTEGER NOT NULL, seen INTEGER NOT NULL, total INTEGER NOT NULL,
        checksum INTEGER NOT NULL, vector BLOB NOT NULL
    );
    CREATE INDEX by_use ON vectors (used);
    CREATE TABLE canaries (
        space TEXT NOT NULL, setup TEXT NOT NULL, checked REAL NOT NULL, vectors BLOB NOT NULL,
        PRIMARY KEY (space, setup)
    ) WITHOUT ROWID;
    PRAGMA user_version = {_FORMAT};
"""
_ASKED = 1_000  # keys in a query; SQLite takes 32,766
_DAY = 86_400
_WAIT = 30.0  # seconds for another process that is writing


@dataclass(frozen=True, eq=False)
class Found:
    """What the cache has of some texts.

    Attributes:
        there: bool of shape (n,).
        array: float32 of shape (n, dimension); rows that are not there are zero.
        seen, total: int32 of shape (n,): the receipts.
    """

    there: NDArray[np.bool_]
    array: Matrix
    seen: NDArray[np.int32]
    total: NDArray[np.int32]


class VectorCache:
    """Vectors by space, role and content. Safe to use from threads and processes.

    It must never be in the way: a file that is damaged is begun anew, and where nothing can be written or
    read, there is no cache, and a line in the log.

    Args:
        path: of the file; made with its folder when something is first kept.
        limit: bytes that it may take. What was used longest ago goes first, by days.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path = path
        self.limit = limit
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._inode = 0

    def find(self, space: Space, role: Role, texts: Sequence[str]) -> Found:
        """Look up texts, each as it is handed to the model, its prompt included."""
        count = len(texts)
        found = Found(
            np.zeros(count, np.bool_),
            np.zeros((count, space.dimension), np.float32),
            np.zeros(count, np.int32),
            np.zeros(count, np.int32),
        )
        keys = [_key(space, role, text) for text in texts]
        rows: dict[bytes, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        today = _today()

        def look(connection: sqlite3.Connection) -> None:
            old = []
            for key, used, seen, total, checksum, vector in _select(connection, list(rows)):
                if len(vector) != 4 * space.dimension or zlib.crc32(vector) != checksum:
                    continue  # the disk changed it; it is made and kept again
                places = rows[key]
                found.there[places] = True
                found.array[places] = np.frombuffer(vector, "<f4")
                found.seen[places], found.total[places] = seen, total
                if used != today:
                    old.append((today, key))
            if old:
                connection.executemany("UPDATE vectors SET used = ? WHERE key = ?", old)

        self._do(look, None)
        return found

    def keep(
        self,
        space: Space,
        role: Role,
        texts: Sequence[str],
        array: Matrix,
        receipts: Receipts,
        *,
        durable: bool = False,
    ) -> bool:
        """Keep the vectors of texts.

        Args:
            space: of the vectors.
            role: that the texts were encoded in.
            texts: as they were handed to the model.
            array: float32 of shape (n, dimension).
            receipts: one a text.
            durable: they are on stable storage when this returns, since they cost money.

        Returns:
            True if they are kept.
        """
        today = _today()
        rows = []
        for text, vector, seen, total in zip(
            texts, array.astype("<f4"), receipts.seen.tolist(), receipts.total.tolist(), strict=True
        ):
            content = vector.tobytes()
            rows.append((_key(space, role, text), today, seen, total, zlib.crc32(content), content))

        def insert(connection: sqlite3.Connection) -> bool:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._make_room(connection)
            return True

        return self._do(insert, False, durable=durable)

    def canaries(self, space: Space) -> dict[str, tuple[float, bytes]]:
        """What was kept of a space: the time of the last check and the vectors, by setup."""

        def select(connection: sqlite3.Connection) -> dict[str, tuple[float, bytes]]:
            rows = connection.execute("SELECT setup, checked, vectors FROM canaries WHERE space = ?", (space.id,))
            return {setup: (checked, vectors) for setup, checked, vectors in rows}

        return self._do(select, {})

    def keep_canaries(self, space: Space, setup: str, vectors: bytes) -> None:
        """Note that a setup made these canaries of a space just now; the vectors that it made first are what stays."""
        row = (space.id, setup, time.time(), vectors)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO canaries VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET checked = excluded.checked", row
            )

        self._do(insert, None)

    def size(self) -> tuple[int, int]:
        """Vectors that are kept, and bytes that these take."""
        return self._do(lambda connection: (_count(connection), _bytes(connection)), (0, 0))

    def clear(self) -> int:
        """Forget all vectors, but no canaries; returns how many vectors there were."""
        forgotten = self._do(lambda connection: connection.execute("DELETE FROM vectors").rowcount, 0)
        self._do(_vacuum, None)
        return forgotten

    def forget(self, space: str) -> int:
        """Forget the vectors and canaries of the space with this id; returns how many vectors there were."""
        first = bytes.fromhex(space)

        def delete(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM canaries WHERE space = ?", (space,))
            between = (first, first + b"\xff" * 17)
            return connection.execute("DELETE FROM vectors WHERE key BETWEEN ? AND ?", between).rowcount

        return self._do(delete, 0)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _make_room(self, connection: sqlite3.Connection) -> None:
        while _bytes(connection) > self.limit:
            eighth = 1 + _count(connection) // 8
            gone = connection.execute(
                "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?)", (eighth,)
            )
            if not gone.rowcount:
                return

    def _do(self, action: Callable[[sqlite3.Connection], _T], otherwise: _T, *, durable: bool = False) -> _T:
        """Act in a transaction; what goes wrong with the file is logged, and ``otherwise`` is the result."""
        with self._lock:
            if self._broken:
                return otherwise
            try:
                connection = self._connect()
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                with connection:
                    return action(connection)
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                return otherwise

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            self._inode = self.path.stat().st_ino
            self._connection = _open(self.path)
        return self._connection

    def _fail(self, error: Exception) -> None:
        self.close()
        if any(words in str(error) for words in ("malformed", "not a database")):
            _log.warning("The cache %s is damaged (%s) and is begun anew.", self.path, error)
            try:
                # Unless another process saw it too, and began anew before us.
                if self.path.stat().st_ino == self._inode:
                    for file in (self.path, *self.path.parent.glob(f"{self.path.name}-*")):
                        file.unlink(missing_ok=True)
            except OSError:
                self._broken = True
        elif "locked" in str(error):
            _log.warning("Vectors were not cached this time: %s is busy (%s).", self.path, error)
        else:
            _log.warning("Vectors are not cached, since %s cannot be used: %s.", self.path, error)
            self._broken = True


def shared_cache() -> VectorCache:
    """The user's cache, in :func:`cache_folder`. One object a file, whoever asks."""
    path = cache_folder("vectors.sqlite").absolute()
    with _lock:
        return _caches.setdefault(path, VectorCache(path))


_lock = RLock()
_caches: dict[Path, VectorCache] = {}
_inherited: list[sqlite3.Connection | None] = []


def _after_fork() -> None:
    """A connection must not be used by two processes, nor a lock waited for that a thread of the parent holds."""
    for cache in _caches.values():
        # Closing it would tidy up files that the parent still uses.
        _inherited.append(cache._connection)
        cache._lock, cache._connection = RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False, isolation_level="IMMEDIATE")
    try:
        connection.execute("PRAGMA page_size = 16384")  # of a new file; a vector of 512 numbers would take a usual page
        connection.execute("PRAGMA journal_mode = WAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been faster
            if found > _FORMAT:
                raise sqlite3.OperationalError(f"a newer samespace made it, with format {found}")  # noqa: TRY301 closed below
            if found < _FORMAT:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
            connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _select(connection: sqlite3.Connection, keys: list[bytes]) -> Iterator[tuple[bytes, int, int, int, int, bytes]]:
    for start in range(0, len(keys), _ASKED):
        part = keys[start : start + _ASKED]
        marks = ",".join("?" * len(part))
        yield from connection.execute(
            f"SELECT key, used, seen, total, checksum, vector FROM vectors WHERE key IN ({marks})",  # noqa: S608 marks only
            part,
        ).fetchall()


def _vacuum(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")


def _today() -> int:
    return int(time.time()) // _DAY


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])


def _bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _key(space: Space, role: Role, text: str) -> bytes:
    # The space first, so that all of one lie together; no role is the beginning of the other.
    return bytes.fromhex(space.id) + blake2b(f"{role}\0{text}".encode(), digest_size=16).digest()
