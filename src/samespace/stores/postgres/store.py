"""A collection in PostgreSQL with pgvector."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from samespace.errors import InvalidInput
from samespace.hits import Hit
from samespace.space import Space
from samespace.stores.base import EXACT, Block, Figures, Store, Written, parsed
from samespace.stores.postgres import building, bulk, searching
from samespace.stores.postgres.connections import Connection, Connections
from samespace.stores.postgres.filters import as_sql
from samespace.stores.postgres.schema import Table
from samespace.vectors import Matrix
from samespace.where import Condition

__all__ = ["PostgresStore"]

_SCANNED = 4_096  # rows of a block
_TOGETHER = 64  # searches that go in one round trip
_FRESH = 5.0  # seconds for which it is believed which indexes there are
_MANY = 50_000  # rows from which an index pays
_MOST_HITS = 10**9  # more than there is memory for; twice as many still fit PostgreSQL's int


class PostgresStore(Store):
    """A table of PostgreSQL, and its indexes.

    Args:
        address: without secrets.
        connections: to the database.
        table: of the collection.
    """

    engines: ClassVar = building.ENGINES

    def __init__(self, address: str, connections: Connections, table: Table) -> None:
        self.address = address
        self.space: Space = table.space
        self.encoder = table.encoder
        self._connections = connections
        self._table = table
        self._engine, self._looked = "exact", -_FRESH

    # Rows

    def _write(self, block: Block) -> Written:
        block = bulk.check(block)
        delete = self._table.statement("DELETE FROM {table} WHERE id = ANY(%s)")
        copy = self._table.statement(
            "COPY {table} ({columns}) FROM STDIN (FORMAT binary)", columns=sql.SQL(bulk.COPIED)
        )

        def work(connection: Connection) -> Written:
            with _unhurried(connection):
                replaced = connection.execute(delete, (block.ids,)).rowcount
                try:
                    with connection.cursor().copy(copy) as rows:
                        for piece in bulk.as_copy(block):
                            rows.write(piece)
                except psycopg.Error as error:
                    _name_row(error, block)
                    raise
            return Written(len(block) - replaced, replaced)

        return self._connections.run(work)

    def delete(self, ids: Sequence[str]) -> int:
        return self._change("DELETE FROM {table} WHERE id = ANY(%s)", [list(ids)])

    def delete_where(self, condition: Condition) -> int:
        where, parameters = as_sql(condition)
        return self._change("DELETE FROM {table} WHERE {where}", parameters, where=sql.SQL(where))

    def get(self, ids: Sequence[str]) -> Block:
        wanted = list(dict.fromkeys(ids))
        statement = self._table.statement(
            "SELECT {read} FROM {table} JOIN unnest(%s::text[]) WITH ORDINALITY AS asked (id, at) USING (id) "
            "ORDER BY at",
            read=sql.SQL(bulk.READ),
        )
        return bulk.as_block(self._rows(statement, [wanted]), self.space.dimension)

    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        where, parameters = as_sql(condition)
        statement = self._table.statement(
            "SELECT {read} FROM {table} WHERE seq > %s AND seq <= %s AND {where} ORDER BY seq LIMIT {most}",
            read=sql.SQL(bulk.READ),
            where=sql.SQL(where),
            most=sql.Literal(_SCANNED),
        )
        last = _cursor(after)
        # What is rewritten meanwhile goes to the end, which would never come.
        ((end,),) = self._rows(self._table.statement("SELECT max(seq) FROM {table}"))
        while end is not None:
            rows = self._rows(statement, [last, end, *parameters])
            if not rows:
                return
            last = rows[-1][0]
            yield bulk.as_block(rows, self.space.dimension), str(last)

    def count(self, condition: Condition | None = None) -> int:
        where, parameters = as_sql(condition)
        statement = self._table.statement("SELECT count(*) FROM {table} WHERE {where}", where=sql.SQL(where))
        return int(self._rows(statement, parameters)[0][0])

    # Searching

    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        where, values = as_sql(condition)
        exact = effort == EXACT or self._current_engine() == "exact"
        k = min(k, _MOST_HITS)
        points = bulk.points(queries)

        def ask(exact: bool, asked: Sequence[int]) -> list[list[Hit]]:
            statement = searching.statement(self._table, where, exact=exact)

            def work(connection: Connection) -> list[list[Hit]]:
                if not exact and connection.effort != (effort or 0):
                    connection.execute(searching.settings(effort or 0))
                    connection.effort = effort or 0
                many = connection.pipeline() if len(asked) > 1 else contextlib.nullcontext()
                with many:
                    cursors = [
                        connection.execute(
                            statement,
                            searching.parameters(self._table, points[query], values, k, exact=exact),
                            binary=True,
                        )
                        for query in asked
                    ]
                    return [_hits(cursor.fetchall()) for cursor in cursors]

            return self._connections.run(work)

        answers: list[list[Hit]] = []
        for start in range(0, len(points), _TOGETHER):
            answers += ask(exact, range(start, min(start + _TOGETHER, len(points))))
        # An index gives up at some time when few rows meet the condition; those searches go through all that do.
        short = [] if exact else [query for query, hits in enumerate(answers) if len(hits) < k]
        for start in range(0, len(short), _TOGETHER):
            part = short[start : start + _TOGETHER]
            for query, hits in zip(part, ask(True, part), strict=True):
                answers[query] = hits
        return answers

    def match_text(self, words: str, k: int, condition: Condition | None = None) -> list[Hit]:
        where, parameters = as_sql(condition)
        statement = searching.words_statement(self._table, where)
        return _hits(self._rows(statement, [words.replace("\0", " "), *parameters, min(k, _MOST_HITS)]))

    # What the collection knows of itself

    def note(self, name: str) -> bytes | None:
        statement = self._table.statement(
            "SELECT value FROM {schema}.collection_notes WHERE collection = %s AND name = %s"
        )
        rows = self._rows(statement, [self._table.number, name])
        return bytes(rows[0][0]) if rows else None

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        otherwise = "UPDATE SET value = excluded.value" if replace else "NOTHING"
        self._change(
            "INSERT INTO {schema}.collection_notes (collection, name, value) VALUES (%s, %s, %s) "
            "ON CONFLICT (collection, name) DO {otherwise}",
            [self._table.number, name, value],
            otherwise=sql.SQL(otherwise),
        )

    def figures(self) -> Figures:
        # Counting millions takes seconds; what the server believes is near enough.
        statement = self._table.statement(
            """
            SELECT CASE WHEN reltuples < 1000000 THEN (SELECT count(*) FROM {table}) ELSE reltuples::bigint END,
                pg_total_relation_size(oid), (SELECT count(*) FROM {table} WHERE tokens_seen < tokens_total)
            FROM pg_class WHERE oid = to_regclass(%s)
            """
        )
        ((rows, size, truncated),) = self._rows(statement, [self._table.parts["table"].as_string()])
        engine = self._current_engine(fresh=True)
        note = ""
        if engine == "exact" and rows > _MANY:
            note = "no index: every search reads all rows; build one: tune"
            if self._table.indexed_type is None:
                note = (
                    f"no index: pgvector has none for {self.space.dimension:,} dimensions; every search reads all rows"
                )
        return Figures(engine, rows, size, truncated, note)

    def problems(self) -> list[str]:
        return self._connections.run(lambda connection: building.problems(connection, self._table))

    def unsealed(self) -> int:
        return int(self._rows(self._table.statement("SELECT count(*) FROM {table} WHERE seal IS NULL"))[0][0])

    def build(self, engine: str, progress: Any = None) -> None:
        building.build(self._connections, self._table, engine, progress)
        self._looked = -_FRESH

    def compact(self) -> None:
        with self._connections.alone() as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(self._table.statement("VACUUM (ANALYZE) {table}"))

    def drop(self) -> None:
        def work(connection: Connection) -> None:
            with _unhurried(connection):
                connection.execute(self._table.statement("DROP TABLE IF EXISTS {table}"))
                connection.execute(
                    self._table.statement("DELETE FROM {schema}.collections WHERE number = %s"), [self._table.number]
                )

        self._connections.run(work)
        self.close()

    def close(self) -> None:
        self._connections.close()

    # How it is done

    def _rows(self, statement: bytes, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connections.run(
            lambda connection: connection.execute(statement, parameters, binary=True).fetchall()
        )

    def _change(self, template: str, parameters: Sequence[Any], **more: sql.SQL) -> int:
        """Run a statement that changes rows, and say how many."""
        statement = self._table.statement(template, **more)

        def work(connection: Connection) -> int:
            with _unhurried(connection):
                return connection.execute(statement, parameters).rowcount

        return self._connections.run(work)

    def _current_engine(self, *, fresh: bool = False) -> str:
        """The engine of the index that searches use; another program may have made or dropped it."""
        now = time.monotonic()
        if fresh or now - self._looked > _FRESH:
            found = self._connections.run(lambda connection: building.indexes(connection, self._table))
            self._engine = next((index.engine for index in found if building.usable(self._table, index)), "exact")
            self._looked = now
        return self._engine


@contextlib.contextmanager
def _unhurried(connection: Connection) -> Iterator[None]:
    """A transaction in which statements take as long as they take: what a large index adds to a write is much."""
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        yield


def _hits(rows: Sequence[tuple[Any, ...]]) -> list[Hit]:
    if not rows:
        return []
    ids, contents, metadata, scores = zip(*rows, strict=True)
    return list(map(Hit, ids, scores, contents, parsed(metadata, ids)))


def _cursor(after: str | None) -> int:
    if after is None:
        return -(2**63)
    if not re.fullmatch(r"-?[0-9]{1,19}", after) or not -(2**63) <= int(after) < 2**63:
        raise InvalidInput(f"{after!r} is not a cursor of this store. Begin without one.")
    return int(after)


def _name_row(error: psycopg.Error, block: Block) -> None:
    """Raise an error that names the row of a ``COPY`` that the server could not take.

    Raises:
        InvalidInput: it was the row, and not the server.
    """
    found = re.search(r"^COPY \S+, line ([0-9]+)", error.diag.context or "", re.MULTILINE)
    if found is None or error.sqlstate == "23505" or (error.sqlstate or "")[:2] not in ("22", "23", "54"):
        return
    row = int(found[1]) - 1
    if row < len(block):
        why = error.diag.message_primary
        if error.diag.message_detail and error.sqlstate == "22P02":  # of JSON; others show the whole row
            why = f"{why}: {error.diag.message_detail.rstrip('.')}"
        raise InvalidInput(
            f"Row {bulk.shown(block.ids[row])}: PostgreSQL cannot hold it: {why}. Nothing was written."
        ) from error
