"""What psycopg and the server raise, in the words of the error tree."""

from __future__ import annotations

import re

import psycopg

from samespace.errors import (
    AccessDenied,
    CollectionBusy,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)

__all__ = ["is_lost", "is_passing", "translated"]

# By SQLSTATE, or its class of two characters; https://www.postgresql.org/docs/current/errcodes-appendix.html
_KINDS: dict[str, tuple[type[Exception], str]] = {
    "08": (StoreUnavailable, "The connection was lost. Try again."),
    "22": (InvalidInput, "PostgreSQL cannot take this value."),
    "23": (InvalidInput, "Nothing was written."),
    "28": (AccessDenied, "Check the user and the password."),
    "53": (StoreUnavailable, "The server has no resources left. Try again later."),
    "54": (InvalidInput, "That is over a limit of PostgreSQL. Nothing was written."),
    "57": (StoreUnavailable, "Try again."),
    "0A": (Unsupported, "The server cannot do that."),
    "XX": (CollectionCorrupt, "Look into the server's log; restore the table from a backup."),
    "25006": (AccessDenied, "The server or the role may only read. Write to the primary server."),
    "3D000": (NotFound, "Create the database first: createdb."),
    "3F000": (CollectionCorrupt, "Something else dropped the schema. Restore it from a backup."),
    "42501": (AccessDenied, "Ask the owner of the tables for GRANT."),
    "42P01": (CollectionCorrupt, "Something else dropped or renamed the table. Restore it from a backup."),
    "42P07": (
        InvalidInput,
        "samespace did not make it, and leaves it as it is. Choose another schema= or collection=.",
    ),
    "42703": (CollectionCorrupt, "Something else changed the table. Restore it from a backup."),
    "53100": (StorageFull, "Nothing of this batch was written."),
    "55P03": (CollectionBusy, "Another transaction holds a lock. Try again, or raise timeout=."),
    "57014": (StoreUnavailable, "The server took longer than the timeout. Raise timeout=, or build an index: tune."),
}

# What a server says before there is a connection comes without a code.
_REFUSALS: tuple[tuple[str, type[Exception], str], ...] = (
    (r"password authentication failed|no password supplied", AccessDenied, "Check the user and the password."),
    (r"no pg_hba.conf entry|authentication failed", AccessDenied, "Ask an administrator to admit this user and host."),
    (r'role ".*" does not exist|not permitted to log in', AccessDenied, "Check the user."),
    (r"permission denied for database", AccessDenied, "Ask an administrator for GRANT CONNECT."),
    (r'database ".*" does not exist', NotFound, "Create the database first: createdb."),
)

# Transactions that another one was in the way of: a repetition may succeed.
_PASSING = ("40001", "40P01", "23505", "57P03", "53300")
_LOST = ("57P01", "57P02", "57P05", "08000", "08003", "08006")


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, so that another one may do better."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError) and _refusal(str(error)) is None
    return error.sqlstate in _LOST


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same again may succeed. Everything that a store sends may be sent twice: rows go by their ids."""
    return is_lost(error) or error.sqlstate in _PASSING


def translated(error: psycopg.Error, place: str) -> Exception:
    """An error of psycopg as one of ours."""
    code, message = error.sqlstate, (error.diag.message_primary or str(error)).strip().rstrip(".")
    message = re.sub(r"\s+", " ", message)
    if code is None:
        refusal = _refusal(message)
        if refusal is not None:
            kind, remedy = refusal
        elif isinstance(error, psycopg.OperationalError):
            kind, remedy = StoreUnavailable, "Is the server running, and can it be reached?"
        elif isinstance(error, psycopg.DataError | psycopg.ProgrammingError):
            kind, remedy = InvalidInput, "PostgreSQL cannot take this value."
        else:
            kind, remedy = StorageError, "Try again."
    else:
        kind, remedy = _KINDS.get(code) or _KINDS.get(code[:2]) or (StorageError, "Look into the server's log.")
    return kind(f"{place}: {message}. {remedy}")


def _refusal(message: str) -> tuple[type[Exception], str] | None:
    for pattern, kind, remedy in _REFUSALS:
        if re.search(pattern, message):
            return kind, remedy
    return None
