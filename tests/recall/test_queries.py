from __future__ import annotations

import threading

import numpy as np
import pytest

from samespace.recall.queries import QueryLog


def rows(*values):
    return np.array([[value, -value] for value in values], np.float32)


def test_the_last_are_kept_oldest_first():
    log = QueryLog(2, 4)
    assert log.recent().shape == (0, 2)
    for value in range(6):
        log.add(rows(value))
    np.testing.assert_array_equal(log.recent(), rows(2, 3, 4, 5))
    assert len(log) == 4


def test_what_is_given_out_is_a_copy():
    log = QueryLog(2, 4)
    log.add(rows(1))
    log.recent()[:] = 9
    np.testing.assert_array_equal(log.recent(), rows(1))


def test_a_batch_does_not_push_out_the_others():
    log = QueryLog(2, 64)
    for value in range(64):
        log.add(rows(value))
    log.add(rows(*range(1_000, 2_000)))
    kept = log.recent()[:, 0]
    assert len(kept) == 64
    assert (kept >= 1_000).sum() == 8
    assert (kept.max(), kept[kept >= 1_000].min()) == (1_999, 1_000)


def test_no_queries():
    log = QueryLog(2, 4)
    log.add(np.empty((0, 2), np.float32))
    assert len(log) == 0


@pytest.mark.parametrize("count", [0, 3, 8, 100])
def test_round_trip(tmp_path, count):
    log, again = QueryLog(2, 8), QueryLog(2, 8)
    for value in range(count):
        log.add(rows(value))
    log.save(tmp_path / "queries")
    again.load(tmp_path / "queries")
    np.testing.assert_array_equal(again.recent(), log.recent())


def test_a_smaller_ring_keeps_the_last(tmp_path):
    log, small = QueryLog(2, 8), QueryLog(2, 2)
    for value in range(8):
        log.add(rows(value))
    log.save(tmp_path / "queries")
    small.load(tmp_path / "queries")
    np.testing.assert_array_equal(small.recent(), rows(6, 7))


def test_a_missing_file_is_nothing_to_speak_of(tmp_path, caplog):
    log = QueryLog(2)
    log.load(tmp_path / "queries")
    assert len(log) == 0
    assert not caplog.records


@pytest.mark.parametrize("damage", ["torn", "changed", "foreign"])
def test_a_damaged_file_adds_nothing_and_is_logged(tmp_path, caplog, damage):
    log, path = QueryLog(2), tmp_path / "queries"
    log.add(rows(1))
    log.save(path)
    data = path.read_bytes()
    path.write_bytes({"torn": data[:-1], "changed": data[:-1] + b"x", "foreign": b"else"}[damage])
    again = QueryLog(2)
    again.load(path)
    assert len(again) == 0
    assert "past queries are left out" in caplog.text


def test_queries_of_another_dimension_add_nothing(tmp_path, caplog):
    log = QueryLog(2)
    log.add(rows(1))
    log.save(tmp_path / "queries")
    other = QueryLog(3)
    other.load(tmp_path / "queries")
    assert len(other) == 0
    assert "of another kind" in caplog.text


def test_threads():
    log = QueryLog(2, 1_024)
    threads = [threading.Thread(target=lambda: [log.add(rows(1)) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log) == 400
