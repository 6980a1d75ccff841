"""Collections in PostgreSQL with pgvector: ``postgresql://user@host/database?collection=notes``."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import Conninfo

from samespace.errors import InvalidInput, NotFound
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.postgres import register
from samespace.stores.postgres.connections import Connection, Connections
from samespace.stores.postgres.schema import Table
from samespace.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore", "connect"]

_OURS = ("collection", "schema")
_LISTED = 20  # names in a message


def connect(
    address: Address, space: Space | None = None, *, encoder: str | None = None, timeout: float = 30.0
) -> PostgresStore:
    """Open a collection, or make it where ``space`` is given.

    Options of the URL: ``collection``, ``schema`` (``samespace``), and those of libpq, such as ``sslmode`` or ``host``
    with a socket's folder. A password may also stand in ``PGPASSWORD`` or ``~/.pgpass``, as everywhere with libpq.

    Raises:
        InvalidInput: the URL names no collection, or a table that is not samespace's.
        NotFound: there is no such collection, and no ``space`` to make one with; or no such database.
        AccessDenied, StoreUnavailable, CollectionCorrupt, Unsupported: what the server said.
    """
    schema = _name(address, "schema", "samespace")
    connections = Connections(_parameters(address), str(address), timeout)
    name = _name(address, "collection", "") if address.options.get("collection") else None

    def find(connection: Connection) -> Table:
        table = None if name is None else register.find(connection, schema, name)
        if table is None and name is not None and space is not None:
            table = register.create(connection, schema, name, space, encoder)
        if table is not None:
            return table
        listed = _listed(register.names(connection, schema), schema)
        if name is None:
            raise InvalidInput(f"{address}: say which collection, as in ?collection=notes. {listed}")
        raise NotFound(f"{address}: there is no collection {name!r}. {listed}")

    try:
        table = connections.run(find, patient=False)
    except BaseException:
        connections.close()
        raise
    return PostgresStore(str(address), connections, table)


def _parameters(address: Address) -> dict[str, Any]:
    """What libpq connects with."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    options = {name: value for name, value in address.options.items() if name not in _OURS}
    for name in options:
        if name not in known:
            raise InvalidInput(
                f"{address}: there is no option {name!r}; the options are {', '.join(_OURS)} and those of libpq, "
                "such as sslmode or connect_timeout."
            )
    named: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "dbname": address.path,
    }
    parameters: dict[str, Any] = {
        **{name: value for name, value in named.items() if value not in (None, "")},
        **options,
    }
    try:
        psycopg.conninfo.make_conninfo(**parameters)
    except psycopg.Error as error:
        raise InvalidInput(f"{address}: {error}".strip()) from None
    return parameters


def _name(address: Address, option: str, default: str) -> str:
    """A name that a table's or a schema's can be made of."""
    name = address.take(option, str, default)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    limit = 63 if option == "schema" else 1_000
    if not 1 <= size <= limit or "\0" in name or (option == "schema" and name.startswith("pg_")):
        raise InvalidInput(
            f"{address}: expected a {option} of 1 to {limit} bytes without NUL"
            f"{' that does not begin with pg_' if option == 'schema' else ''}, got {name!r}."
        )
    return name


def _listed(found: list[str], schema: str) -> str:
    if not found:
        return f"The schema {schema!r} has none yet."
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"There are: {', '.join(map(repr, found[:_LISTED]))}{more}."
