"""The statements that search: by vector, and by words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from psycopg import sql

from samespace.stores.postgres.connections import Point
from samespace.stores.postgres.schema import Table

__all__ = ["parameters", "settings", "statement", "words_statement"]

# No index answers for an order by a sum, so every row is compared. Equal distances stand in the order of rows.
_EXACT = """
    SELECT id, content, metadata::text, {best} - distance FROM (
        SELECT seq, id, content, metadata, (embedding {by} %b::{vector}) + 0 AS distance FROM {table}
        WHERE {where} ORDER BY distance, seq LIMIT %s
    ) AS nearest ORDER BY distance, seq
"""

# What an index finds comes nearly in order, and for many dimensions by half precision: then some more are looked for.
_INDEXED = """
    SELECT id, content, metadata::text, {best} - distance FROM (
        SELECT seq, id, content, metadata, embedding {by} %b::{vector} AS distance FROM {table}
        WHERE {where} ORDER BY (embedding{halved}) {by} %b::{vector}{halved} LIMIT {more}
    ) AS nearest ORDER BY distance, seq LIMIT %s
"""

# Any of the words, each by its frequency in the text, and weighed by its rarity in the collection as BM25 does:
# ts_rank alone takes a common word for as telling as a rare one.
_WORDS = """
    WITH word AS MATERIALIZED (
        SELECT query, ln(1 + (rows - holding + 0.5) / (holding + 0.5)) AS rarity
        FROM (
            SELECT ('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''')::tsquery AS query
            FROM unnest(to_tsvector({words}, %s))
        ) AS asked
        CROSS JOIN LATERAL (SELECT count(*) AS holding FROM {table} WHERE words @@ query) AS found
        CROSS JOIN (SELECT count(*) AS rows FROM {table}) AS total
    )
    SELECT id, content, metadata::text, score FROM (
        SELECT seq, id, content, metadata, (
            SELECT sum(rarity * ts_rank('{{1, 1, 1, 1}}', words, query, 1)) FROM word
        )::float8 AS score
        FROM {table} WHERE words @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM word) AND {where}
        ORDER BY score DESC, seq LIMIT %s
    ) AS best ORDER BY score DESC, seq
"""

# Of an index whose effort nobody chose.
_EFFORTS = {"hnsw.ef_search": (100, 1_000), "ivfflat.probes": (16, 32_768)}


@lru_cache(1024)
def statement(table: Table, where: str, *, exact: bool) -> bytes:
    """Searches one vector. Parameters: see :func:`parameters`."""
    best = sql.Literal(table.measure.best)
    if exact or table.indexed_type is None:
        return table.statement(_EXACT, where=_trusted(where), best=best)
    more = sql.SQL("%s" if table.indexed_type == "vector" else "2 * %s + 20")
    return table.statement(_INDEXED, where=_trusted(where), best=best, more=more)


def parameters(table: Table, point: Point, where: Sequence[Any], k: int, *, exact: bool) -> list[Any]:
    """What goes into :func:`statement`."""
    if exact or table.indexed_type is None:
        return [point, *where, k]
    return [point, *where, point, k, k]


@lru_cache(1024)
def words_statement(table: Table, where: str) -> bytes:
    """Searches by words: parameters are the text, those of ``where``, and how many."""
    return table.statement(_WORDS, where=_trusted(where))


def settings(effort: int) -> bytes:
    """What sets a session to an effort: rows that HNSW looks at, lists that IVFFlat reads; 0 for the usual one."""
    return "; ".join(f"SET {name} = {min(effort or usual, most)}" for name, (usual, most) in _EFFORTS.items()).encode()


def _trusted(where: str) -> sql.SQL:
    """A condition's text, which :func:`~samespace.stores.postgres.filters.as_sql` made of its own words only."""
    return sql.SQL(where)
