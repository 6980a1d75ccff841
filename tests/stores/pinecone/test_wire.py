"""What is Pinecone's own: its limits, its delays, its errors, and what other programs write."""

from __future__ import annotations

import base64
import json
import threading
import time
import traceback
from contextlib import closing

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samespace.errors import (
    AccessDenied,
    CollectionClosed,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SamespaceError,
    SpaceMismatch,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.pinecone import fields
from samespace.stores.pinecone.filters import translate
from samespace.testing.store_contract import block_of, space_of
from samespace.testing.strategies import metadata, wheres
from samespace.where import parse
from stores.pinecone.filtering import compiled
from stores.pinecone.records import Record
from stores.pinecone.server import Fault


@pytest.fixture
def store(place):
    with closing(connect(place, space_of(), timeout=5)) as made:
        yield made


@pytest.fixture
def index(store, server, name):
    return server.indexes[name]


def rows_of(index):
    return index.namespaces["notes"].settle()


def foreign(index, record="by hand", **fields):
    """A record that something else wrote."""
    vector = np.ones(index.dimension, np.float32) / np.float32(np.sqrt(index.dimension))
    index.namespaces["notes"].write(lambda kept: kept.update({record: Record(vector, fields)}), 0)
    return record


# Ids and fields


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(min_size=1, max_size=600).filter(lambda text: "\0" not in text))
def test_any_id_is_a_record_id(name):
    record = fields.record_id(name)
    assert record.isascii()
    assert 1 <= len(record) <= 512
    assert "\0" not in record
    assert fields.row_id(record, {"samespace_id": name}) == name
    assert record in fields.records(name)


@pytest.mark.parametrize("name", ["notes/2024 #5", "a", "https://example.org/?q=1&r=(2)"])
def test_plain_ids_stay_readable(name):
    assert fields.record_id(name) == name


@settings(max_examples=300, deadline=None, database=None)
@given(metadata())
def test_fields_come_back(values):
    kept = fields.fields_of("1", "text", json.dumps(values), (1, 2), b"\1" * 12, 7)
    assert fields.metadata_of(orjson.loads(orjson.dumps(kept))) == values


@pytest.mark.parametrize("missing", [False, True])
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(metadata(), max_size=12), where=wheres())
def test_filters_mean_what_python_means(missing, rows, where):
    """Whatever Pinecone makes of missing fields."""
    condition = parse(where)
    try:
        test = compiled(translate(condition), missing)
    except Unsupported:
        return
    for values in rows:
        assert test(fields.fields_of("1", None, json.dumps(values), (1, 2), None, 7)) == condition.matches(values)


def test_other_programs_read_and_filter_the_fields(store, index):
    store.write(block_of(1, metadata=[{"year": 2024, "lang": "en", "tags": ["a", "b"], "draft": False}]))
    kept = rows_of(index)["0"].metadata
    natural = {"year": 2024.0, "lang": "en", "tags": ["a", "b"], "draft": False}
    assert {key: kept[key] for key in kept if not key.startswith("samespace_")} == natural
    assert kept["samespace_content"] == "text 0"
    assert compiled({"year": {"$gte": 2024}, "tags": "a"}, False)(kept)


def test_numbers_that_no_float64_holds(store):
    numbers = [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, -(2**63) - 1, 2**70 + 1]
    store.write(block_of(len(numbers), metadata=[{"n": number} for number in numbers]))
    for bound in (2**53, 2**53 + 2, -(2.0**63), 2.0**70):
        for word in ("$gt", "$gte", "$lt", "$lte"):
            condition = parse({"n": {word: bound}})
            assert store.count(condition) == sum(condition.matches({"n": number}) for number in numbers)
    assert store.count(parse({"n": 2**53 + 1})) == 1
    with pytest.raises(Unsupported, match="float64"):
        store.count(parse({"n": {"$gt": 2**53 + 1}}))


# Limits


def test_a_large_row_is_named_before_anything_is_written(store, index):
    rows = block_of(3, contents=["a", "word " * 9_000, "c"])
    with pytest.raises(InvalidInput, match=r"Row '1': content and metadata take 45,\d+ bytes"):
        store.write(rows)
    assert store.count() == 0
    assert "/vectors/upsert" not in index.calls[index.calls.index("/vectors/upsert") + 1 :]


def test_a_vector_of_zeros_is_named(server, place):
    with closing(connect(place, space_of(metric="dot"))) as store:
        rows = block_of(3, store.space)
        rows.vectors[2] = 0
        with pytest.raises(InvalidInput, match="Row '2'"):
            store.write(rows)


def test_requests_stay_below_two_megabytes(server, place, name):
    with closing(connect(place, space_of(1_536))) as store:
        rows = block_of(300, store.space, contents=["x" * 5_000] * 300)
        before = len(server.indexes[name].calls)
        store.write(rows)
        assert server.indexes[name].calls[before:].count("/vectors/upsert") >= 300 * 1_536 * 24 / 2e6
        assert store.get(rows.ids).vectors.tobytes() == rows.vectors.tobytes()


def test_hits_that_are_too_large_for_one_answer(store):
    rows = block_of(150, contents=["y" * 35_000] * 150)
    store.write(rows)
    assert len(store.nearest(block_of(1).vectors, 150)[0]) == 150


def test_more_hits_than_pinecone_gives(store, monkeypatch):
    monkeypatch.setattr("samespace.stores.pinecone.store.MOST_HITS", 50)
    store.write(block_of(60))
    assert len(store.nearest(block_of(1).vectors, 50)[0]) == 50
    with pytest.raises(Unsupported, match="at most 50 hits"):
        store.nearest(block_of(1).vectors, 51)
    store.delete([str(n) for n in range(20)])
    assert len(store.nearest(block_of(1).vectors, 1_000)[0]) == 40


def test_the_limits_of_the_server_are_real(store, index):
    """It refuses what Pinecone refuses, so that the tests above can fail."""
    for body, said in (
        ({"vectors": [{"id": "é", "values": [1.0] * 8}]}, "ASCII"),
        ({"vectors": [{"id": "a", "values": [1.0] * 7}]}, "does not match the dimension"),
        ({"vectors": [{"id": "a", "values": [0.0] * 8}]}, "non-zero"),
        ({"vectors": [{"id": "a", "values": [1.0] * 8, "metadata": {"a": None}}]}, "list of strings"),
        ({"vectors": [{"id": "a", "values": [1.0] * 8, "metadata": {"a": "x" * 41_000}}]}, "40960"),
        ({"vectors": [{"id": "a", "values": [1.0] * 8}], "colour": 1}, "unknown"),
    ):
        with pytest.raises(Exception, match=said):
            index.call("POST", "/vectors/upsert", body, 0)
    for condition in ({"a": {"$not": 1}}, {"$nor": [{"a": 1}]}, {"a": {"$gt": "b"}}, {"a": {"$in": [True]}}, {}):
        with pytest.raises(Exception, match=r"filter|operator|must"):
            compiled(condition, False)


# Freshness


@pytest.mark.parametrize("tells_lsn", [True, False])
def test_what_is_written_is_found_though_it_takes_time(store, index, tells_lsn):
    store.write(block_of(5))
    index.lag, index.tells_lsn = 0.15, tells_lsn
    store.write(block_of(5, first=5, metadata=[{"n": 1}] * 5))
    assert store.count() == 10
    assert store.delete(["5", "6"]) == 2
    assert store.get(["5"]).ids == []
    assert store.delete_where(parse({"n": 1})) == 3
    assert store.count() == 5
    store.keep_note("canaries", b"one")
    store.keep_note("canaries", b"two" * 20_000)
    assert store.note("canaries") == b"two" * 20_000


def test_what_never_shows_is_told(place, server, name):
    with closing(connect(place, space_of(), timeout=0.5)) as store:
        server.indexes[name].lag = 30
        with pytest.raises(StoreUnavailable, match=r"were written .* does not show it after 0\.5 seconds"):
            store.write(block_of(1))


# Order


def test_a_clock_that_stands_behind_reorders_nothing(store, monkeypatch, place):
    store.write(block_of(3))
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now - 3_600 * 10**9)
    with closing(connect(place)) as other:
        other.write(block_of(150, first=3))
    with closing(connect(place)) as third:
        third.write(block_of(1, first=200))
    assert [name for block, _ in store.scan() for name in block.ids] == [*map(str, range(153)), "200"]


@pytest.mark.parametrize("size", [20, 37])
def test_scans_in_windows(store, index, size):
    store._records.page_size = size
    store.write(block_of(700))
    store.delete([str(n) for n in range(100, 300)])
    store.write(block_of(30, first=700, metadata=[{"a": 1}] * 30))
    before = len(index.calls)
    names = [name for block, _ in store.scan() for name in block.ids]
    assert names == [str(n) for n in range(730) if not 100 <= n < 300]
    assert len(index.calls) - before <= 8 * 530 / size
    assert [name for block, _ in store.scan(parse({"a": 1})) for name in block.ids] == [str(n) for n in range(700, 730)]


def test_numbers_that_something_else_wrote_do_no_harm(store, index):
    store.write(block_of(2))
    foreign(index, "far", samespace_seq=1e300)
    foreign(index, "text", samespace_seq="late")
    store.write(block_of(2, first=2))
    assert [name for block, _ in store.scan() for name in block.ids] == ["0", "1", "2", "3", "far"]
    assert all(record.metadata["samespace_seq"] < 2**52 for name, record in rows_of(index).items() if len(name) == 1)


def test_rows_of_one_number_are_scanned_all(store, index):
    store._records.page_size = 20
    store.write(block_of(50))
    for record in rows_of(index).values():
        record.metadata["samespace_seq"] = 7.0
    assert sorted(int(name) for block, _ in store.scan() for name in block.ids) == list(range(50))


# Other programs


def test_rows_that_something_else_wrote(store, index):
    store.write(block_of(3))
    by_hand = foreign(index, "50% off", lang="en", samespace_seal="no hex", n=2.0)
    bare = foreign(index, "bare")
    odd = foreign(index, "odd", samespace_metadata="{", samespace_seen="?", samespace_content=1.0, a="b")
    found = [row for block, _ in store.scan() for row in zip(block.ids, block.contents, block.seals, strict=True)]
    assert [name for name, _, _ in found[:3]] == ["0", "1", "2"]
    assert set(found[3:]) == {(each, None, None) for each in (by_hand, bare, odd)}
    assert store.unsealed() == 2  # one has a seal that is none, which comparing finds
    hits = {hit.id: hit for hit in store.nearest(block_of(1).vectors, 10)[0]}
    assert hits[by_hand].metadata == {"lang": "en", "n": 2}
    assert hits[odd].metadata == {"a": "b"}
    assert store.get([by_hand]).ids == [by_hand]
    assert {hit.id for hit in store.nearest(block_of(1).vectors, 10, parse({"lang": {"$ne": "de"}}))[0]} == set("012")
    assert store.delete([by_hand, bare, odd]) == 3
    assert store.count() == 3


def test_scans_foreign_rows_page_by_page(store, index):
    store.write(block_of(2))
    store._records.page_size = 20
    names = {foreign(index, f"by hand {n}") for n in range(50)}
    parts = list(store.scan())
    assert {name for block, _ in parts[1:] for name in block.ids} == names
    for place, (_, cursor) in enumerate(parts):
        rest = [name for block, _ in store.scan(after=cursor) for name in block.ids]
        assert rest == [name for block, _ in parts[place + 1 :] for name in block.ids]


def test_a_namespace_of_something_else_is_left_alone(server, name):
    index = server.add(name)
    index.call("POST", "/vectors/upsert", {"vectors": [{"id": "a", "values": [1.0] * 8}], "namespace": "notes"}, 0)
    with pytest.raises(InvalidInput, match="not a collection of samespace: its namespace has 1 records"):
        connect(f"pinecone://{name}?namespace=notes&host={server.url}", space_of())
    assert list(index.namespaces) == ["notes"]


def test_collections_share_an_index(server, place, name):
    with (
        closing(connect(place, space_of())) as notes,
        closing(connect(place.replace("notes", "mail"), space_of())) as mail,
    ):
        notes.write(block_of(3))
        mail.write(block_of(5))
        assert (notes.count(), mail.count()) == (3, 5)
        mail.drop()
        assert notes.count() == 3
    assert set(server.indexes[name].namespaces) == {"notes", "notes.samespace"}


def test_a_cursor_of_something_else(store, index):
    store.write(block_of(2))
    foreign(index)
    with pytest.raises(InvalidInput, match="'foreign:junk' is not a cursor"):
        list(store.scan(after="foreign:junk"))


# A key that may only read


def test_counts_without_an_update(store, index, server, monkeypatch):
    store.write(block_of(30, metadata=[{"n": n} for n in range(30)]))
    foreign(index)
    server.faults.append(Fault(".*/update", status=403, times=99))
    assert store.unsealed() == 1
    assert store.count(parse({"n": {"$lt": 7}})) == 7
    assert store.figures().truncated == sum(n % 7 + 1 < 5 for n in range(30))
    monkeypatch.setattr("samespace.stores.pinecone.namespace.MOST_HITS", 7)
    with pytest.raises(AccessDenied, match="At least 7 rows"):
        store.count(parse({"n": {"$lt": 7}}))


# Making


def test_makes_an_index_and_waits_for_it(server, place, name):
    server.not_ready = 2
    with closing(connect(place, space_of(16, "euclidean"))) as store:
        assert store.problems() == []
    made = server.made[-1]
    assert made["schema"]["fields"]["_values"] == {"type": "dense_vector", "dimension": 16, "metric": "euclidean"}
    assert made["deployment"] == {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}


@pytest.mark.parametrize(("metric", "space"), [("cosine", "cosine"), ("dotproduct", "cosine"), ("dotproduct", "dot")])
def test_indexes_that_fit(server, name, metric, space):
    server.add(name, 8, metric)
    with closing(connect(f"pinecone://{name}?host={server.url}", space_of(metric=space))) as store:
        rows = block_of(20, store.space)
        store.write(rows)
        hit = store.nearest(rows.vectors[3:4], 1)[0][0]
        best = (rows.vectors @ rows.vectors[3]).argmax()
        assert hit.id == str(best)
        assert hit.score == pytest.approx(float(rows.vectors[best] @ rows.vectors[3]), abs=1e-5)


@pytest.mark.parametrize(
    ("dimension", "metric", "space"), [(8, "cosine", "dot"), (8, "euclidean", "cosine"), (9, "dotproduct", "cosine")]
)
def test_indexes_that_do_not_fit(server, name, dimension, metric, space):
    server.add(name, dimension, metric)
    with pytest.raises(SpaceMismatch, match="Make an index of its own"):
        connect(f"pinecone://{name}?host={server.url}", space_of(metric=space))
    assert server.indexes[name].namespaces == {}


def test_an_index_made_anew_with_another_dimension(server, place, name):
    connect(place, space_of()).close()
    kept = server.indexes[name].namespaces
    server.add(name, 9).namespaces = kept
    with pytest.raises(CollectionCorrupt, match="its index now has dimension 9"):
        connect(place)


def test_a_half_made_collection_is_mended(server, place, name):
    """The index is there, and the note of the space is not: the maker died in between."""
    server.faults.append(Fault("POST /vectors/upsert", status=0, times=9))
    with pytest.raises(StoreUnavailable):
        connect(place, space_of(), timeout=2)
    with pytest.raises(NotFound):
        connect(place)
    with closing(connect(place, space_of())) as store:
        assert store.write(block_of(2)) == (2, 0)


def test_two_make_it_at_once(place):
    found = []

    def make(dimension):
        with closing(connect(place, space_of(8), encoder=f"encoder {dimension}")) as store:
            found.append((store.space, store.write(block_of(1, first=dimension))))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(space_of(8), (1, 0))] * 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"samespace_format": 2.0}, "Upgrade samespace"),
        ({"samespace_format": "one"}, "Upgrade samespace"),
        ({"samespace_value": "!"}, "not what was written"),
        ({"samespace_value": base64.b64encode(b"[]").decode()}, "not what was written"),
        ({"samespace_digest": "0"}, "not what was written"),
    ],
)
def test_a_changed_space_record_is_told(server, place, name, fields, said):
    connect(place, space_of()).close()
    server.indexes[name].namespaces["notes.samespace"].settle()["space"].metadata.update(fields)
    with pytest.raises(CollectionCorrupt, match=said):
        connect(place)


def test_a_lost_part_of_a_note_is_told(store, index):
    store.keep_note("canaries", bytes(100_000))
    notes = index.namespaces["notes.samespace"].settle()
    del notes[next(name for name in notes if name.startswith("canaries."))]
    with pytest.raises(CollectionCorrupt, match="not what was written"):
        store.note("canaries")


def test_old_parts_of_a_note_go(store, index):
    store.keep_note("canaries", bytes(100_000))
    store.keep_note("canaries", b"short")
    assert set(index.namespaces["notes.samespace"].settle()) == {"space", "canaries"}


def test_pods_are_refused(server, name):
    server.add(name)
    server.pods = True
    with pytest.raises(Unsupported, match="pods"):
        connect(f"pinecone://{name}?host={server.url}", space_of())


def test_a_namespace_that_no_row_made_yet(server, place, name):
    """Some requests of one are 404, by what people report; and one may have to be told from an index that is gone."""
    connect(place, space_of()).close()
    server.indexes[name].tells_namespaces = True
    with closing(connect(place)) as store:
        assert (store.count(), store.unsealed(), list(store.scan()), store.get(["1"]).ids) == (0, 0, [], [])
        assert (store.delete(["1"]), store.delete_where(parse({"a": 1})), store.note("canaries")) == (0, 0, None)
        assert store.nearest(block_of(1).vectors, 3) == [[]]
        assert store.write(block_of(2)) == (2, 0)


# Trouble

PLAIN = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault("query", 503, times=4), StoreUnavailable, "cannot answer now"),
        (Fault("query", 500, times=4), StoreUnavailable, "cannot answer now"),
        (Fault("query", 429, times=4, headers={"Retry-After": "0.05"}), StoreUnavailable, "fewer requests"),
        (Fault("query", 0, times=9), StoreUnavailable, "cannot be reached"),
        (Fault("query", 200, cut=True, times=2), StoreUnavailable, "cannot be reached"),
        (Fault("query", 200, wait=0.6, times=9), StoreUnavailable, "in time"),
        (Fault("query", 401, body=b"Invalid API Key", headers=PLAIN), AccessDenied, "PINECONE_API_KEY"),
        (Fault("query", 403, body=b"Forbidden", headers=PLAIN), AccessDenied, "role"),
        (Fault("query", 403, body=b"You've reached the max storage allowed for project x"), StorageFull, "quota"),
        (Fault("query", 402), AccessDenied, "does not allow"),
        (Fault("query", 404), NotFound, "deleted"),
        (Fault("query", 409), StorageError, "injected"),
        (Fault("query", 412), StorageError, "injected"),
        (Fault("query", 413, times=2), StorageError, "refuses"),
        (Fault("query", 400, times=2), StorageError, "refuses"),
        (Fault("query", 418, times=2), StorageError, "injected"),
        (Fault("query", 200, body=b"<html>hello</html>"), StorageError, "not one of Pinecone's"),
        (Fault("query", 200, body=b'{"matches": 5}'), StorageError, "not one of Pinecone's"),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Fault) else None,
)
def test_errors_in_our_words(place, server, name, fault, error, said):
    with closing(connect(place, space_of(), timeout=1)) as store:
        store.write(block_of(3))
        server.faults.append(fault)
        with pytest.raises(error, match=said) as caught:
            store.nearest(block_of(1).vectors, 2)
        assert isinstance(caught.value, SamespaceError)
        shown = "".join(traceback.format_exception(caught.value))
        assert server.key not in shown
        server.faults.clear()
        assert len(store.nearest(block_of(1).vectors, 2)[0]) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("query", 503, times=2),
        Fault("query", 429, times=1, headers={"Retry-After": "0.05"}),
        Fault("query", 0, times=1),
        Fault("query", 200, cut=True, times=1),
    ],
    ids=lambda fault: f"{fault.status}",
)
def test_asks_again(store, server, fault):
    store.write(block_of(3))
    server.faults.append(fault)
    assert len(store.nearest(block_of(1).vectors, 2)[0]) == 2


def test_a_write_that_fails_in_the_middle_leaves_whole_rows(server, place):
    with closing(connect(place, space_of(1_536), timeout=2)) as store:
        rows = block_of(300, store.space)
        server.faults.append(Fault("POST /vectors/upsert", 400, after=2))
        with pytest.raises(StorageError):
            store.write(rows)
        assert 0 < store.count() < 300
        found = store.get(rows.ids)
        places = [int(each) for each in found.ids]
        assert found.vectors.tobytes() == rows.vectors[places].tobytes()
        store.write(rows)
        assert store.count() == 300


def test_nobody_there(server):
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        connect("pinecone://notes?host=http://127.0.0.1:9", timeout=1)


def test_an_index_that_goes_away(store, server, name):
    store.write(block_of(3))
    server.control("DELETE", f"/indexes/{name}", {})
    with pytest.raises(StoreUnavailable):
        store.nearest(block_of(1).vectors, 2)


@pytest.mark.parametrize("key", ["wrong-key-4711", "two words", "schlüssel"])
def test_a_wrong_key_is_not_shown(server, place, monkeypatch, caplog, key):
    monkeypatch.setenv("PINECONE_API_KEY", key)
    with caplog.at_level("DEBUG"), pytest.raises((AccessDenied, InvalidInput)) as caught:
        connect(place)
    assert key not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_the_key_is_nowhere(store, server, caplog):
    with caplog.at_level("DEBUG"):
        store.write(block_of(3))
        store.nearest(block_of(1).vectors, 2)
    shown = [repr(store), store.address, repr(vars(store)), caplog.text, *map(repr, store.figures().__reduce__())]
    assert server.key not in "".join(shown)


def test_closed_in_the_middle(store):
    store.write(block_of(50))
    queries = block_of(200, seed=5).vectors
    raised = []

    def search():
        try:
            while True:
                store.nearest(queries, 3)
        except Exception as error:  # noqa: BLE001 - whatever it is
            raised.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    time.sleep(0.2)
    store.close()
    thread.join(20)
    assert [type(each) for each in raised] == [CollectionClosed]
