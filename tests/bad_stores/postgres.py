"""PostgreSQL: addresses, roles and tables that will not do, rows that it cannot hold, indexes that it has not."""

from __future__ import annotations

import contextlib
import json
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bad_encoders.case import Case
from samespace.errors import (
    AccessDenied,
    CollectionCorrupt,
    InvalidInput,
    InvalidVectors,
    NotFound,
    StoreUnavailable,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.base import Block, Store
from samespace.testing.store_contract import block_of, space_of
from stores.postgres.server import run, shared, with_options

__all__ = ["CASES"]

_URL = "postgresql://…/db?collection=notes"


def _in_schema(act: Callable[[str], Any]) -> Callable[[Path], Any]:
    """Do something with the URL of a schema that is not there, and leave none behind."""

    def clean(_: Path) -> Any:
        schema = f"bad_{uuid.uuid4().hex[:8]}"
        try:
            return act(with_options(shared(), schema=schema))
        finally:
            run(shared(), f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    return clean


def _sql(url: str, *statements: str) -> None:
    run(shared(), f"SET search_path = {url.partition('&schema=')[2]}, public", *statements)


def _open(url: str, dimension: int = 8) -> None:
    connect(with_options(url, collection="notes"), space_of(dimension)).close()


def _use(use: Callable[[Store], Any], dimension: int = 8) -> Callable[[Path], Any]:
    """Use a collection."""

    def act(url: str) -> Any:
        place = with_options(url, collection="notes")
        with contextlib.closing(connect(place, space_of(dimension), timeout=5)) as store:
            return use(store)

    return _in_schema(act)


def _changed(*statements: str) -> Callable[[Path], Any]:
    """Open a collection of which another program changed something."""

    def act(url: str) -> None:
        _open(url)
        _sql(url, *statements)
        _open(url)

    return _in_schema(act)


def _foreign(statement: str) -> Callable[[Path], Any]:
    """Make a collection where another program has tables."""

    def act(url: str) -> None:
        _sql(url, f"CREATE SCHEMA {url.partition('&schema=')[2]}", statement)
        _open(url)

    return _in_schema(act)


def _missing_name(url: str) -> None:
    _open(url)
    connect(url, space_of())


def _as_reader(url: str) -> None:
    """Write as a role that may only read."""
    _open(url)
    schema, role = url.partition("&schema=")[2], f"reader_{uuid.uuid4().hex[:8]}"
    run(
        shared(),
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    )
    try:
        place = with_options(url.replace("//postgres:@", f"//{role}@"), collection="notes")
        with contextlib.closing(connect(place)) as store:
            store.write(block_of(1))
    finally:
        run(shared(), f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def _row(name: str, content: str | None = "text", metadata: str = "{}") -> Block:
    plain = block_of(1)
    return Block([name], [content], [metadata], plain.vectors, plain.tokens)


def _no_server(_: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        connect(f"postgresql://me:hunter2@127.0.0.1:{port}/db?collection=notes", space_of())


CASES = [
    Case("PostgreSQL: no server", f'open("{_URL}")', _no_server, StoreUnavailable, "refused.*Is the server running"),
    Case(
        "PostgreSQL: no such role",
        'open("postgresql://nobody@…/db?collection=notes")',
        lambda _: connect(with_options(shared().replace("//postgres:@", "//nobody@"), collection="notes")),
        AccessDenied,
        'role "nobody" does not exist. Check the user',
    ),
    Case(
        "PostgreSQL: no such database",
        'open("postgresql://…/nothing?collection=notes")',
        lambda _: connect(with_options(shared(), dbname="nothing", collection="notes"), space_of()),
        NotFound,
        'database "nothing" does not exist. Create the database first',
    ),
    Case(
        "PostgreSQL: no collection named",
        'open("postgresql://…/db")',
        _in_schema(_missing_name),
        InvalidInput,
        r"say which collection, as in \?collection=notes. There are: 'notes'",
    ),
    Case(
        "PostgreSQL: an option that there is not",
        'open("postgresql://…/db?collection=notes&ssl=on")',
        lambda _: connect(with_options(shared(), collection="notes", ssl="on"), space_of()),
        InvalidInput,
        "no option 'ssl'; the options are collection, schema and those of libpq",
    ),
    Case(
        "PostgreSQL: a schema of the system",
        'open("postgresql://…/db?collection=notes&schema=pg_catalog")',
        lambda _: connect(with_options(shared(), collection="notes", schema="pg_catalog"), space_of()),
        InvalidInput,
        "does not begin with pg_, got 'pg_catalog'",
    ),
    Case(
        "PostgreSQL: a table that is not ours",
        f'open("{_URL}")',
        _foreign("CREATE TABLE notes (mine int)"),
        InvalidInput,
        "notes that is not a collection of samespace; it is left as it is",
    ),
    Case(
        "PostgreSQL: a register that is not ours",
        f'open("{_URL}&schema=theirs")',
        _foreign("CREATE TABLE collections (mine int)"),
        InvalidInput,
        "collections that is not samespace's register; it is left as it is",
    ),
    Case(
        "PostgreSQL: a table that something dropped",
        f'open("{_URL}")',
        _changed("DROP TABLE notes"),
        CollectionCorrupt,
        "is registered in .*, but its table .*notes is gone",
    ),
    Case(
        "PostgreSQL: a column that something dropped",
        f'open("{_URL}")',
        _changed("ALTER TABLE notes DROP COLUMN seal"),
        CollectionCorrupt,
        "lacks the columns seal",
    ),
    Case(
        "PostgreSQL: a newer format",
        f'open("{_URL}")',
        _changed("UPDATE collections SET format = 99"),
        CollectionCorrupt,
        "has format 99; this samespace reads up to 1. Upgrade samespace",
    ),
    Case(
        "PostgreSQL: a role that may only read",
        "add(…)",
        _in_schema(_as_reader),
        AccessDenied,
        "permission denied for table notes. Ask the owner of the tables for GRANT",
    ),
    Case(
        "PostgreSQL: more dimensions than it holds",
        f'open("{_URL}", encoder)',
        _in_schema(lambda url: _open(url, 16_001)),
        InvalidInput,
        "pgvector holds up to 16,000 dimensions, and .* has 16,001",
    ),
    Case(
        "PostgreSQL: more dimensions than it indexes",
        'build("hnsw")',
        _use(lambda store: store.build("hnsw"), 4_001),
        Unsupported,
        "indexes up to 4,000 dimensions.*Searches there are exact",
    ),
    Case(
        "PostgreSQL: an index that it has not",
        'build("scan")',
        _use(lambda store: store.build("scan")),
        Unsupported,
        "no engine 'scan'; build one of hnsw, ivf or exact",
    ),
    Case(
        "PostgreSQL: a content with NUL",
        r'add(["a\0b"], ids=["1"])',
        _use(lambda store: store.write(_row("1", "a\0b"))),
        InvalidInput,
        "Row '1': its content has a NUL character.*Nothing was written",
    ),
    Case(
        "PostgreSQL: metadata with NUL",
        r'add(["a"], ids=["1"], metadata=[{"k": "\0"}])',
        _use(lambda store: store.write(_row("1", metadata=json.dumps({"k": "\0"})))),
        InvalidInput,
        "Row '1': its metadata has a NUL character",
    ),
    Case(
        "PostgreSQL: an id that its index cannot hold",
        'add(["a"], ids=["…3,000 characters…"])',
        _use(lambda store: store.write(_row("".join(map(chr, range(0x4E00, 0x4E00 + 3_000)))))),
        InvalidInput,
        "PostgreSQL cannot hold it: index row",
    ),
    Case(
        "PostgreSQL: a vector with infinity",
        "write(block)",
        _use(lambda store: store.write(Block(["1"], ["a"], ["{}"], np.full((1, 8), np.inf, np.float32), [(1, 1)]))),
        InvalidVectors,
        "The vector of row '1' is not one of",
    ),
    Case(
        "PostgreSQL: a cursor of another store",
        'scan(after="x")',
        _use(lambda store: list(store.scan(after="x"))),
        InvalidInput,
        "'x' is not a cursor of this store",
    ),
]
