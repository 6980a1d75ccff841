"""Reading in a thread of its own, while what was read is encoded."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ReadAhead"]

T = TypeVar("T")

_PATIENCE = 0.1  # seconds between two looks at whether the other side still wants to go on
_END = object()


class ReadAhead(Generic[T]):
    """An iterator that is read ahead of its use, in order. Errors come out where they happened.

    Args:
        items: read in the thread, and never in two threads at once.
        limit: items read and not yet used, at most.
        on_end: called in the thread, with the number of items in all, when the last has been read.
    """

    def __init__(self, items: Iterable[T], limit: int, on_end: Callable[[int], None]) -> None:
        self._on_end = on_end
        self._queue: queue.Queue[T | BaseException | object] = queue.Queue(limit)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(items,), name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                # With a timeout, because without one Windows does not let Ctrl-C through.
                item = self._queue.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]  # neither the end nor an error

    def close(self) -> None:
        """Stop reading; what is being read is waited for, but not long."""
        self._stopped.set()
        self._thread.join(timeout=2.0)

    def _read(self, items: Iterable[T]) -> None:
        count = 0
        try:
            for item in items:
                if not self._put(item):
                    return
                count += 1
        except BaseException as error:  # noqa: BLE001  it is raised again, in the thread that asked
            self._put(error)
        else:
            self._on_end(count)
            self._put(_END)

    def _put(self, item: T | BaseException | object) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False
