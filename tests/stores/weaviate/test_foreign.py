"""Other programs beside samespace: what they read of it, and what they write into it."""

from __future__ import annotations

import contextlib
import json
from uuid import uuid4

import numpy as np
import pytest
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter

from samespace.errors import CollectionCorrupt
from samespace.stores import connect
from samespace.stores.weaviate.schema import Record, definition, notes_name
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.weaviate.engine import Class


@pytest.fixture
def store(server):
    with contextlib.closing(connect(server.url(), space_of())) as store:
        yield store


def test_others_read_and_filter(store, server, bare):
    store.write(block_of(10, metadata=[{"year": 2020 + n, "tags": ["new"] if n % 2 else []} for n in range(10)]))
    notes = bare(server).notes
    found = notes.query.fetch_objects(
        filters=Filter.by_property("fields").contains_all(['"tags":"new"', '"year":2023']), include_vector=True
    ).objects
    assert [(one.properties["row_id"], one.properties["content"]) for one in found] == [("3", "text 3")]
    assert json.loads(found[0].properties["metadata"]) == {"year": 2023, "tags": ["new"]}
    assert np.array(found[0].vector["default"], np.float32).tobytes() == store.get(["3"]).vectors.tobytes()


def test_rows_of_others(store, server, bare):
    """They have the object's uuid as their id, and break nothing."""
    store.write(block_of(4, metadata=[{"n": n} for n in range(4)]))
    vector = block_of(1, seed=9).vectors[0].tolist()
    strange = [
        DataObject({"content": "a stranger's words"}, uuid=str(uuid4()), vector={"default": vector}),
        DataObject({"metadata": "{not JSON", "seal": "not hexadecimal"}, uuid=str(uuid4()), vector={"default": vector}),
        DataObject({"metadata": "[1]", "row_id": "ours?", "seq": -5}, uuid=str(uuid4())),
    ]
    assert not bare(server).notes.data.insert_many(strange).errors
    names = [strange[0].uuid, strange[1].uuid]
    assert store.count() == 7
    assert store.unsealed() == 2  # that one of them has no good seal, reading tells
    blocks = [block for block, _ in store.scan()]
    ids = [name for block in blocks for name in block.ids]
    assert ids == ["ours?", "0", "1", "2", "3", *sorted(names)]
    found = store.get([names[0], "2", names[1], str(uuid4())])
    assert found.ids == [names[0], "2", names[1]]
    assert found.contents == ["a stranger's words", "text 2", None]
    assert found.metadata == ["{}", '{"n": 2}', "{}"]
    assert found.seals is not None
    assert [seal is None for seal in found.seals] == [True, False, True]
    assert np.isnan(blocks[0].vectors[0]).all()
    hits = store.nearest(np.array([vector], np.float32), 2)[0]
    assert {hit.id for hit in hits} == set(names)
    assert store.match_text("stranger", 3)[0][::2] == (names[0], "a stranger's words")
    condition = parse({"n": {"$ne": 2}})
    assert store.count(condition) == 6
    scanned = [name for block, _ in store.scan(condition) for name in block.ids]
    assert sorted(scanned) == sorted([*ids[:3], "3", *names])
    cursors = [cursor for _, cursor in store.scan()]
    assert [cursor.partition(":")[0] for cursor in cursors] == ["seq", "uuid"]
    assert list(store.scan(after=cursors[-1])) == []
    assert store.delete([names[0], "1"]) == 2
    assert store.count() == 5


def test_an_object_of_ours_is_not_found_by_its_uuid(store, server):
    store.write(block_of(2))
    uuids = list(server.classes["Notes"].numbers)
    assert len(store.get(uuids)) == 0
    assert store.delete(uuids) == 0
    assert store.count() == 2


def test_vectors_of_another_length(store, server, bare):
    """Weaviate takes any length for the first vector, and no other afterwards."""
    bare(server).notes.data.insert_many([DataObject({}, uuid=str(uuid4()), vector={"default": [1.0, 2.0]})])
    assert store.problems() == ["Vectors have 2 numbers, not 8; something else wrote them."]
    for use in (lambda: store.write(block_of(3)), lambda: store.nearest(block_of(1).vectors, 1)):
        with pytest.raises(CollectionCorrupt, match="another length"):
            use()
    assert np.isnan(next(store.scan())[0].vectors).all()


def test_problems(server):
    connect(server.url(), space_of()).close()
    schema = server.classes["Notes"].schema
    others = definition("Notes", Record.from_text(schema["description"], "here"))
    others["vectorConfig"]["default"]["vectorIndexConfig"]["distance"] = "cosine"
    others["invertedIndexConfig"].pop("indexNullState")
    others["properties"] = [each for each in others["properties"] if each["name"] != "ranges"]
    server.classes["Notes"] = Class(others)
    with contextlib.closing(connect(server.url())) as store:
        for problem, says in zip(store.problems(), ["'ranges' is not there", "by cosine", "null states"], strict=True):
            assert says in problem


def test_notes_of_a_collection_that_was_deleted_otherwise(store, server):
    store.keep_note("canaries", b"old")
    assert store.note("canaries") == b"old"
    del server.classes["Notes"]
    with contextlib.closing(connect(server.url(), space_of())) as again:
        assert again.note("canaries") is None
        again.keep_note("canaries", b"new")
        assert again.note("canaries") == b"new"
        again.drop()
    assert server.classes == {}


def test_notes_of_something_else(store, server, bare):
    """The name of the notes' collection is taken, or a note is not what we wrote."""
    client = bare(server).client
    client.collections.create_from_dict({**definition(notes_name("Notes"), store._record), "description": "mine"})
    for use in (lambda: store.note("canaries"), lambda: store.keep_note("canaries", b""), store.drop):
        with pytest.raises(CollectionCorrupt, match="something else made it"):
            use()
    client.collections.delete(notes_name("Notes"))
    store.keep_note("canaries", b"kept")
    server.classes[notes_name("Notes")].documents[0].properties["value"] = "%%%"
    with pytest.raises(CollectionCorrupt, match="not what was written"):
        store.note("canaries")


def test_notes_stand_apart(store, server):
    store.keep_note("canaries", b"kept")
    assert set(server.classes) == {"Notes", notes_name("Notes")}
    assert store.count() == 0
    del server.classes[notes_name("Notes")]  # something else deletes them
    with contextlib.closing(connect(server.url())) as again:
        assert again.note("canaries") is None
        again.keep_note("canaries", b"again", replace=False)
        assert again.note("canaries") == b"again"
