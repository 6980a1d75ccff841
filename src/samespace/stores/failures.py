"""What SQLite and the system raise, in the words of the error tree."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from types import TracebackType

from samespace.errors import CollectionBusy, CollectionCorrupt, SamespaceError, StorageError, StorageFull

__all__ = ["Failures", "busy"]


class Failures:
    """Turns what SQLite and the system raise into the error tree.

    A class, since a generator's ``with`` costs every search more than the rest of its locks and checks.
    """

    def __init__(self, path: Path, catalog: Path) -> None:
        self._path = path
        self._catalog = catalog

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            self._raise_for_sqlite(error)
        elif isinstance(error, OSError) and not isinstance(error, SamespaceError):
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StorageFull(_full(self._path)) from error
            raise StorageError(f"Cannot use {self._path}: {error}.") from error

    def _raise_for_sqlite(self, error: sqlite3.Error) -> None:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise CollectionBusy(busy(self._path)) from error
        if name.startswith("SQLITE_FULL"):
            raise StorageFull(_full(self._path)) from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise CollectionCorrupt(f"{self._catalog} is damaged ({error}). Restore it from a backup.") from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
            raise StorageError(f"Cannot use {self._path}: {error}.") from error
        if isinstance(error, sqlite3.OperationalError):
            raise CollectionCorrupt(f"{self._catalog} is not as it should be ({error}).") from error


def busy(path: Path) -> str:
    """What to tell who waited for another writer in vain."""
    return f"Another writer holds {path}; it did not finish within the timeout. Try again, or raise timeout=."


def _full(path: Path) -> str:
    return f"No space left on the disk of {path}. Nothing of this batch was written."
