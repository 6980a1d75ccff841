"""Servers that are not there, do not know us, fail in the middle, or take less than we would like."""

from __future__ import annotations

import contextlib
import threading
import time

import grpc
import numpy as np
import pytest

from samespace.errors import (
    AccessDenied,
    CollectionClosed,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.base import EXACT
from samespace.stores.weaviate import reading
from samespace.stores.weaviate import store as store_module
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.weaviate.engine import Class


@pytest.fixture
def store(server):
    with contextlib.closing(connect(server.url(), space_of(), timeout=5)) as store:
        yield store


def _ids(store) -> list[str]:
    return [name for block, _ in store.scan() for name in block.ids]


# Opening


@pytest.mark.parametrize("name", ["notes", "No tes", "Größe", "", "A/B", "Notes'", "A" * 201])
def test_names(server, name):
    with pytest.raises(InvalidInput, match="begins with a capital letter"):
        connect(server.url(name), space_of())
    assert server.classes == {}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("weaviate://localhost:8080/Notes?grpc=8080", "a port each"),
        ("weaviate://localhost/Notes?grpc=many", "cannot be read"),
        ("weaviate://localhost/Notes?https=perhaps", "cannot be read"),
        ("weaviate://localhost/Notes?tenant=a", "there is no option 'tenant'"),
        ("weaviate:///Notes", "names no host"),
    ],
)
def test_options(url, says):
    with pytest.raises(InvalidInput, match=says):
        connect(url, space_of())


def test_no_server(server):
    with pytest.raises(StoreUnavailable, match=r"Cannot reach weaviate://127\.0\.0\.1:9/Notes"):
        connect("weaviate://127.0.0.1:9/Notes", timeout=1)
    connect(server.url(), space_of()).close()
    with pytest.raises(StoreUnavailable, match="with REST and gRPC"):
        connect(f"weaviate://127.0.0.1:{server.port}/Notes?grpc=9", timeout=1)


def test_keys(server, monkeypatch):
    server.key, server.reader = "s3cret", "r3ader"
    with pytest.raises(AccessDenied, match="WEAVIATE_API_KEY"):
        connect(server.url(), space_of())
    monkeypatch.setenv("WEAVIATE_API_KEY", "wr0ng")
    with pytest.raises(AccessDenied) as caught:
        connect(server.url(), space_of())
    assert "wr0ng" not in str(caught.value)
    monkeypatch.setenv("WEAVIATE_API_KEY", "s3cret")
    with contextlib.closing(connect(server.url(), space_of())) as store:
        store.write(block_of(2))
        assert "s3cret" not in store.address
        for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNKNOWN):  # newer and older servers
            server.key, server.auth_code = "another", code
            for use in (store.count, lambda: store.write(block_of(1)), lambda: store.delete(["1"])):
                with pytest.raises(AccessDenied):
                    use()
        server.key = "s3cret"
        assert store.count() == 2
    monkeypatch.delenv("WEAVIATE_API_KEY")
    with contextlib.closing(connect(server.url().replace("//", "//:r3ader@"))) as store:
        assert "r3ader" not in store.address
        assert store.count() == 2
        for use in (
            lambda: store.write(block_of(1)),
            lambda: store.delete(["1"]),
            lambda: store.keep_note("a", b""),
            store.drop,
        ):
            with pytest.raises(AccessDenied):
                use()
        assert store.count() == 2
    with pytest.raises(AccessDenied):
        connect(server.url("Others").replace("//", "//:r3ader@"), space_of())


def test_another_server(server):
    """What answers is no Weaviate."""
    for answer in ((200, ["hello"]), (200, {"version": 3}), (404, None)):
        server.rest = lambda *_, answer=answer: answer
        with pytest.raises(StorageError, match=r"127\.0\.0\.1"):
            connect(server.url(), space_of())


def test_a_configuration_that_the_client_does_not_read(server):
    connect(server.url(), space_of()).close()
    del server.classes["Notes"].schema["invertedIndexConfig"]
    with pytest.raises(CollectionCorrupt, match="none that samespace made"):
        connect(server.url(), space_of())


def test_old_server(server):
    server.version = "1.32.9"
    with pytest.raises(Unsupported, match=r"Weaviate 1\.32\.9.*1\.33"):
        connect(server.url(), space_of())
    server.version = "banana"
    with pytest.raises(StorageError, match="does not answer as Weaviate does"):
        connect(server.url(), space_of())
    assert server.classes == {}


@pytest.mark.parametrize(
    ("description", "says"),
    [
        (None, "not a collection of samespace"),
        ("My notes.", "not a collection of samespace"),
        ("[1]", "not a collection of samespace"),
        ('{"samespace": 2}', "Upgrade samespace"),
        ('{"samespace": 1, "space": {"model": ""}, "encoder": null}', "no readable record"),
    ],
)
def test_a_collection_that_is_not_ours(server, bare, description, says):
    vector = {"default": {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}}
    server.classes["Notes"] = Class({"class": "Notes", "description": description, "vectorConfig": vector})
    server.calls.clear()
    with pytest.raises(CollectionCorrupt, match=says):
        connect(server.url(), space_of())
    assert set(server.calls) == {"GET"}


def test_two_make_it_at_once(server):
    server.fail("POST", seconds=0.3, times=2)
    spaces, found = [space_of(4), space_of(8)], []

    def make(space):
        with contextlib.closing(connect(server.url(), space)) as store:
            found.append(store.space)

    threads = [threading.Thread(target=make, args=(space,)) for space in spaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert found[0] in spaces


def test_a_name_that_differs_in_capital_letters_only(server):
    """Weaviate has one collection of the two, and says so."""
    server.fail("POST", code=422, message="class name NOTES already exists, as Notes")
    with pytest.raises(StorageError, match="already exists, as Notes"):
        connect(server.url("NOTES"), space_of())


def test_a_making_that_fails_leaves_nothing(server):
    server.fail("POST", code=500)
    with pytest.raises(StorageError, match="injected"):
        connect(server.url(), space_of())
    with pytest.raises(NotFound):
        connect(server.url())


# Calls


def test_is_tried_again(store, server):
    store.write(block_of(3))
    for method, use in (
        ("Search", lambda: store.get(["1"])),
        ("Aggregate", store.count),
        ("BatchObjects", lambda: store.write(block_of(3))),
    ):
        server.fail(method, code=grpc.StatusCode.UNAVAILABLE)
        use()
    assert store.count() == 3


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL"])
def test_failures_are_told(store, server, code):
    error = StorageError if code == "INTERNAL" else StoreUnavailable
    for method, use in (
        ("Search", lambda: store.get(["1"])),
        ("Aggregate", store.count),
        ("BatchObjects", lambda: store.write(block_of(3))),
        ("BatchDelete", lambda: store.delete(["1"])),
    ):
        server.fail(method, code=getattr(grpc.StatusCode, code))
        with pytest.raises(error, match=r"127\.0\.0\.1"):
            use()


@pytest.mark.parametrize(("status", "error"), [(429, StoreUnavailable), (503, StoreUnavailable), (500, StorageError)])
def test_rest_fails(store, server, status, error):
    server.fail("GET", code=status)
    with pytest.raises(error):
        store.problems()
    assert store.problems() == []


def test_times_out(server):
    with contextlib.closing(connect(server.url(), space_of(), timeout=0.3)) as store:
        for method, use in (("Search", lambda: store.get(["1"])), ("GET", store.problems)):
            server.fail(method, seconds=0.8)
            with pytest.raises(StoreUnavailable):
                use()


def test_a_batch_is_cut_off(server):
    """The server goes away with half of a batch. The call waits for it, or fails and is mended by the same call."""
    rows = block_of(100)
    with contextlib.closing(connect(server.url(), space_of(), timeout=1)) as store:
        server.fail("BatchObjects", cut=True)
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.write(rows)
        assert time.monotonic() - start < 10  # the client's own way of trying again takes 15 seconds
        server.start_grpc()
        assert 0 < store.count() < 100
        assert store.write(rows).replaced >= 50
        assert _ids(store) == rows.ids
    with contextlib.closing(connect(server.url(), timeout=5)) as store:
        again = threading.Timer(0.3, server.start_grpc)
        server.fail("BatchObjects", cut=True)
        again.start()
        store.write(rows)
        again.join()
        assert _ids(store) == rows.ids
        assert store.get(rows.ids).vectors.tobytes() == rows.vectors.tobytes()


def test_rows_that_are_refused_are_told(store, server):
    """Of a batch of which the server refuses some rows, nothing is passed over in silence."""
    server.refuse_object = lambda row: "no luck" if row["row_id"] in ("7", "8") else None
    with pytest.raises(StorageError, match="row '7' was not written: no luck"):
        store.write(block_of(20))
    assert store.count() == 18
    server.refuse_object = lambda _row: "store is read-only due to: disk usage too high"
    with pytest.raises(StorageFull, match="takes no more writes"):
        store.write(block_of(3))
    server.refuse_object = lambda _row: None
    assert store.write(block_of(20)) == (2, 18)


def test_gone(store, server):
    """Something else deletes the collection."""
    store.write(block_of(3))
    server.classes.clear()
    uses = (
        store.count,
        store.problems,
        lambda: store.get(["1"]),
        lambda: store.write(block_of(3)),
        lambda: store.delete(["1"]),
        lambda: store.nearest(block_of(1).vectors, 1),
    )
    for use in uses:
        with pytest.raises(NotFound, match="gone"):
            use()


def test_closed_in_the_middle(server):
    store = connect(server.url(), space_of())
    store.write(block_of(10))
    server.fail("Search", seconds=0.5)
    threading.Timer(0.2, store.close).start()
    with pytest.raises(CollectionClosed):
        store.nearest(block_of(1).vectors, 1)


# Limits


def test_a_row_that_is_too_large(server):
    server.largest = 100_000
    with contextlib.closing(connect(server.url(), space_of())) as store:
        rows = block_of(3, contents=["a", "é" * 60_000, "b"])
        with pytest.raises(InvalidInput, match="Row '1' takes about"):
            store.write(rows)
        assert store.count() == 0
        with pytest.raises(InvalidInput, match="The note 'statistics'"):
            store.keep_note("statistics", bytes(200_000))


def test_large_rows_are_read_in_parts(server):
    """No answer may be larger than the client takes, here 64 KiB: three of these rows."""
    server.largest = 2**16
    with contextlib.closing(connect(server.url(), space_of())) as store:
        rows = block_of(40, contents=["x" * 20_000] * 40)
        store.write(rows)
        assert _ids(store) == rows.ids
        assert store.get(rows.ids).contents == rows.contents
        with pytest.raises(StorageError, match="rows so large"):
            store.nearest(rows.vectors[:1], 20)
        assert len(store.nearest(rows.vectors[:1], 2)[0]) == 2


def test_more_rows_than_a_query_may_have(store, server, monkeypatch):
    server.maximum = 50
    monkeypatch.setattr(reading, "AT_ONCE", 40)
    monkeypatch.setattr(store_module, "AT_ONCE", 40)
    rows = block_of(180, metadata=[{"n": n} for n in range(180)])
    store.write(rows)
    assert _ids(store) == rows.ids
    assert store.get(rows.ids).ids == rows.ids
    with pytest.raises(Unsupported, match="QUERY_MAXIMUM_RESULTS"):
        store.nearest(rows.vectors[:1], 60)
    assert store.delete_where(parse({"n": {"$gte": 20}})) == 160
    assert store.count() == 20


def test_more_hits_than_there_can_be(store, monkeypatch):
    monkeypatch.setattr(store_module, "MOST", 50)
    store.write(block_of(40))
    query = block_of(1, seed=5).vectors
    assert len(store.nearest(query, 1_000)[0]) == 40
    store.write(block_of(60))
    assert len(store.nearest(query, 50)[0]) == 50
    with pytest.raises(Unsupported, match="up to 50 rows"):
        store.nearest(query, 51)


def test_exact_where_weaviate_compares_all(store, server, monkeypatch):
    store.write(block_of(100, metadata=[{"n": n} for n in range(100)]))
    query, few = block_of(1, seed=5).vectors, parse({"n": {"$lt": 20}})
    (index,) = server.classes["Notes"].schema["vectorConfig"].values()
    index["vectorIndexConfig"]["flatSearchCutoff"] = 50
    assert len(store.nearest(query, 100, few, effort=EXACT)[0]) == 20
    with monkeypatch.context() as searches:
        searches.delattr(type(store), "_best")
        with pytest.raises(Unsupported, match=r"less than 50 .*there are 100"):
            store.nearest(query, 5, effort=EXACT)
    with pytest.raises(Unsupported, match="one effort"):
        store.nearest(query, 5, effort=64)


def test_ranges_with_too_long_a_bound(store):
    for bound in ("x" * 64, 2**53 + 1, 10**400):
        with pytest.raises(Unsupported, match=r"where\.a\.\$gt"):
            store.count(parse({"a": {"$gt": bound}}))


def test_a_cursor_of_something_else(store):
    for cursor in ("seq:x", "7", "uuid:7"):
        with pytest.raises(InvalidInput, match="not a cursor"):
            list(store.scan(after=cursor))


# Order


def test_a_clock_that_stands_behind(store, server, monkeypatch):
    """Another process, whose clock is an hour late, writes after us; then the clock jumps back."""
    store.write(block_of(5))
    now = time.time_ns()
    monkeypatch.setattr(store_module.time, "time_ns", lambda: now - 3_600 * 10**9)
    with contextlib.closing(connect(server.url())) as late:
        late.write(block_of(5, first=5))
        monkeypatch.setattr(store_module.time, "time_ns", lambda: 0)
        late.write(block_of(5, first=10))
    assert _ids(store) == [str(n) for n in range(15)]


def test_two_writers_take_one_number(store, server, monkeypatch):
    """They looked at the same moment. Rows of one sequence number are read once each, wherever a page ends."""
    now = time.time_ns()
    monkeypatch.setattr(store_module.time, "time_ns", lambda: now)
    monkeypatch.setattr(reading, "AT_ONCE", 4)
    monkeypatch.setattr(reading.Reader, "newest", lambda *_: None)
    with contextlib.closing(connect(server.url())) as other:
        for first in range(0, 30, 3):
            (store, other)[first % 2].write(block_of(3, first=first))
    monkeypatch.undo()
    monkeypatch.setattr(reading, "AT_ONCE", 4)
    seqs = {document.properties["seq"] for document in server.classes["Notes"].documents}
    assert len(seqs) < 30
    assert sorted(_ids(store), key=int) == [str(n) for n in range(30)]
    parts = list(store.scan())
    for at, (_, cursor) in enumerate(parts):
        rest = [name for block, _ in store.scan(after=cursor) for name in block.ids]
        assert rest == [name for block, _ in parts[at + 1 :] for name in block.ids]


def test_many_rows_of_one_number(store, server, monkeypatch):
    """As when another program copies objects: more than a page."""
    monkeypatch.setattr(reading, "AT_ONCE", 4)
    store.write(block_of(11))
    for document in server.classes["Notes"].documents[2:9]:
        document.properties["seq"] = 7
    index = server.classes["Notes"].postings["seq"]
    rows = set().union(*(index.pop(seq) for seq in sorted(index)[2:9]))
    index[7] = rows
    assert sorted(_ids(store), key=int) == [str(n) for n in range(11)]


def test_ties_at_the_last_place(store):
    rows = block_of(100)
    rows.vectors[:] = rows.vectors[0]
    store.write(rows)
    for k in (1, 30, 99, 100, 200):
        assert [hit.id for hit in store.nearest(rows.vectors[:1], k)[0]] == rows.ids[:k]
    assert np.isclose(store.nearest(rows.vectors[:1], 1)[0][0].score, 1)
