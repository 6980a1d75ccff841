"""Indexes of the vectors: which there are, and making them while the table is in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from typing import NamedTuple

from psycopg import errors, sql

from samespace.errors import CollectionBusy, Unsupported
from samespace.stores.postgres.connections import Connection, Connections
from samespace.stores.postgres.schema import LARGEST, Table

__all__ = ["ENGINES", "Index", "build", "indexes", "problems"]

Progress = Callable[[str, float], object]

ENGINES = {
    "hnsw": (16, 32, 64, 128, 256, 512, 1_000),  # rows that a search looks at: hnsw.ef_search
    "ivf": (1, 2, 4, 8, 16, 32, 64, 128, 256),  # lists that a search reads: ivfflat.probes
}
_METHODS = {"hnsw": "hnsw", "ivfflat": "ivf"}
_EVERY = 0.2  # seconds between looks at the progress

_INDEXES = """
    SELECT pg_class.relname, amname, indisvalid, opcname, indpred IS NULL
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_am ON pg_am.oid = relam
    JOIN pg_opclass ON pg_opclass.oid = indclass[0]
    WHERE indrelid = to_regclass(%s) AND amname IN ('hnsw', 'ivfflat')
        AND pg_get_indexdef(indexrelid, 1, true) ~ '^[(]*embedding[)]*(::.*)?$'
    ORDER BY pg_class.oid
"""


# A graph is built many times faster while it fits into this memory; in kilobytes, and never less than was configured.
_MEMORY = """
    SELECT set_config('maintenance_work_mem', greatest(%s, setting::bigint)::text, false)
    FROM pg_settings WHERE name = 'maintenance_work_mem'
"""
_MOST_MEMORY = 1 << 30


class Index(NamedTuple):
    """An index of the vectors.

    Attributes:
        engine: one of :data:`ENGINES`.
        valid: it was made to its end.
        operators: which decide the metric that it serves, such as ``"vector_cosine_ops"``.
        whole: it covers all rows.
    """

    name: str
    engine: str
    valid: bool
    operators: str
    whole: bool


def indexes(connection: Connection, table: Table) -> list[Index]:
    """The indexes that there are on the vectors, whoever made them."""
    rows = connection.execute(_INDEXES, (table.parts["table"].as_string(),))
    return [Index(name, _METHODS[method], *others) for name, method, *others in rows]


def usable(table: Table, index: Index) -> bool:
    """Whether searches in the table's space can use it."""
    wanted = f"{table.indexed_type}_{table.measure.operators}"
    return index.valid and index.whole and index.operators == wanted


def problems(connection: Connection, table: Table) -> list[str]:
    """What does not fit the space: the column's type, an index's metric, one that is not whole."""
    found = []
    (kind,) = connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(%s) "
        "AND attname = 'embedding'",
        (table.parts["table"].as_string(),),
    ).fetchone() or ("gone",)
    wanted = f"vector({table.space.dimension})"
    if kind.rpartition(".")[2] != wanted:
        found.append(f"The column embedding is {kind}; the space wants {wanted}.")
    for index in indexes(connection, table):
        if not index.valid:
            found.append(
                f"The index {index.name} is not valid: making it was cut off, or is under way. Build it again: tune."
            )
        elif not usable(table, index):
            found.append(
                f"The index {index.name} serves {index.operators} and not {table.space.metric} over all rows; searches "
                "do not use it. Build it again: tune."
            )
    return found


def build(connections: Connections, table: Table, engine: str, progress: Progress | None) -> None:
    """Make an index beside those that there are, then drop these; ``"exact"`` only drops.

    Raises:
        Unsupported: there is no such engine, or the vectors have too many dimensions for any.
        CollectionBusy: somebody is building already.
    """
    if engine not in (*ENGINES, "exact"):
        raise Unsupported(f"PostgreSQL has no engine {engine!r}; build one of {', '.join(ENGINES)} or exact.")
    if engine != "exact" and table.indexed_type is None:
        raise Unsupported(
            f"pgvector indexes up to 4,000 dimensions, and keeps up to {LARGEST:,}; {table.space} has "
            f"{table.space.dimension:,}. Searches there are exact."
        )
    with connections.alone() as connection:
        _lock(connection, table)
        connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        old = indexes(connection, table)
        for index in old:
            if not index.valid:  # nobody is building, so nobody will end it
                _drop(connection, table, index.name)
        old = [index for index in old if index.valid]
        if engine != "exact":
            _make(connections, connection, table, engine, {index.name for index in old}, progress)
        for index in old:
            _drop(connection, table, index.name)
        # So that the planner knows how many rows a filter leaves.
        connection.execute(table.statement("ANALYZE {table}"))


def _make(
    connections: Connections,
    connection: Connection,
    table: Table,
    engine: str,
    taken: set[str],
    progress: Progress | None,
) -> None:
    name = next(name for n in count(1) if (name := f"{table.relation}_{engine}_{n}".removesuffix("_1")) not in taken)
    (rows,) = connection.execute(table.statement("SELECT count(*) FROM {table}")).fetchone() or (0,)
    options = "m = 16, ef_construction = 100" if engine == "hnsw" else f"lists = {_lists(rows)}"
    statement = table.statement(
        "CREATE INDEX CONCURRENTLY {index} ON {table} USING {method} ((embedding{halved}) {operators}) "
        "WITH ({options})",
        index=sql.Identifier(name),
        method=sql.SQL("hnsw" if engine == "hnsw" else "ivfflat"),
        options=sql.SQL(options),
    )
    connection.execute(_MEMORY, (min(_MOST_MEMORY, rows * (4 * table.space.dimension + 512)) // 1024,))
    try:
        _watch(connections, connection, statement, progress)
    except errors.DiskFull:
        # The processes that build together share memory, of which a container may have little; one alone has its own.
        _drop(connection, table, name)
        connection.execute("SET max_parallel_maintenance_workers = 0")
        _watch(connections, connection, statement, progress)
    if progress is not None:
        progress("ready", 1.0)


def _watch(connections: Connections, connection: Connection, statement: bytes, progress: Progress | None) -> None:
    """Run a statement that makes an index, and tell how far it is."""
    process = connection.info.backend_pid
    with ThreadPoolExecutor(1) as worker:
        made = worker.submit(connection.execute, statement)
        try:
            while not wait([made], _EVERY).done:
                if progress is not None:
                    progress(*connections.run(lambda other: _look(other, process)))
        except BaseException:
            connection.cancel_safe()
            raise
        made.result()


def _look(connection: Connection, process: int) -> tuple[str, float]:
    """What a process that makes an index does, and how much of it is done. Half the phases count no blocks."""
    row = connection.execute(
        "SELECT phase, greatest(blocks_done::float8 / nullif(blocks_total, 0), tuples_done::float8 / "
        "nullif(tuples_total, 0), 0) FROM pg_stat_progress_create_index WHERE pid = %s",
        (process,),
    ).fetchone()
    return (row[0], min(row[1], 1.0)) if row else ("starting", 0.0)


def _lists(rows: int) -> int:
    """As pgvector's documents advise: a thousandth of the rows, and their square root above a million."""
    return min(32_768, max(1, rows // 1_000 if rows <= 1_000_000 else math.isqrt(rows)))


def _drop(connection: Connection, table: Table, index: str) -> None:
    name = sql.Identifier(table.schema, index)
    connection.execute(table.statement("DROP INDEX CONCURRENTLY IF EXISTS {index}", index=name))


def _lock(connection: Connection, table: Table) -> None:
    """One who builds for each table, until the connection ends, which a server may notice a little later."""
    connection.execute("SET lock_timeout = 1000")
    try:
        name = f"samespace build {table.schema}.{table.number}"
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
    except errors.LockNotAvailable:
        raise CollectionBusy(f"Another program is building an index of {table.name!r} already. Wait for it.") from None
