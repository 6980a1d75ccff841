"""The register of collections: looking one up, and making one."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from psycopg import errors, sql

from samespace.errors import AccessDenied, CollectionCorrupt, InvalidInput, Unsupported
from samespace.space import Space
from samespace.stores.postgres import schema as schemas
from samespace.stores.postgres.connections import Connection
from samespace.stores.postgres.schema import Table

__all__ = ["create", "find", "names"]

_OLDEST_SERVER = 14
_OLDEST_VECTOR = (0, 8)  # scans of an index that go on until enough rows meet a filter
_EXTENSION = "vector"
_LOCK = int.from_bytes(b"samespac", "big")  # for who makes or migrates tables


@dataclass(frozen=True, slots=True)
class _Server:
    """What there is: the schema of pgvector, and whether samespace has a register."""

    extension: str | None
    has_register: bool


def names(connection: Connection, schema: str) -> list[str]:
    """Names of the collections that are there."""
    if not _look(connection, schema).has_register:
        return []
    query = sql.SQL("SELECT name FROM {}.collections ORDER BY name").format(sql.Identifier(schema))
    return [name for (name,) in connection.execute(query)]


def find(connection: Connection, schema: str, name: str) -> Table | None:
    """The table of a collection; None if there is none. Nothing is written, unless it has an older format.

    Raises:
        Unsupported: the server, or pgvector on it, is too old.
        CollectionCorrupt: it is not whole, or a newer samespace made it.
        InvalidInput: there are tables of these names that samespace did not make.
    """
    server = _look(connection, schema)
    if not server.has_register:
        return None
    if _version(connection, schema) < len(schemas.MIGRATIONS):
        with connection.transaction():
            _lock(connection)
            _migrate(connection, schema, server)
    query = sql.SQL(
        """
        SELECT number, relation, space::text, encoder, format, ARRAY(
            SELECT attname::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = %s AND relname = relation AND attnum > 0 AND NOT attisdropped
        ) FROM {}.collections WHERE name = %s
        """
    ).format(sql.Identifier(schema))
    row = connection.execute(query, (schema, name)).fetchone()
    if row is None:
        return None
    number, relation, space, encoder, version, columns = row
    if version > len(schemas.TABLE_MIGRATIONS):
        raise CollectionCorrupt(
            f"The collection {name!r} has format {version}; this samespace reads up to "
            f"{len(schemas.TABLE_MIGRATIONS)}. Upgrade samespace."
        )
    if not set(columns) >= set(schemas.COLUMNS) or server.extension is None:
        missing = sorted(set(schemas.COLUMNS) - set(columns))
        what = f"lacks the columns {', '.join(missing)}" if columns else "is gone"
        raise CollectionCorrupt(
            f"The collection {name!r} is registered in {schema}.collections, but its table {schema}.{relation} {what}. "
            "Something else changed it: restore it from a backup, or delete its row in the register."
        )
    try:
        known = Space.from_dict(json.loads(space))
    except InvalidInput as error:
        raise CollectionCorrupt(f"The register's space of {name!r} cannot be read: {error}") from error
    table = Table(number, name, schema, relation, known, encoder, server.extension)
    if version < len(schemas.TABLE_MIGRATIONS):
        with connection.transaction():
            _lock(connection)
            _migrate_table(connection, table)
    return table


def create(connection: Connection, schema: str, name: str, space: Space, encoder: str | None) -> Table:
    """Make a collection, or find the one that somebody made first: in one transaction, whole or not at all.

    Raises:
        InvalidInput: its table exists and is not ours, or pgvector cannot hold vectors of that dimension.
        AccessDenied: the role may not.
        Unsupported: the server has no pgvector.
    """
    if space.dimension > schemas.LARGEST:
        raise InvalidInput(f"pgvector holds up to {schemas.LARGEST:,} dimensions, and {space} has {space.dimension:,}.")
    with connection.transaction():
        _lock(connection)
        server = _look(connection, schema)
        if server.extension is None:
            server = _Server(_create_extension(connection), server.has_register)
        _migrate(connection, schema, server)
        found = find(connection, schema, name)
        if found is not None:
            return found
        relation = _relation(name)
        place = f"{schemas.quoted(schema)}.{schemas.quoted(relation)}"
        if _one(connection, "SELECT to_regclass(%s)", (place,))[0] is not None:
            raise InvalidInput(
                f"There is a table {schema}.{relation} that is not a collection of samespace; it is left as it is. "
                "Choose another collection=, or another schema=."
            )
        query = sql.SQL(
            "INSERT INTO {}.collections (name, relation, space, encoder, format) VALUES (%s, %s, %s, %s, 0) "
            "RETURNING number"
        ).format(sql.Identifier(schema))
        (number,) = _one(connection, query, (name, relation, space.canonical, encoder))
        assert server.extension is not None  # noqa: S101 - it was just made
        table = Table(number, name, schema, relation, space, encoder, server.extension)
        _migrate_table(connection, table)
        return table


def _look(connection: Connection, schema: str) -> _Server:
    """What there is. Needs no privilege."""
    version, encoding, vector, extension, register = _one(
        connection,
        """
        SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), extversion, (
            SELECT nspname FROM pg_namespace WHERE oid = extnamespace
        ), (
            SELECT array_agg(attname::text) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = %s AND relname = 'collections' AND attnum > 0
        ) FROM (SELECT) AS one LEFT JOIN pg_extension ON extname = %s
        """,
        (schema, _EXTENSION),
    )
    if version < _OLDEST_SERVER * 10_000:
        raise Unsupported(f"The server is PostgreSQL {version // 10_000}; samespace needs {_OLDEST_SERVER} or newer.")
    if encoding != "UTF8":
        raise Unsupported(f"The database is encoded in {encoding}; samespace needs one with ENCODING 'UTF8'.")
    if vector is not None and tuple(map(int, re.findall(r"\d+", vector)[:2])) < _OLDEST_VECTOR:
        raise Unsupported(
            f"The database has pgvector {vector}; samespace needs {_OLDEST_VECTOR[0]}.{_OLDEST_VECTOR[1]} or newer. "
            "Install it on the server, then run: ALTER EXTENSION vector UPDATE"
        )
    if register is not None and not {"number", "name", "relation", "space", "encoder", "format"} <= set(register):
        raise InvalidInput(
            f"There is a table {schema}.collections that is not samespace's register; it is left as it is. "
            "Choose another schema=."
        )
    return _Server(extension, register is not None)


def _create_extension(connection: Connection) -> str:
    try:
        connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(_EXTENSION)))
    except errors.InsufficientPrivilege as error:
        raise AccessDenied(
            "The database has no pgvector, and this role may not add it. Ask an administrator to run: "
            "CREATE EXTENSION vector"
        ) from error
    except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
        raise Unsupported(
            "The server has no pgvector. Install it there (https://github.com/pgvector/pgvector#installation)."
        ) from error
    query = "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = %s"
    return str(_one(connection, query, (_EXTENSION,))[0])


def _version(connection: Connection, schema: str) -> int:
    query = sql.SQL("SELECT coalesce(max(number), 0) FROM {}.migrations").format(sql.Identifier(schema))
    version = int(_one(connection, query)[0])
    if version > len(schemas.MIGRATIONS):
        raise CollectionCorrupt(
            f"The schema {schema!r} has version {version}; this samespace knows up to {len(schemas.MIGRATIONS)}. "
            "Upgrade samespace."
        )
    return version


def _migrate(connection: Connection, schema: str, server: _Server) -> None:
    """Take the steps that the schema has not taken."""
    name = sql.Identifier(schema)
    if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    done = _version(connection, schema) if server.has_register else 0
    for number, step in enumerate(schemas.MIGRATIONS[done:], done + 1):
        connection.execute(sql.SQL(step).format(schema=name))
        connection.execute(sql.SQL("INSERT INTO {}.migrations (number) VALUES (%s)").format(name), (number,))


def _migrate_table(connection: Connection, table: Table) -> None:
    query = table.statement("SELECT format FROM {schema}.collections WHERE number = %s FOR UPDATE")
    (done,) = _one(connection, query, (table.number,))
    for step in schemas.TABLE_MIGRATIONS[done:]:
        connection.execute(table.statement(step))
    query = table.statement("UPDATE {schema}.collections SET format = %s WHERE number = %s")
    connection.execute(query, (max(done, len(schemas.TABLE_MIGRATIONS)), table.number))


def _lock(connection: Connection) -> None:
    """One at a time, until the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _relation(collection: str) -> str:
    """The collection's own name where it is a plain one, else what is plain of it and a digest of the whole."""
    plain = re.sub(r"[^a-z0-9_]+", "_", collection.lower()).strip("_")[:40]
    if plain == collection and plain not in schemas.RESERVED and not plain.startswith("pg_"):
        return plain
    return f"{plain or 'collection'}_{hashlib.sha256(collection.encode()).hexdigest()[:8]}"


def _one(connection: Connection, query: Any, parameters: Any = None) -> tuple[Any, ...]:
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise CollectionCorrupt("A row of samespace's register is gone; something else deleted it.")
    return row
