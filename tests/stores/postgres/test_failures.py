"""What goes wrong with a server, a network, a password, a fork."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest

from samespace.errors import (
    AccessDenied,
    CollectionBusy,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SamespaceError,
    StorageFull,
    StoreUnavailable,
)
from samespace.stores import connect
from samespace.stores.base import parsed
from samespace.stores.postgres.failures import translated
from samespace.testing.store_contract import block_of, space_of
from stores.postgres.server import Server, fresh, run, with_options

SPACE = space_of()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that may be killed."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Server(Path(folder), durable=True)
        yield server
        server.stop()


def test_killed_and_restarted_under_load(server):
    """The server dies in the middle of writes and searches: what was told as written is there, whole and once."""
    place, stop, block = fresh(server.url), threading.Event(), 100
    store = connect(place, SPACE, timeout=20)
    store.write(block_of(block))
    failed: list[Exception] = []
    searched = [0] * 4

    def write(number: int) -> list[str]:
        written: list[str] = []
        for at in range(1, 1_000):
            if stop.is_set():
                break
            part = block_of(block, first=(number * 1_000 + at) * block, metadata=[{"writer": number, "at": at}] * block)
            try:
                store.write(part)
            except SamespaceError as error:
                failed.append(error)
            else:
                written += part.ids
        return written

    def search(number: int) -> None:
        query = block_of(1).vectors
        while not stop.is_set():
            try:
                assert store.nearest(query, 1)[0][0].id == "0"
                searched[number] += 1
            except SamespaceError as error:
                failed.append(error)

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        searchers = [pool.submit(search, number) for number in range(4)]
        try:
            for _ in range(2):
                time.sleep(0.7)
                server.kill()
                time.sleep(0.3)
                server.restart()
            before = sum(searched)
            time.sleep(1.5)
        finally:
            stop.set()
        told = [name for writer in writers for name in writer.result()]
        for searcher in searchers:
            searcher.result()
    assert all(isinstance(error, StoreUnavailable) for error in failed), failed
    assert sum(searched) > before
    assert len(told) > 10 * block
    with contextlib.closing(store):
        rows = [
            (name, fields)
            for part, _ in store.scan()
            for name, fields in zip(part.ids, parsed(part.metadata, part.ids), strict=True)
        ]
    names = [name for name, _ in rows]
    assert len(set(names)) == len(names)
    assert set(told) <= set(names)
    whole: dict[str, int] = {}
    for _, fields in rows:
        whole[json.dumps(fields)] = whole.get(json.dumps(fields), 0) + 1
    assert set(whole.values()) == {block}


def test_no_answer_in_time(server):
    """A server that stays away is told when the timeout is over."""
    store = connect(fresh(server.url), SPACE, timeout=0.5)
    server.kill()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="Is the server running"):
            store.count()
        assert 0.3 < time.monotonic() - began < 5
        with pytest.raises(StoreUnavailable):
            connect(fresh(server.url))
    finally:
        server.restart()
    with contextlib.closing(store):
        assert store.count() == 0


def test_passwords(server):
    """A wrong password is told without any password; the right one opens."""
    server.sql("CREATE ROLE locked LOGIN PASSWORD 'right one' IN ROLE pg_read_all_data")
    data = server.url.partition("?host=")[2]
    rules = f"{data}/pg_hba.conf"
    with open(rules) as file:  # noqa: PTH123
        old = file.read()
    with open(rules, "w") as file:  # noqa: PTH123
        file.write(f"local all locked scram-sha-256\n{old}")
    server.sql("SELECT pg_reload_conf()")
    place = fresh(server.url)
    connect(place, SPACE).close()
    with contextlib.suppress(AccessDenied):
        for _ in range(100):  # until the server has read its rules
            connect(place.replace("postgres:@", "locked@")).close()
            time.sleep(0.05)
    with pytest.raises(AccessDenied, match="Check the user and the password") as caught:
        connect(place.replace("postgres:@", "locked:hunter2@"))
    assert "hunter2" not in str(caught.value)
    with contextlib.closing(connect(place.replace("postgres:@", "locked:right%20one@"))) as store:
        assert store.count() == 0
        assert "right" not in store.address
        assert "locked@" in store.address


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("//postgres:@", "//nobody@", AccessDenied, 'role "nobody" does not exist'),
        ("/postgres?", "/nothing?", NotFound, 'database "nothing" does not exist. Create the database first'),
        ("?host=", "?sslcompress=1&host=", InvalidInput, "no option 'sslcompress'; the options are collection, schema"),
        ("?host=", "?sslmode=maybe&host=", StoreUnavailable, "invalid sslmode value"),
        ("?host=", "?connect_timeout=soon&host=", InvalidInput, "bad value for connect_timeout"),
        ("?host=", "?collection=a&collection=b&host=", InvalidInput, "says an option twice"),
    ],
)
def test_urls(database, old, new, error, says):
    with pytest.raises(error, match=says):
        connect(database.replace(old, new), SPACE)


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=f"port {port}.* refused"):
            connect(f"postgresql://me:hunter2@127.0.0.1:{port}/db?collection=notes")
        assert time.monotonic() - began < 5


def test_silent_server():
    """Somebody listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="timeout"):
            connect(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db?collection=notes", timeout=1)
        assert time.monotonic() - began < 5


def test_connections_ended_by_an_administrator(place, database):
    """A restart between two calls is not even noticed."""
    with contextlib.closing(connect(place, SPACE)) as store:
        store.write(block_of(10))
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: store.count(), range(8))) == [10] * 8
        run(
            database.partition("&schema=")[0],
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'samespace'",
        )
        assert store.count() == 10
        assert store.write(block_of(10)) == (0, 10)


def test_a_lock_of_another(place, database):
    bare, _, schema = database.partition("&schema=")
    with contextlib.closing(connect(place, SPACE, timeout=0.5)) as store:
        store.write(block_of(3))
        relation = place.rpartition("=")[2]
        with psycopg.connect(bare) as other:
            other.execute(f'LOCK TABLE {schema}."{relation}" IN ACCESS EXCLUSIVE MODE')
            with pytest.raises((CollectionBusy, StoreUnavailable), match="timeout"):
                store.count()
            with pytest.raises(CollectionBusy, match="raise timeout="):
                store.write(block_of(3))
        assert store.count() == 3


def test_sixteen_threads_write_and_search(place):
    """One store, sixteen threads, rows that some of them share; no write is lost."""
    with contextlib.closing(connect(place, SPACE)) as store:
        store.write(block_of(200))

        def work(number: int) -> None:
            for at in range(6):
                # The same rows in both directions: transactions wait for one another, and one has to give way.
                shared = block_of(40, seed=number)
                store.write(shared if number % 2 else _reversed(shared))
                own = block_of(20, first=1_000 + (number * 6 + at) * 20)
                store.write(own)
                hits = store.nearest(own.vectors, 3)
                assert [found[0].id for found in hits] == own.ids
                assert store.count() >= 200

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        assert store.count() == 200 + 16 * 6 * 20
        assert sum(len(part) for part, _ in store.scan()) == store.count()


def _reversed(block):
    return type(block)(
        block.ids[::-1],
        block.contents[::-1],
        block.metadata[::-1],
        np.ascontiguousarray(block.vectors[::-1]),
        block.tokens[::-1],
    )


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_after_a_fork(place):
    """A child makes connections of its own; the parent's go on."""
    with contextlib.closing(connect(place, SPACE)) as store:
        store.write(block_of(5))
        child = os.fork()
        if child == 0:
            done = 1
            try:
                store.write(block_of(5, first=5))
                done = 0 if store.count() == 10 else 2
                store.close()
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.count() == 10
        assert store.write(block_of(1)) == (0, 1)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("RAISE EXCEPTION USING ERRCODE = 'disk_full'", StorageFull),
        ("RAISE EXCEPTION USING ERRCODE = 'too_many_connections'", StoreUnavailable),
        ("RAISE EXCEPTION USING ERRCODE = 'data_corrupted'", CollectionCorrupt),
        ("RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction'", AccessDenied),
        ("RAISE EXCEPTION USING ERRCODE = 'query_canceled'", StoreUnavailable),
        ("RAISE EXCEPTION USING ERRCODE = 'undefined_function'", SamespaceError),
    ],
)
def test_codes(database, statement, kind):
    """What the server says comes as ours, with its words."""
    with pytest.raises(psycopg.Error) as caught:
        run(database.partition("&schema=")[0], f"DO $$ BEGIN {statement}, MESSAGE = 'so it is'; END $$")
    error = translated(caught.value, "here")
    assert isinstance(error, kind)
    assert str(error).startswith("here: so it is. ")


def test_a_replica(place, database):
    """A server that only reads is read, and a write is told."""
    connect(place, SPACE).close()
    reading = with_options(place, options="-c default_transaction_read_only=on")
    with contextlib.closing(connect(reading, SPACE)) as store:
        assert store.count() == 0
        with pytest.raises(AccessDenied, match="only read"):
            store.write(block_of(1))
    with pytest.raises(AccessDenied, match="only read"):
        connect(reading.replace("collection=", f"collection={uuid.uuid4().hex[:4]}"), SPACE)
