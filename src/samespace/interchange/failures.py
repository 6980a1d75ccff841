"""What the libraries of databases raise, in the words of the error tree."""

from __future__ import annotations

import sqlite3
from types import TracebackType

from samespace.errors import CollectionBusy, InvalidInput, SamespaceError, StorageError, StorageFull
from samespace.interchange.formats import Place

__all__ = ["Failures"]

_KINDS: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, OSError, RuntimeError, sqlite3.Error)


class Failures:
    """Turns what a database's library raises into the error tree.

    Args:
        place: of the database.
        kinds: what the library raises besides Python's own errors.
        writes: whether it is being written.
    """

    def __init__(self, place: Place, *kinds: type[Exception], writes: bool = False) -> None:
        self._place, self._writes = place, writes
        self._kinds: tuple[type[Exception], ...] = (*_KINDS, *kinds)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a library in Rust raises at a broken assertion of its own is no Exception.
        panicked = kind is not None and kind.__name__ == "PanicException"
        if error is None or isinstance(error, SamespaceError) or not (isinstance(error, self._kinds) or panicked):
            return
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        lowered = text.lower()
        if "different settings" in lowered:
            raise InvalidInput(
                f"{self._place} is open in this program with other settings. Close that client first."
            ) from error
        if "locked" in lowered or "database is busy" in lowered:
            raise CollectionBusy(f"Another program holds {self._place}. Close it, and try again.") from error
        if "no space left" in lowered or "disk is full" in lowered:
            raise StorageFull(f"No space left for {self._place}. What was there is as it was.") from error
        if self._writes:
            raise StorageError(f"Cannot write {self._place}: {text}") from error
        raise InvalidInput(f"{self._place} cannot be read by {self._place.format.title}: {text}") from error
