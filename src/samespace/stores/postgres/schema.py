"""The tables: one for each collection, and a register of them. Numbered steps lead older ones to these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from samespace.space import Metric, Space

__all__ = ["COLUMNS", "LARGEST", "MIGRATIONS", "RESERVED", "TABLE_MIGRATIONS", "Measure", "Table", "quoted"]

LARGEST = 16_000  # dimensions of pgvector's type vector
_LARGEST_INDEXED = 2_000  # of an index on it
_LARGEST_HALF = 4_000  # of an index on its numbers in half precision
_INLINE = 1_536  # that stay in a page with the rest of their row, where an exact search reads them twice as fast

# Append only: a schema at version n has run the first n.
MIGRATIONS = (
    """
    CREATE TABLE {schema}.migrations (number int PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now());
    CREATE TABLE {schema}.collections (
        number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        relation text COLLATE "C" NOT NULL UNIQUE,
        space jsonb NOT NULL,
        encoder text,
        format int NOT NULL,
        created timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE {schema}.collection_notes (
        collection int NOT NULL REFERENCES {schema}.collections ON DELETE CASCADE,
        name text COLLATE "C" NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (collection, name)
    );
    -- English stems, and no word left out: a text may be made of nothing but common words.
    CREATE TEXT SEARCH DICTIONARY {schema}.stem (TEMPLATE = pg_catalog.snowball, LANGUAGE = english);
    CREATE TEXT SEARCH CONFIGURATION {schema}.words (COPY = pg_catalog.english);
    ALTER TEXT SEARCH CONFIGURATION {schema}.words
        ALTER MAPPING FOR asciiword, word, hword, hword_asciipart, hword_part, asciihword WITH {schema}.stem;
    """,
)

# The same for each collection's table. A tsvector holds 1 MiB, which the words of 100,000 characters never reach.
TABLE_MIGRATIONS = (
    """
    CREATE TABLE {table} (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text COLLATE "C" NOT NULL UNIQUE DEFAULT gen_random_uuid()::text,
        content text,
        metadata jsonb NOT NULL DEFAULT '{{}}' CHECK (jsonb_typeof(metadata) = 'object'),
        tokens_seen int,
        tokens_total int,
        seal bytea,
        embedding {vector} NOT NULL,
        words tsvector GENERATED ALWAYS AS (to_tsvector({words}, left(coalesce(content, ''), 100000))) STORED
    );
    ALTER TABLE {table} ALTER COLUMN embedding SET STORAGE {storage};
    CREATE INDEX ON {table} USING gin (metadata jsonb_path_ops);
    CREATE INDEX ON {table} USING gin (words);
    CREATE INDEX ON {table} (seq) WHERE seal IS NULL;
    CREATE INDEX ON {table} (seq) WHERE tokens_seen < tokens_total;
    COMMENT ON COLUMN {table}.seq IS 'order of insertion; a row that is replaced gets a new one';
    COMMENT ON COLUMN {table}.seal IS 'binds id, content and embedding to the space; NULL: not written by samespace';
    """,
)

RESERVED = ("collections", "collection_notes", "migrations")
COLUMNS = ("seq", "id", "content", "metadata", "tokens_seen", "tokens_total", "seal", "embedding", "words")


@dataclass(frozen=True, slots=True)
class Measure:
    """How pgvector compares in a metric: ``score = best - distance``."""

    operator: str
    operators: str
    best: float


_MEASURES: dict[Metric, Measure] = {
    "cosine": Measure("<=>", "cosine_ops", 1.0),
    "dot": Measure("<#>", "ip_ops", 0.0),
    "euclidean": Measure("<->", "l2_ops", 0.0),
}


@dataclass(frozen=True)
class Table:
    """A collection's table.

    Attributes:
        number: of the collection in the register.
        name: of the collection.
        schema: where the tables are.
        relation: name of the table.
        extension: the schema where pgvector's types are.
    """

    number: int
    name: str
    schema: str
    relation: str
    space: Space
    encoder: str | None
    extension: str

    @property
    def measure(self) -> Measure:
        return _MEASURES[self.space.metric]

    @property
    def indexed_type(self) -> str | None:
        """The type of which pgvector can index the vectors; None for more dimensions than it can."""
        dimension = self.space.dimension
        return "vector" if dimension <= _LARGEST_INDEXED else "halfvec" if dimension <= _LARGEST_HALF else None

    @cached_property
    def parts(self) -> dict[str, sql.Composable]:
        """What statements about this table are formatted with; names of users are quoted as identifiers."""
        dimension = sql.SQL("({})").format(sql.Literal(self.space.dimension))
        extension = sql.Identifier(self.extension)
        vector = sql.SQL("{}.vector{}").format(extension, dimension)
        halved = sql.SQL("::{}.halfvec{}").format(extension, dimension)
        return {
            "schema": sql.Identifier(self.schema),
            "table": sql.Identifier(self.schema, self.relation),
            "vector": vector,
            "storage": sql.SQL("PLAIN" if self.space.dimension <= _INLINE else "EXTERNAL"),
            "halved": halved if self.indexed_type == "halfvec" else sql.SQL(""),
            "by": sql.SQL("OPERATOR({}.{})").format(extension, sql.SQL(self.measure.operator)),
            "operators": sql.SQL("{}.{}").format(
                extension,
                sql.SQL(f"{self.indexed_type}_{self.measure.operators}"),
            ),
            "words": sql.SQL("{}::regconfig").format(sql.Literal(f"{quoted(self.schema)}.words")),
        }

    def statement(self, template: str, **more: sql.Composable) -> bytes:
        """A template of ours, formatted with :attr:`parts`."""
        return sql.SQL(template).format(**self.parts, **more).as_bytes()


def quoted(name: str) -> str:
    """A name as an identifier, in text that goes as a value."""
    return sql.Identifier(name).as_string()
