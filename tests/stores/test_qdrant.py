"""Qdrant by its official client: the local mode, REST and gRPC over sockets, and a server where there is one."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import uuid

import pytest
from qdrant_client import models

from samespace.errors import (
    AccessDenied,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SamespaceError,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.base import EXACT
from samespace.stores.qdrant_core.points import point_id, survives
from samespace.testing.store_contract import Gap, block_of, space_of
from samespace.where import parse
from stores.qdrant_places import QdrantContract, quick_folder
from stores.qdrant_server import Fault, Server

GAPS = {
    "test_filter[range of texts]": Gap(Unsupported, "Qdrant does not order texts"),
    "test_finds_words": Gap(Unsupported, "Qdrant ranks by words over sparse vectors only"),
    "test_holds[integers of any size]": Gap(InvalidInput, "Qdrant holds whole numbers of 64 bits"),
}


class TestQdrantLocal(QdrantContract):
    gaps = {**GAPS, "test_builds": Gap(Unsupported, "the local mode compares with every vector")}

    @pytest.fixture
    def place(self):
        with quick_folder() as folder:
            yield f"qdrant-local:{folder / 'qdrant'}?collection=notes"


@pytest.fixture(scope="module")
def wire():
    server = Server()
    yield server
    server.close()


class TestQdrantRest(QdrantContract):
    gaps = GAPS

    @pytest.fixture
    def place(self, wire) -> str:
        return wire.url(f"notes-{uuid.uuid4()}")


class TestQdrantGrpc(QdrantContract):
    gaps = GAPS

    @pytest.fixture
    def place(self, wire) -> str:
        return wire.url(f"notes-{uuid.uuid4()}", f"?grpc=true&grpc_port={wire.grpc_port}")


if "QDRANT_URL" in os.environ:

    class TestQdrantServer(QdrantContract):
        """With ``QDRANT_URL=qdrant://host:6333/`` and, where it needs one, ``QDRANT_API_KEY``."""

        gaps = GAPS

        @pytest.fixture
        def place(self) -> str:
            base, mark, options = os.environ["QDRANT_URL"].partition("?")
            return f"{base.rstrip('/')}/samespace-{uuid.uuid4()}{mark}{options}"


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def folder():
    with quick_folder() as found:
        yield found


def local(folder, name="notes") -> str:
    return f"qdrant-local:{folder / 'qdrant'}?collection={name}"


# What goes wrong on the way


@pytest.mark.parametrize(
    ("status", "said", "error", "pattern"),
    [
        (401, "Must provide an API key", AccessDenied, "Must provide an API key.*QDRANT_API_KEY"),
        (403, '{"status": {"error": "Forbidden: read only."}}', AccessDenied, "Forbidden: read only. Set"),
        (500, '{"status": {"error": "Service internal error: no idea"}}', StorageError, "500.*no idea"),
        (500, '{"status": {"error": "No space left on device (os error 28)"}}', StorageFull, "No space left"),
        (503, "upstream gone", StoreUnavailable, "503"),
        (400, '{"status": {"error": "Bad request: strict mode"}}', InvalidInput, "strict mode"),
        (404, '{"status": {"error": "Not found: Collection"}}', NotFound, "There is no collection"),
        (200, "<html>It works!</html>", StorageError, "not Qdrant's"),
        (200, "{}", StorageError, "."),
        (0, "", StoreUnavailable, "Cannot reach"),
        (-1, "", StoreUnavailable, "did not answer within 1 s"),
    ],
)
def test_answers_that_are_none(server, status, said, error, pattern):
    store = connect(server.url(), space_of(), timeout=1)
    store.write(block_of(3))
    server.fault = Fault("points/count", status, said)
    with pytest.raises(error, match=pattern) as caught:
        store.count()
    assert isinstance(caught.value, SamespaceError)
    server.fault = None
    assert store.count() == 3
    store.close()


def test_what_failed_on_the_way_is_tried_again(server):
    store = connect(server.url(), space_of())
    server.fault = Fault("PUT .*/points", 503, times=2)
    assert store.write(block_of(3)) == (3, 0)
    assert len(server.fault.seen) == 2
    server.fault = Fault("PUT .*/points", 0, times=1)  # it was written, perhaps, and the answer was torn
    assert store.write(block_of(3)) == (0, 3)
    assert store.count() == 3
    server.fault = Fault("PUT .*/points", 500, "no", times=1)  # the server means it
    with pytest.raises(StorageError, match="500"):
        store.write(block_of(3))
    store.close()


def test_grpc_is_mapped_too(server):
    options = f"?grpc=true&grpc_port={server.grpc_port}"
    store = connect(server.url(options=options), space_of(), timeout=1)
    server.fault = Fault("Count", 0, "gone")
    with pytest.raises(StoreUnavailable, match="gone"):
        store.count()
    store.close()
    server.key = "another"
    with pytest.raises(AccessDenied, match="QDRANT_API_KEY"):
        connect(server.url(options=options))


def test_no_server():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=f"Cannot reach qdrant://127.0.0.1:{port}/notes"):
            connect(f"qdrant://127.0.0.1:{port}/notes", timeout=0.2)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_keys(monkeypatch):
    server = Server(key=True)
    try:
        wrong = server.url().replace("//", "//:a secret@").replace(" ", "%20")
        with pytest.raises(AccessDenied) as caught:
            connect(wrong, space_of())
        assert "a secret" not in str(caught.value)
        assert "a%20secret" not in str(caught.value)
        monkeypatch.setenv("QDRANT_API_KEY", server.key)
        store = connect(server.url(), space_of())
        store.write(block_of(1))
        assert server.key not in store.address
        store.close()
    finally:
        server.close()


# What is sent


def test_searches_say_how_hard_to_look(server):
    store = connect(server.url(options="?quantization=int8"), space_of())
    made = next(asked for what, asked in server.requests if what.startswith("PUT /collections/notes") and asked)
    assert made["vectors"] == {"embedding": {"size": 8, "distance": "Dot"}}
    assert made["quantization_config"] == {"scalar": {"type": "int8", "always_ram": True}}
    query = block_of(1).vectors
    for effort in (None, 64, EXACT):
        store.nearest(query, 5, effort=effort)
    store.nearest(block_of(2).vectors, 5, effort=64)
    assert server.requests[-1][1]["searches"][1]["params"]["hnsw_ef"] == 64
    rescored = {"rescore": True, "oversampling": 2.0}
    sent = [asked for what, asked in server.requests if what.endswith("points/query")]
    assert [one.get("params") for one in sent] == [
        {"quantization": rescored},
        {"hnsw_ef": 64, "quantization": rescored},
        {"exact": True, "quantization": {"ignore": True}},
    ]
    assert {(one["using"], one["limit"]) for one in sent} == {("embedding", 6)}
    store.close()


def test_payload_indexes_come_with_the_first_filter(server):
    store = connect(server.url(), space_of())
    assert server.backend.schema["notes"] == {
        "samespace.seq": "integer",
        "samespace.kind": "keyword",
        "samespace.truncated": "bool",
    }
    store.count(parse({"year": {"$gte": 2024}, "lang": "en", "a.b": True, "late": None}))
    made = {path: kind for path, kind in server.backend.schema["notes"].items() if path.startswith("metadata")}
    assert made == {"metadata.year": "float", "metadata.lang": "keyword", 'metadata."a.b"': "bool"}
    asked = len(server.requests)
    store.count(parse({"year": 1}))
    assert len(server.requests) == asked + 1
    server.fault = Fault("PUT .*/index", 403, "read only")
    assert store.count(parse({"other": 1})) == 0
    store.close()
    server.backend.schema["notes"]["metadata.n"] = "integer"
    again = connect(server.url())
    assert "whole numbers" in again.problems()[0]
    again.close()


def test_requests_stay_small(server):
    store = connect(server.url(), space_of())
    store.engine.batch_bytes = 50_000
    rows = block_of(300, contents=["x" * 1_000] * 299 + ["y" * 100_000])
    assert store.write(rows) == (300, 0)
    sent = [len(asked["points"]) for what, asked in server.requests if what == "PUT /collections/notes/points"]
    assert sum(sent) == 300
    assert max(sent) < 30
    assert sent[-1] == 1
    store.close()


# Collections


def test_foreign_collections_are_left_alone(server):
    client = server.backend.client
    client.create_collection("theirs", {"embedding": models.VectorParams(size=8, distance=models.Distance.DOT)})
    for space in (None, space_of()):
        with pytest.raises(InvalidInput, match="not a collection of samespace"):
            connect(server.url("theirs"), space)
    assert client.count("theirs").count == 0
    record = {"format": 99, "space": {}}
    client.create_collection("newer", {}, metadata={"samespace": record})
    with pytest.raises(CollectionCorrupt, match="Upgrade samespace"):
        connect(server.url("newer"))
    client.create_collection("odd", {}, metadata={"samespace": {"format": 1, "space": {"model": 3}}})
    with pytest.raises(CollectionCorrupt, match="no readable record"):
        connect(server.url("odd"))


def test_a_server_without_metadata_is_too_old(server):
    server.backend.keeps_metadata = False
    with pytest.raises(Unsupported, match=r"1\.16 or newer"):
        connect(server.url(), space_of())
    assert server.backend.client.get_collections().collections == []


def test_a_crash_while_it_is_made_is_mended(server):
    server.fault = Fault("PUT .*/index", 500, "killed")
    with pytest.raises(StorageError, match="killed"):
        connect(server.url(), space_of())
    server.fault = None
    connect(server.url()).close()
    assert set(server.backend.schema["notes"]) == {"samespace.seq", "samespace.kind", "samespace.truncated"}


def test_two_make_one_collection(server):
    server.fault = Fault("GET /collections/notes$", 404, times=1)  # as if it were not there yet
    connect(server.url(), space_of(8)).close()
    server.fault = Fault("GET /collections/notes$", 404, times=1)
    store = connect(server.url(), space_of(16))
    assert store.space == space_of(8)
    store.close()


def test_another_dimension_is_a_problem(server):
    store = connect(server.url(), space_of(8))
    store.close()
    client = server.backend.client
    record = client.get_collection("notes").config.metadata
    client.create_collection(
        "copy", {"embedding": models.VectorParams(size=4, distance=models.Distance.COSINE)}, metadata=record
    )
    client.create_collection(
        "named", {"other": models.VectorParams(size=4, distance=models.Distance.DOT)}, metadata=record
    )
    store = connect(server.url("copy"))
    assert [problem[:40] for problem in store.problems()] == [
        "The collection's vectors have 4 numbers;",
        "The collection compares vectors by Cosin",
    ]
    store.close()
    store = connect(server.url("named"))
    assert "no vector of the name" in store.problems()[0]
    store.close()


def test_aliases(folder, server):
    for url, other in ((local(folder), local(folder, "current")), (server.url(), server.url("current"))):
        store = connect(url, space_of())
        store.write(block_of(3))
        store.switch_alias("current")
        second = connect(url.replace("notes", "second"), space_of())
        behind = connect(other)
        assert behind.count() == 3
        behind.close()
        second.switch_alias("current")
        behind = connect(other)
        assert behind.count() == 0
        behind.drop()
        with pytest.raises(NotFound):
            connect(url.replace("notes", "second"))
        second.close()
        assert store.count() == 3
        store.close()


# Rows that something else wrote


def planted(client, name="notes"):
    """Five points by another program, and the ids by which they are known."""
    whole = {"embedding": [0.5] * 8}
    stranger = str(uuid.uuid4())
    points = [
        models.PointStruct(id=7, vector=whole, payload={"id": "0", "metadata": {"year": 2024}, "content": 3}),
        models.PointStruct(id=stranger, vector=whole, payload=None),
        models.PointStruct(id=8, vector={}, payload={"metadata": [1], "samespace": "mine"}),
        models.PointStruct(id=9, vector=whole, payload={"samespace": {"seq": "x", "seal": 5, "seen": -1}}),
        models.PointStruct(id=10, vector=whole, payload={"metadata": {"a": 1}, "samespace": {"seal": "zz"}}),
    ]
    client.upsert(name, points)
    return ["7", "8", "9", "10", stranger]


def test_rows_of_others(server):
    store = connect(server.url(), space_of())
    store.write(block_of(3))
    store.keep_note("canaries", b"x")
    names = planted(server.backend.client)
    assert store.count() == 8
    assert store.unsealed() == 3  # two have what looks like a seal, and it is none
    blocks = list(store.scan())
    found = [name for block, _ in blocks for name in block.ids]
    assert found[:3] == ["0", "1", "2"]
    assert sorted(found[3:]) == sorted(names)
    others = blocks[-1][0]
    assert others.seals == [None] * 5
    assert set(others.tokens) == {(None, None)}
    assert set(others.contents) == {None}
    assert not others.vectors[others.ids.index("8")].any()
    got = store.get(["7", "0", names[-1]])
    assert got.ids == ["7", "0", names[-1]]
    assert (got.metadata[0], got.contents[1]) == ('{"year": 2024}', "text 0")
    assert {hit.id for hit in store.nearest(block_of(1).vectors, 100)[0]} == {*found} - {"8"}
    assert store.count(parse({"year": 2024})) == 1
    assert [name for block, _ in store.scan(after=f"id:{others.ids[0]}") for name in block.ids] == others.ids[1:]
    assert store.delete([*names, "1"]) == 6
    assert [name for block, _ in store.scan() for name in block.ids] == ["0", "2"]
    assert store.note("canaries") == b"x"
    with pytest.raises(InvalidInput, match="not a cursor"):
        next(store.scan(after="seq:drop"))
    store.close()


def test_two_writers_that_took_the_same_numbers(server, monkeypatch):
    monkeypatch.setattr("samespace.stores.qdrant_core.store._PAGE", 4)
    store = connect(server.url(), space_of())
    store.write(block_of(9))
    client = server.backend.client
    points, _ = client.scroll("notes", limit=20)
    for point in points[:5]:
        client.set_payload("notes", {"seq": 5}, [point.id], key="samespace")
    names = [name for block, _ in store.scan() for name in block.ids]
    assert sorted(names) == [str(n) for n in range(9)]
    store.close()


def test_order_survives_a_clock_that_is_set_back(server, monkeypatch):
    store = connect(server.url(), space_of())
    store.write(block_of(2))
    other = connect(server.url())
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000)
    other.write(block_of(2, first=2))
    store.write(block_of(2, first=4))
    assert [name for block, _ in store.scan() for name in block.ids] == [str(n) for n in range(6)]
    store.close()
    other.close()


# What Qdrant's numbers can hold


def test_numbers_around_the_limits(folder):
    store = connect(local(folder), space_of())
    held = [2**53 - 1, 2**53, 2**53 + 1, 2**60, 2**60 + 1, 2**60 + 129, 2**63 - 1, -(2**63), 1e18, 1.5, 1e300, -1e19]
    names = [str(n) for n in range(len(held))]
    store.write(block_of(len(held), metadata=[{"n": value} for value in held]))
    for bound in [*held, 2**63, 2**64, 1e19, math.inf, -math.inf, -(2**63) - 1, 10**400]:
        for word in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
            condition = parse({"n": {word: bound}})
            expected = {name for name, value in zip(names, held, strict=True) if condition.matches({"n": value})}
            assert {hit.id for hit in store.nearest(block_of(1).vectors, 50, condition)[0]} == expected
    for bad in (2**63, 2**70, float(2**63)):
        with pytest.raises(InvalidInput, match="row '3' has"):
            store.write(block_of(4, metadata=[{}, {}, {}, {"a": [{"b": bad}]}]))
    with pytest.raises(Unsupported, match="last digit"):
        store.count(parse({"n": 0.8444218515250481e-7 / 3}))
    for where in ({'a"b': 1}, {"a\\b": 1}):
        with pytest.raises(Unsupported, match="Rename the field"):
            store.count(parse(where))
    assert store.count() == len(held)
    store.close()


def test_a_field_that_another_client_changed_is_not_changed_back(folder):
    store = connect(local(folder), space_of())
    value = next(one for one in (n / 7 * 1e-7 for n in range(1, 1_000)) if not survives(one))
    store.write(block_of(1, metadata=[{"a": value, "b": value, "c": [value], "d": 1}]))
    client = store.engine._client
    client.set_payload("notes", {"b": 2, "new": 3}, [point_id("0")], key="metadata")
    assert json.loads(store.get(["0"]).metadata[0]) == {"a": value, "b": 2, "c": [value], "d": 1, "new": 3}
    store.close()


def test_metadata_as_deep_as_the_server_takes_it(folder):
    store = connect(local(folder), space_of())
    deep: list[object] = []
    for _ in range(70):
        deep = [deep]
    with pytest.raises(InvalidInput, match="'0' is nested deeper"):
        store.write(block_of(1, metadata=[{"a": deep}]))
    store.write(block_of(1, metadata=[{"a": "[" * 100}]))
    store.close()


# The local mode's folder


def test_a_folder_for_one_process(folder):
    store = connect(local(folder), space_of())
    store.write(block_of(1))
    program = f"import samespace.stores as s\ntry: s.connect({local(folder)!r})\nexcept Exception as e: print(repr(e))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "CollectionBusy" in said
    second = connect(local(folder, "second"), space_of())  # in this process they share the client
    second.close()
    assert store.count() == 1
    store.close()


def test_folders_that_are_none(folder):
    with pytest.raises(NotFound):
        connect(local(folder))
    assert not list(folder.iterdir())
    (folder / "qdrant").mkdir()
    (folder / "qdrant" / "letter.txt").write_text("Dear all")
    with pytest.raises(InvalidInput, match="other files"):
        connect(local(folder), space_of())
    (folder / "qdrant" / "letter.txt").unlink()
    store = connect(local(folder), space_of())
    store.write(block_of(3))
    store.close()
    index = folder / "qdrant" / "meta.json"
    whole = index.read_text()
    index.write_text(whole[:50])
    with pytest.raises(CollectionCorrupt, match="not JSON"):
        connect(local(folder))
    index.write_text(whole)
    (folder / "qdrant" / "collection" / "notes" / "storage.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(CollectionCorrupt, match="damaged"):
        connect(local(folder))


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("qdrant:///notes", "no host"),
        ("qdrant://host/", "cannot name a collection"),
        ("qdrant://host/a%2Fb", "cannot name a collection"),
        ("qdrant://host/notes?gprc=true", "no option 'gprc'"),
        ("qdrant://host/notes?grpc=perhaps", "cannot be read"),
        ("qdrant://host/notes?quantization=int4", "cannot be read"),
        ("qdrant-local:?collection=notes", "no folder"),
        ("qdrant-local:folder?collection=..", "cannot name a collection"),
    ],
)
def test_urls(url, pattern):
    with pytest.raises(InvalidInput, match=pattern):
        connect(url, space_of(), timeout=0.1)
