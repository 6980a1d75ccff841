"""Tables, names, rights and formats."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from samespace.errors import (
    AccessDenied,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.base import Store
from samespace.stores.postgres import register
from samespace.stores.postgres import schema as tables
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.postgres.server import run, with_options

SPACE = space_of()


@pytest.fixture
def url(database):
    """The URL of a schema that is not there."""
    name = f"own_{uuid.uuid4().hex[:8]}"
    bare = database.partition("&schema=")[0]
    yield with_options(bare, schema=name)
    run(bare, f"DROP SCHEMA IF EXISTS {name} CASCADE")


def sql(url: str, *statements: str):
    """Run statements in the schema of a URL."""
    bare, _, schema = url.partition("&schema=")
    return run(bare, f"SET search_path = {schema.partition('&')[0]}, public", *statements)


def make(url: str, name: str = "notes", rows: int = 3) -> Store:
    store = connect(with_options(url, collection=name), SPACE, encoder="acme")
    store.write(block_of(rows))
    return store


def test_tables_that_anybody_can_read(url):
    """Plain SQL sees typed columns, and a name as it was given."""
    with contextlib.closing(connect(with_options(url, collection="notes"), SPACE)) as store:
        store.write(block_of(2, metadata=[{"year": 2024, "tags": ["a"]}, {}]))
    assert sql(url, "SELECT id, metadata ->> 'year', vector_dims(embedding) FROM notes ORDER BY seq") == [
        ("0", "2024", 8),
        ("1", None, 8),
    ]
    ((relation, space),) = sql(url, "SELECT relation, space FROM collections WHERE name = 'notes'")
    assert (relation, space) == ("notes", SPACE.to_dict())


def test_rows_of_plain_sql(url):
    """What another program inserts is found, read and counted as unsealed."""
    with contextlib.closing(make(url)) as store:
        vector = json.dumps([0.0] * 7 + [1.0])
        sql(url, f"INSERT INTO notes (id, embedding) VALUES ('theirs', '{vector}')")
        sql(url, f"INSERT INTO notes (embedding, content) VALUES ('{vector}', 'a boiler')")
        assert store.unsealed() == 2
        found = store.get(["theirs"])
        assert (found.contents, found.metadata, found.seals, found.tokens) == ([None], ["{}"], [None], [(None, None)])
        best = store.nearest(np.array([[0.0] * 7 + [1.0]], np.float32), 2)[0]
        assert best[0].id == "theirs"
        assert store.match_text("boilers", 5)[0].id == best[1].id
        assert len(next(store.scan())[0]) == store.count() == 5
        store.write(block_of(1))
        assert store.write(store.get(["theirs"])) == (0, 1)
        assert store.unsealed() == 1


def test_read_only_role(url):
    """A role that may only read opens, searches, counts and scans; a write is refused and told."""
    make(url).close()
    bare, _, schema = url.partition("&schema=")
    role = f"reader_{uuid.uuid4().hex[:8]}"
    run(
        bare,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    )
    try:
        theirs = with_options(url.replace("//postgres", f"//{role}"), collection="notes")
        with contextlib.closing(connect(theirs, SPACE)) as store:
            assert store.count() == store.count(parse({"$not": {"a": 1}})) == 3
            assert len(store.nearest(block_of(2).vectors, 3)[1]) == 3
            assert len(next(store.scan())[0]) == 3
            assert store.note("canaries") is None
            assert (store.problems(), store.unsealed(), store.figures().engine) == ([], 0, "exact")
            assert len(store.match_text("text", 10)) == 3
            for change in (
                lambda: store.write(block_of(1)),
                lambda: store.delete(["1"]),
                lambda: store.keep_note("canaries", b""),
                lambda: store.build("hnsw"),
                store.drop,
            ):
                with pytest.raises(AccessDenied, match="GRANT"):
                    change()
        with pytest.raises(AccessDenied):
            connect(with_options(url.replace("//postgres", f"//{role}"), collection="other"), SPACE)
    finally:
        run(bare, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_no_right_to_the_schema(url):
    make(url).close()
    bare = url.partition("&schema=")[0]
    role = f"stranger_{uuid.uuid4().hex[:8]}"
    run(bare, f"CREATE ROLE {role} LOGIN")
    try:
        with pytest.raises(AccessDenied, match="permission denied for schema"):
            connect(with_options(url.replace("//postgres", f"//{role}"), collection="notes"))
    finally:
        run(bare, f"DROP ROLE {role}")


NAMES = [
    "notes",
    "collections",
    "Notes",
    'it\'s "so"; DROP TABLE notes; --',
    "größe 😀",
    "a" * 300,
    "%s {}",
    "pg_class",
    "-",
]


def test_several_collections(url):
    """Any name works, and none touches another."""
    stores = {name: connect(with_options(url, collection=name), SPACE) for name in NAMES}
    for n, store in enumerate(stores.values()):
        store.write(block_of(n + 1))
        store.build("hnsw")
    for n, (name, store) in enumerate(stores.items()):
        assert store.count() == n + 1
        store.close()
        with contextlib.closing(connect(with_options(url, collection=name))) as again:
            assert (again.count(), again.figures().engine) == (n + 1, "hnsw")
            if n % 2:
                again.drop()
    assert [name for (name,) in sql(url, 'SELECT name FROM collections ORDER BY name COLLATE "C"')] == sorted(
        NAMES[::2]
    )
    with pytest.raises(InvalidInput, match=r"say which collection, .* There are: .*'-', .*'notes'"):
        connect(url)
    with pytest.raises(NotFound, match=r"no collection 'other'\. There are: .*'notes'\."):
        connect(with_options(url, collection="other"))


@pytest.mark.parametrize("schema", ["pg_mine", "x" * 64])
def test_schemas_that_cannot_be(database, schema):
    bare = database.partition("&schema=")[0]
    with pytest.raises(InvalidInput, match="expected a schema of 1 to 63 bytes"):
        connect(with_options(bare, schema=schema, collection="notes"), SPACE)


def test_odd_schema(database):
    bare = database.partition("&schema=")[0]
    place = with_options(bare, schema='My "own"; schema', collection="notes")
    store = connect(place, SPACE)
    store.write(block_of(2, contents=["cats", "dogs"]))
    assert store.match_text("cat", 5)[0].id == "0"
    store.build("ivf")
    store.drop()
    run(bare, 'DROP SCHEMA "My ""own""; schema" CASCADE')


def test_foreign_table_of_that_name(url):
    """It is told, and stays as it is."""
    make(url, "first").close()
    sql(url, "CREATE TABLE notes (mine int)", "INSERT INTO notes VALUES (1)")
    with pytest.raises(NotFound):
        connect(with_options(url, collection="notes"))
    with pytest.raises(InvalidInput, match=r"notes that is not a collection of samespace; it is left as it is"):
        connect(with_options(url, collection="notes"), SPACE)
    assert sql(url, "SELECT * FROM notes") == [(1,)]


@pytest.mark.parametrize("name", ["collections", "migrations", "collection_notes"])
def test_foreign_tables_in_the_schema(url, name):
    schema = url.partition("&schema=")[2]
    sql(url, f"CREATE SCHEMA {schema}", f"CREATE TABLE {name} (mine int)")
    with pytest.raises(InvalidInput, match="as it is"):
        connect(with_options(url, collection="notes"), SPACE)
    assert sql(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'") == [(name,)]


def test_whole_or_not_at_all(url, monkeypatch):
    """Who dies while making a collection leaves nothing, and the next one makes it."""
    with monkeypatch.context() as patch:
        patch.setattr(tables, "TABLE_MIGRATIONS", (tables.TABLE_MIGRATIONS[0] + "; SELECT 1 / 0",))
        with pytest.raises(InvalidInput, match="division by zero"):
            connect(with_options(url, collection="notes"), SPACE)
    schema = url.partition("&schema=")[2]
    assert sql(url, f"SELECT FROM pg_namespace WHERE nspname = '{schema}'") == []
    make(url).close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DROP TABLE notes", r"is registered in .*, but its table .*notes is gone"),
        ("ALTER TABLE notes DROP COLUMN seal", "lacks the columns seal"),
        ("UPDATE collections SET format = 99", "has format 99; .* Upgrade samespace"),
        ("INSERT INTO migrations VALUES (99)", "has version 99; .* Upgrade samespace"),
        ("UPDATE collections SET space = '{\"model\": 1}'", "The register's space of 'notes' cannot be read"),
    ],
)
def test_what_something_else_changed(url, change, says):
    make(url).close()
    sql(url, change)
    for space in (None, SPACE):
        with pytest.raises(CollectionCorrupt, match=says):
            connect(with_options(url, collection="notes"), space)


def test_what_something_else_changes_meanwhile(url):
    with contextlib.closing(make(url)) as store:
        sql(url, "ALTER TABLE notes ALTER COLUMN embedding TYPE vector")
        assert store.problems() == ["The column embedding is vector; the space wants vector(8)."]
        sql(url, "DROP TABLE notes")
        with pytest.raises(CollectionCorrupt, match="dropped or renamed the table"):
            store.count()


def test_steps_by_number(url, monkeypatch):
    """A later samespace takes the steps that an older one did not know; rows stay."""
    make(url).close()
    step = "ALTER TABLE {table} ADD COLUMN later int DEFAULT 7"
    monkeypatch.setattr(tables, "TABLE_MIGRATIONS", (*tables.TABLE_MIGRATIONS, step))
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, "CREATE TABLE {schema}.more (n int)"))
    for _ in range(2):
        with contextlib.closing(connect(with_options(url, collection="notes"))) as store:
            assert store.count() == 3
    assert sql(url, "SELECT later FROM notes") == [(7,)] * 3
    assert sql(url, "SELECT number FROM migrations ORDER BY number") == [(1,), (2,)]
    make(url, "new").close()
    assert sql(url, "SELECT format FROM collections") == [(2,)] * 2
    assert sql(url, "SELECT count(*) FROM more") == [(0,)]


def test_made_by_many_threads_at_once(url):
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda n: make(url, f"c{n % 2}", 10), range(8)))
    for store in stores:
        assert store.count() == 10
        store.close()
    assert sql(url, "SELECT count(*) FROM collections") == [(2,)]


def _make(url):
    make(url, "notes", 50).close()


def test_made_by_two_processes_at_once(url):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_make, [url] * 2)
        pool.close()
        pool.join()
    with contextlib.closing(connect(with_options(url, collection="notes"))) as store:
        assert store.count() == 50


def test_without_pgvector(url, monkeypatch):
    """A role that may not add it is told whom to ask; a server that has none, where to get it."""
    bare = url.partition("&schema=")[0]
    name = f"plain_{uuid.uuid4().hex[:8]}"
    run(bare, f"CREATE DATABASE {name}", f"CREATE ROLE {name} LOGIN", f"GRANT CREATE ON DATABASE {name} TO {name}")
    try:
        place = with_options(bare.replace("/postgres?", f"/{name}?"), collection="notes")
        with pytest.raises(NotFound):
            connect(place)
        with pytest.raises(AccessDenied, match="Ask an administrator to run: CREATE EXTENSION vector"):
            connect(place.replace("//postgres", f"//{name}"), SPACE)
        monkeypatch.setattr(register, "_EXTENSION", "vector_of_nobody")
        with pytest.raises(Unsupported, match="The server has no pgvector"):
            connect(place, SPACE)
    finally:
        run(bare, f"DROP DATABASE {name}", f"DROP ROLE {name}")


def test_pgvector_in_another_schema(url):
    """Managed servers put extensions into a schema of their own, which is not on the search path."""
    bare = url.partition("&schema=")[0]
    name = f"apart_{uuid.uuid4().hex[:8]}"
    run(bare, f"CREATE DATABASE {name}")
    apart = bare.replace("/postgres?", f"/{name}?")
    try:
        run(apart, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
        with contextlib.closing(connect(with_options(apart, collection="notes"), SPACE)) as store:
            store.write(block_of(100))
            store.build("hnsw")
            assert (store.problems(), store.figures().engine) == ([], "hnsw")
            assert store.nearest(block_of(1).vectors, 1)[0][0].id == "0"
    finally:
        run(bare, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("constant", "value", "says"),
    [
        ("_OLDEST_SERVER", 99, r"The server is PostgreSQL \d+; samespace needs 99 or newer"),
        ("_OLDEST_VECTOR", (99, 0), r"has pgvector 0\.\d+\.\d+; samespace needs 99.0 or newer.*ALTER EXTENSION"),
    ],
)
def test_versions(place, monkeypatch, constant, value, says):
    connect(place, SPACE).close()
    monkeypatch.setattr(register, constant, value)
    with pytest.raises(Unsupported, match=says):
        connect(place)


def test_another_encoding(database):
    bare = database.partition("&schema=")[0]
    name = f"latin_{uuid.uuid4().hex[:8]}"
    run(bare, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(Unsupported, match="encoded in LATIN1"):
            connect(with_options(bare.replace("/postgres?", f"/{name}?"), collection="notes"), SPACE)
    finally:
        run(bare, f"DROP DATABASE {name}")
