"""The catalogue's tables, and the numbered steps that lead an older catalogue to them."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

from samespace.errors import CollectionCorrupt, NotFound

__all__ = [
    "APPLICATION_ID",
    "CANARIES",
    "FORMATS",
    "MIGRATIONS",
    "NOTES",
    "check",
    "connect",
    "create",
    "is_fixed",
    "log_of",
    "migrate",
]

APPLICATION_ID = 0x73616D65  # "same": lets any tool tell what this SQLite file is

# Append only: a catalogue at version n has run the first n.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE rows (
        slot INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        content TEXT,
        metadata TEXT NOT NULL,
        tokens_seen INTEGER,
        tokens_total INTEGER
    );
    CREATE INDEX truncated ON rows (slot) WHERE tokens_seen < tokens_total;
    CREATE VIRTUAL TABLE text USING fts5 (
        content, content = 'rows', content_rowid = 'slot', tokenize = 'porter unicode61 remove_diacritics 2'
    );
    CREATE TABLE log (
        sequence INTEGER PRIMARY KEY,
        first_slot INTEGER NOT NULL,
        end_slot INTEGER NOT NULL,
        removed BLOB NOT NULL,
        checksum INTEGER NOT NULL
    );
    """,
    # No table changes, but a samespace that knows format 1 only must not take float16 for float32.
    """
    INSERT INTO meta VALUES ('precision', 'float32') ON CONFLICT DO NOTHING;
    """,
)

# Made when first needed and no step of a format: a samespace that does not know these tables does not miss them.
CANARIES = "CREATE TABLE IF NOT EXISTS canaries (one INTEGER PRIMARY KEY CHECK (one = 1), vectors BLOB NOT NULL)"

NOTES = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"

# The format that vectors of a precision need. A collection takes no step before it must, so that one of float32 stays
# readable for older versions.
FORMATS = {"float32": 1, "float16": 2}

# Windows cannot shorten a file that is mapped; elsewhere a mapped read saves a copy and a system call.
_MAPPED = 0 if sys.platform == "win32" else 1 << 40


def is_fixed(path: Path) -> bool:
    """Tell whether nobody writes here, as in an image that ships a collection.

    The folder is read-only, and SQLite's write-ahead log is not there, as it is while somebody who may write has the
    catalogue open.
    """
    return path.exists() and not os.access(path.parent, os.W_OK) and not log_of(path).exists()


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log of a catalogue."""
    return path.with_name(f"{path.name}-wal")


def connect(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a connection in autocommit mode that may be handed from thread to thread.

    Every commit is on stable storage when it returns (``synchronous = FULL``).
    """
    fixed = is_fixed(path)
    target = f"{path.absolute().as_uri()}?immutable=1" if fixed else str(path)
    connection = sqlite3.connect(target, timeout=timeout, isolation_level=None, check_same_thread=False, uri=fixed)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection, meta: dict[str, str], version: int) -> bool:
    """Make the tables of a format unless they are there. Two processes may try at once; one wins.

    Returns:
        True if this call made them.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.execute("ROLLBACK")
            return False
        migrate(connection, version)
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take the steps up to format ``version`` that the catalogue has not taken, in the caller's transaction."""
    done = connection.execute("PRAGMA user_version").fetchone()[0]
    if done < version:
        for migration in MIGRATIONS[done:version]:
            for statement in migration.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise unless the file is a catalogue that this version reads.

    Raises:
        NotFound: an empty file, which a writer that died before its first commit leaves.
        CollectionCorrupt: another program's file, or one that a newer samespace wrote.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if version == 0 and application == 0 and not connection.execute("SELECT * FROM sqlite_master").fetchone():
        raise NotFound(f"{path} is empty; no collection was ever committed there.")
    if application != APPLICATION_ID:
        raise CollectionCorrupt(f"{path} is a SQLite file, but not a catalogue of samespace.")
    if version > len(MIGRATIONS):
        raise CollectionCorrupt(
            f"{path} has format {version}; this samespace reads up to {len(MIGRATIONS)}. Upgrade samespace."
        )
