"""Connections to one database, lent to one thread at a time.

A pool of its own, and not psycopg_pool: that one connects in background threads, which a forked process does not have,
and tells of a refused password only that it waited. Here a call connects when no connection is idle, in its own thread,
and gets the server's own words.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format, TransactionStatus

from samespace.errors import CollectionClosed, InvalidInput, StoreUnavailable
from samespace.stores.postgres.failures import is_lost, is_passing, translated

__all__ = ["Connection", "Connections", "Point"]

T = TypeVar("T")

_MOST = 16  # connections of a process to one collection

# Filters and limits decide a plan, so a plan is made for each search; compiling one takes longer than most searches.
# What an index finds is sorted again, so it may come in a relaxed order; when it stops too soon, the search is done
# again exactly, so it may stop.
_SESSION = (
    "SET plan_cache_mode = force_custom_plan; SET jit = off; SET statement_timeout = {timeout}; "
    "SET lock_timeout = {timeout}; SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 100000; "
    "SET hnsw.scan_mem_multiplier = 8; SET ivfflat.iterative_scan = relaxed_order"
)


class Point(bytes):
    """A vector in pgvector's binary form: its dimension and zero as int16, then float32, all big-endian."""


class _PointDumper(Dumper):
    format = Format.BINARY
    oid = 0  # the statement says which type it is

    def dump(self, obj: Point) -> Buffer:
        return obj


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows what its session is set to."""

    effort: int | None = None


class _Idle:
    """What one process has: a fork has a pool of its own, and never touches its parent's sockets."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.connections: deque[Connection] = deque()
        self.free = threading.BoundedSemaphore(_MOST)


class Connections:
    """Connections with the same parameters.

    Args:
        parameters: of libpq.
        place: what to call the database in messages.
        timeout: seconds that a statement may take, and that a server may be away.
    """

    def __init__(self, parameters: dict[str, Any], place: str, timeout: float) -> None:
        self.place = place
        self.timeout = timeout
        self._parameters = {
            "fallback_application_name": "samespace",
            "connect_timeout": max(2, round(timeout)),
            "tcp_user_timeout": round(timeout * 1000),
            **parameters,
        }
        self._pools = [_Idle()]
        self._closed = False

    def run(self, work: Callable[[Connection], T], *, patient: bool = True) -> T:
        """Do some work on a connection, and do it again when the connection was lost or another was in the way.

        Args:
            work: done in autocommit mode. May be called several times.
            patient: try again until the timeout is over, counted from the first failure.

        Raises:
            StorageError: what the server or the network said.
        """
        deadline, pause = None, 0.02
        while True:
            try:
                with self._lent() as connection:
                    return work(connection)
            except psycopg.Error as error:
                now = time.monotonic()
                deadline = deadline or now + self.timeout
                if not (patient and is_passing(error) and now < deadline):
                    raise translated(error, self.place) from error
                if is_lost(error):
                    self._forget()
            except UnicodeEncodeError as error:
                raise InvalidInput(f"{error.object!r} is not valid Unicode ({error.reason}).") from error
            # Of random length, so that two who are in each other's way do not meet again.
            time.sleep(min(pause * (0.5 + random.random()), max(0.0, deadline - now)))  # noqa: S311
            pause = min(2 * pause, 1.0)

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection of one's own, for what takes long."""
        self._check_open()
        try:
            with self._connect() as connection:
                yield connection
        except psycopg.Error as error:
            raise translated(error, self.place) from error

    def close(self) -> None:
        """Close all of them; what is lent is closed when it comes back."""
        self._closed = True
        self._forget()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Connection]:
        self._check_open()
        pool = self._pool()
        if not pool.free.acquire(timeout=self.timeout):
            raise StoreUnavailable(
                f"{self.place}: all {_MOST} connections were busy for {self.timeout:g} s. Use fewer threads, or raise "
                "timeout=."
            )
        connection = None
        try:
            try:
                connection = pool.connections.pop()
            except IndexError:
                connection = self._connect()
            yield connection
        finally:
            if connection is not None:
                # In the middle of something, or lost: not for the next one.
                if connection.info.transaction_status != TransactionStatus.IDLE:
                    connection.close()
                else:
                    pool.connections.append(connection)
                if self._closed:
                    self._forget()
            pool.free.release()

    def _connect(self) -> Connection:
        connection = Connection.connect(**self._parameters, autocommit=True)
        try:
            connection.adapters.register_dumper(Point, _PointDumper)
            connection.execute(_SESSION.format(timeout=round(self.timeout * 1000)).encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def _pool(self) -> _Idle:
        pool = self._pools[-1]
        if pool.process != os.getpid():
            # The parent's stays in the list, so that nothing ends its connections here.
            pool = _Idle()
            self._pools.append(pool)
        return pool

    def _forget(self) -> None:
        """Close what is idle."""
        pool = self._pool()
        while True:
            try:
                connection = pool.connections.pop()
            except IndexError:
                return
            connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionClosed(f"{self.place} was closed. Open it again with samespace.open().")
