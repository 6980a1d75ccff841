"""The real queries of the past, in a small ring, so that recall is measured on what people ask."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np

from samespace.errors import CollectionCorrupt
from samespace.indexes import sealed
from samespace.vectors import Matrix

__all__ = ["QueryLog"]

log = logging.getLogger("samespace.recall")

_VERSION = 1
_OF_A_CALL = 8  # one call may take up to an 8th of the ring, so that a batch does not push out everyday's queries


class QueryLog:
    """Keeps the vectors of the last queries, and nothing else of them. Safe to use from several threads.

    Args:
        dimension: length of each.
        capacity: how many are kept.
    """

    def __init__(self, dimension: int, capacity: int = 1_024) -> None:
        self.dimension = dimension
        self.capacity = capacity
        self._ring = np.empty((capacity, dimension), np.float32)
        self._seen = 0  # queries ever put in; the next one goes to this place, modulo the capacity
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return min(self._seen, self.capacity)

    def add(self, queries: Matrix) -> None:
        """Keep comparable queries of shape (q, dimension); of a large batch, some that lie evenly in it."""
        room = max(1, self.capacity // _OF_A_CALL)
        if len(queries) > room:
            queries = queries[np.linspace(0, len(queries) - 1, room).astype(int)]
        self._put(queries)

    def recent(self) -> Matrix:
        """The queries, oldest first, float32 of shape (len(self), dimension); a copy."""
        with self._lock:
            return self._ring[np.arange(self._seen - len(self), self._seen) % self.capacity]

    def save(self, path: Path) -> None:
        """Write them under a checksum.

        Raises:
            StorageFull: no space left.
            StorageError: the disk refused.
        """
        queries = self.recent()
        header = {"kind": "queries", "version": _VERSION, "dimension": self.dimension, "count": len(queries)}
        sealed.write(path, header, queries.tobytes())

    def load(self, path: Path) -> None:
        """Put in what :meth:`save` wrote. A file that is missing or damaged adds nothing; the log says so."""
        if not path.exists():
            return
        try:
            header, payload = sealed.read(path)
        except CollectionCorrupt as error:
            log.warning("The past queries are left out: %s", error)
            return
        count = header.get("count")
        expected = {"kind": "queries", "version": _VERSION, "dimension": self.dimension, "count": count}
        if header != expected or len(payload) != 4 * self.dimension * int(count or 0):
            log.warning("The past queries in %s are of another kind and are left out: %s", path, header)
            return
        self._put(np.frombuffer(payload, np.float32).reshape(-1, self.dimension))

    def _put(self, queries: Matrix) -> None:
        with self._lock:
            queries = queries[-self.capacity :]
            self._ring[np.arange(self._seen, self._seen + len(queries)) % self.capacity] = queries
            self._seen += len(queries)
