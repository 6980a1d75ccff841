from __future__ import annotations

import pytest

from samespace.scale.files import Shard
from samespace.scale.ledger import Ledger
from samespace.scale.shards import Extent, Fields, Part

SHARD = Shard("/shards/a.jsonl", 100, 1)
EXTENT = Extent(SHARD, "bytes", 100, 1)
FIELDS = Fields("text")


@pytest.fixture
def store(notes):
    return notes.store


def part(begin, end):
    return Part(SHARD.path, begin, end)


def test_what_is_done_is_not_missing(store):
    ledger = Ledger(store, FIELDS)
    assert ledger.missing(EXTENT) == [(0, 100)]
    for begin, end in ((40, 60), (0, 10), (10, 20)):
        ledger.add(SHARD, part(begin, end))
    assert ledger.missing(EXTENT) == [(20, 40), (60, 100)]
    ledger.keep()
    assert Ledger(store, FIELDS).missing(EXTENT) == [(20, 40), (60, 100)]


def test_other_columns_another_time_and_again(store):
    ledger = Ledger(store, FIELDS)
    ledger.add(SHARD, part(0, 100))
    ledger.keep()
    assert Ledger(store, FIELDS).missing(EXTENT) == []
    assert Ledger(store, Fields("text", None, ["year"])).missing(EXTENT) == [(0, 100)]
    newer = Shard(SHARD.path, SHARD.size, 2)
    assert Ledger(store, FIELDS).missing(Extent(newer, "bytes", 100, 1)) == [(0, 100)]
    again = Ledger(store, FIELDS, again=True)
    assert again.missing(EXTENT) == [(0, 100)]
    again.add(SHARD, part(0, 50))
    again.keep()
    assert Ledger(store, FIELDS).missing(EXTENT) == [(50, 100)]


def test_two_runs_side_by_side_keep_what_both_did(store):
    one, other = Ledger(store, FIELDS), Ledger(store, FIELDS)
    one.add(SHARD, part(0, 30))
    other.add(SHARD, part(60, 100))
    one.keep()
    other.keep()
    assert Ledger(store, FIELDS).missing(EXTENT) == [(30, 60)]


def test_it_is_kept_now_and_then_without_being_asked(store, monkeypatch):
    monkeypatch.setattr("samespace.scale.ledger._KEPT_EVERY", 0.0)
    Ledger(store, FIELDS).add(SHARD, part(0, 30))
    assert Ledger(store, FIELDS).missing(EXTENT) == [(30, 100)]
