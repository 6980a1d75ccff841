"""The local store by itself: look-ups, and vectors in float32 and float16."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samespace as ss
from samespace.stores.local import LocalStore
from samespace.stores.vectorfile import vector_files
from samespace.where import parse

SPACE = ss.Space("declared", 8, "dot")
PRECISIONS = ["float32", "float16"]
BYTES = {"float32": 4, "float16": 2}


def write(store, ids, vectors):
    return store.write(ids, [f"text {name}" for name in ids], ["{}"] * len(ids), vectors, [(None, None)] * len(ids))


def numbers(rows, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal((rows, 8)) * scale).astype(np.float32)


def stored(store):
    """id -> vector of all rows."""
    view = store.view()
    slots = np.flatnonzero(view.live) + view.first_slot
    return {row.id: view.vectors[row.slot - view.first_slot] for row in store.fetch(slots.tolist())}


def assert_holds(store, expected):
    found = stored(store)
    assert list(found) == list(expected)
    for name, vector in expected.items():
        np.testing.assert_array_equal(found[name], vector)
    assert store.verify() == []


# Looking up


def test_rows_come_in_the_order_asked_and_those_that_are_gone_are_left_out(path):
    with closing(LocalStore(path, SPACE)) as store:
        write(store, list("abcde"), numbers(5))
        store.delete(["c"])
        assert [row.id for row in store.fetch([4, 0, 2, 99, 3])] == ["e", "a", "d"]
        assert [row.id for row in store.fetch([1, 0, 1])] == ["b", "a", "b"]
        assert store.fetch([]) == []
        (row,) = store.fetch(np.array([1]))
        assert row == (1, "b", "text b", "{}", None, None)
        assert row.content == "text b"


def test_many_rows_are_fetched_at_once(path):
    names = [str(n) for n in range(40_000)]
    with closing(LocalStore(path, SPACE)) as store:
        write(store, names, numbers(40_000))
        slots = np.random.default_rng(0).permutation(40_000)
        assert [row.slot for row in store.fetch(slots.tolist())] == slots.tolist()
        assert store.ids_of(slots) == [names[slot] for slot in slots]


def test_ids_of_slots_and_slots_of_ids(path):
    with closing(LocalStore(path, SPACE)) as store:
        write(store, list("abcde"), numbers(5))
        store.delete(["c"])
        assert store.ids_of(np.array([4, 2, 0, 4, -1, 99])) == ["e", None, "a", "e", None, None]
        assert store.ids_of(np.empty(0, np.int64)) == []
        assert [store.slot_of(name) for name in "abcx"] == [0, 1, None, None]
        assert store.view().deleted == 1
        store.compact()
        assert [store.slot_of(name) for name in "abde"] == [5, 6, 7, 8]
        assert store.ids_of(np.arange(5, 9)) == list("abde")
        assert store.view().deleted == 0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
def test_any_id_is_found_by_its_slot_and_the_other_way_round(tmp_path_factory, names):
    with closing(LocalStore(tmp_path_factory.mktemp("any") / "notes.ss", SPACE)) as store:
        write(store, names, numbers(len(names)))
        slots = list(range(len(names)))
        assert store.ids_of(np.array(slots, np.int64)) == names
        assert [store.slot_of(name) for name in names] == slots
        assert [store.find([name])[name].slot for name in names] == slots
        assert [row.id for row in store.fetch(slots)] == names


def test_a_closed_store_says_so(path):
    store = LocalStore(path, SPACE)
    store.close()
    for use in (
        store.view,
        lambda: store.fetch([0]),
        lambda: store.find(["a"]),
        lambda: store.slot_of("a"),
        lambda: store.ids_of(np.array([0])),
        lambda: store.precision,
    ):
        with pytest.raises(ss.CollectionClosed, match="was closed"):
            use()


# Precisions


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_are_kept_to_the_precision(path, precision):
    vectors = numbers(100)
    with closing(LocalStore(path, SPACE, precision=precision)) as store:
        assert store.precision == store.view().precision == precision
        assert store.view().vectors.dtype == precision
        write(store, [str(n) for n in range(60)], vectors[:60])
        write(store, [str(n) for n in range(40, 100)], vectors[40:])
        assert store.sizes["vectors"] == 120 * 8 * BYTES[precision]
    with closing(LocalStore(path)) as store:
        view = store.view()
        assert (store.precision, view.vectors.dtype, view.deleted) == (precision, np.dtype(precision), 20)
        assert_holds(store, dict(zip(map(str, range(100)), vectors.astype(precision), strict=True)))


def test_float32_is_the_default_and_what_is_there_counts(path):
    LocalStore(path, SPACE).close()
    with closing(LocalStore(path, SPACE, precision="float16")) as store:
        assert store.precision == "float32"


def test_a_precision_that_is_none_is_refused(path):
    with pytest.raises(ss.InvalidInput, match=r"^precision must be 'float32' or 'float16', got 'bfloat16'\.$"):
        LocalStore(path, SPACE, precision="bfloat16")
    with closing(LocalStore(path, SPACE)) as store, pytest.raises(ss.InvalidInput, match="got 'half'"):
        store.compact("half")


def test_a_deletion_by_a_condition_is_one_commit(path, monkeypatch):
    """What meets it is found while nobody else can write: no row that was rewritten meanwhile is deleted."""
    condition = parse({"old": True})
    with closing(LocalStore(path, SPACE)) as store, closing(LocalStore(path, timeout=0.05)) as other:
        for start in range(0, 6, 2):
            store.write(
                [str(start), str(start + 1)], [None] * 2, ['{"old": true}', "{}"], numbers(2), [(None, None)] * 2
            )
        find, before = store.matching, store.view().sequence

        def slow(condition, view):
            found = find(condition, view)
            with pytest.raises(ss.CollectionBusy):
                write(other, ["0"], numbers(1))
            return found

        monkeypatch.setattr(store, "matching", slow)
        assert store.delete_where(condition) == 3
        assert store.view().sequence == before + 1
        assert list(stored(store)) == list(stored(other)) == ["1", "3", "5"]
        assert write(other, ["0"], numbers(1)) == (1, 0)
        monkeypatch.undo()
        assert store.delete_where(condition) == 0
        assert store.verify() == []


@pytest.mark.parametrize("number", [65_520, -70_000, 3e38])
def test_a_number_beyond_float16_is_refused_and_nothing_is_written(path, number):
    vectors = numbers(4)
    vectors[2, 5] = vectors[3, 0] = number
    with closing(LocalStore(path, SPACE, precision="float16")) as store:
        write(store, ["a"], vectors[:1])
        before = store.sizes["vectors"], store.view()
        with pytest.raises(ss.InvalidVectors) as raised:
            write(store, list("bcde"), vectors)
        assert str(raised.value) == (
            f"Row 'd' has a number of size {abs(number):.6g}; float16 holds up to 65,504. "
            "Keep such vectors in float32, or scale them."
        )
        assert (store.sizes["vectors"], store.view()) == before
        assert_holds(store, {"a": vectors[0].astype(np.float16)})
        vectors[2, 5] = vectors[3, 0] = 65_519  # rounds to the largest
        write(store, list("bcde"), vectors)
        assert stored(store)["d"][5] == 65_504


@pytest.mark.parametrize("before", PRECISIONS)
@pytest.mark.parametrize("after", [*PRECISIONS, None])
def test_compaction_changes_the_precision_and_readers_follow(path, before, after):
    vectors = numbers(50)
    names = [str(n) for n in range(50)]
    kept = {name: vector for name, vector in zip(names, vectors.astype(before), strict=True) if int(name) % 3}
    with closing(LocalStore(path, SPACE, precision=before)) as store, closing(LocalStore(path)) as reader:
        write(store, names, vectors)
        store.delete([name for name in names if int(name) % 3 == 0])
        old = reader.view()
        store.compact(after)
        after = after or before
        expected = {name: vector.astype(after) for name, vector in kept.items()}
        for each in (store, reader):
            assert each.precision == after
            assert_holds(each, expected)
        assert store.sizes["vectors"] == len(kept) * 8 * BYTES[after]
        np.testing.assert_array_equal(old.vectors[1], kept["1"])  # a search under way goes on with its view
        write(reader, ["new"], vectors[:1])  # and who opened it before writes as it is now
        assert_holds(store, {**expected, "new": vectors[0].astype(after)})
    with closing(LocalStore(path)) as store:
        assert len(vector_files(path)) == 1
        assert_holds(store, {**expected, "new": vectors[0].astype(after)})


def test_an_empty_collection_changes_its_precision(path):
    with closing(LocalStore(path, SPACE)) as store:
        for precision in ("float16", "float16", "float32"):
            store.compact(precision)
            assert (store.precision, len(store.view().vectors)) == (precision, 0)
        store.compact("float16")
        write(store, ["a"], numbers(1))
        assert_holds(store, {"a": numbers(1)[0].astype(np.float16)})


def test_compaction_to_float16_that_cannot_be_leaves_all_as_it_was(path):
    vectors = numbers(20_000)
    vectors[18_000, 3] = 1e6
    names = [str(n) for n in range(20_000)]
    with closing(LocalStore(path, SPACE)) as store:
        write(store, names, vectors)
        store.delete(["7"])
        with pytest.raises(ss.InvalidVectors, match="Row '18000' has a number of size 1e"):
            store.compact("float16")
        assert store.precision == "float32"
        assert [file.name for file in vector_files(path)] == ["vectors-0.f32"]
        assert store.verify() == []
        store.delete(["18000"])
        store.compact("float16")
        assert store.precision == "float16"
        assert store.verify() == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_verify_finds_any_flipped_bit(path, precision):
    with closing(LocalStore(path, SPACE, precision=precision)) as store:
        write(store, ["a", "b"], numbers(2))
        write(store, ["c"], numbers(1, 1))
    (file,) = vector_files(path)
    data = bytearray(file.read_bytes())
    for bit in range(0, len(data) * 8, 37):
        flipped = data.copy()
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        slots, change = ("0 to 1", 1) if bit < 2 * 8 * BYTES[precision] * 8 else ("2 to 2", 2)
        with closing(LocalStore(path)) as store:
            assert store.verify() == [f"vectors of slots {slots} (change {change}) are not what was written"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_that_is_short_or_gone_is_told_with_its_size(path, precision):
    with closing(LocalStore(path, SPACE, precision=precision)) as store:
        write(store, ["a", "b"], numbers(2))
    (file,) = vector_files(path)
    file.write_bytes(b"\0" * 20)
    needed = 16 * BYTES[precision]
    with pytest.raises(ss.CollectionCorrupt, match=rf"{file.name} has 20 bytes, .* dimension 8 \({needed} bytes\)"):
        LocalStore(path)
    file.unlink()
    with pytest.raises(ss.CollectionCorrupt, match=rf"{file.name} is missing"):
        LocalStore(path)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_whose_catalogue_is_gone_are_not_written_over(path, precision):
    with closing(LocalStore(path, SPACE, precision=precision)) as store:
        write(store, ["a"], numbers(1))
        name = vector_files(path)[0].name
    (path / "catalog.sqlite").write_bytes(b"")
    with pytest.raises(ss.CollectionCorrupt, match=rf"has vectors \({name}\), but its catalogue is empty or gone"):
        LocalStore(path, SPACE)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_a_dead_compaction_left_is_removed_by_the_next_writer(path, precision):
    LocalStore(path, SPACE, precision=precision).close()
    for name in ("vectors-77.f32", "vectors-77.f16"):
        (path / name).write_bytes(b"half a copy")
    with closing(LocalStore(path)) as store:
        write(store, ["a"], numbers(1))
        assert [file.stem for file in vector_files(path)] == ["vectors-0"]


# Formats


def catalog(path, statement):
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


def test_only_a_collection_of_float16_needs_the_newer_format(path, tmp_path):
    for name, precision, version in (("a", "float32", 1), ("b", "float16", 2)):
        LocalStore(tmp_path / name, SPACE, precision=precision).close()
        assert catalog(tmp_path / name, "PRAGMA user_version") == [(version,)]
        assert catalog(tmp_path / name, "SELECT value FROM meta WHERE key = 'precision'") == [(precision,)]
    with closing(LocalStore(path, SPACE)) as store:
        store.compact()
        assert catalog(path, "PRAGMA user_version") == [(1,)]
        store.compact("float16")
        assert catalog(path, "PRAGMA user_version") == [(2,)]


def test_a_collection_from_before_the_choice_is_read_written_and_converted(path):
    vectors = numbers(4)
    with closing(LocalStore(path, SPACE)) as store:
        write(store, ["a", "b"], vectors[:2])
    catalog(path, "DELETE FROM meta WHERE key = 'precision'")
    with closing(LocalStore(path)) as store:
        assert store.precision == "float32"
        write(store, ["c", "d"], vectors[2:])
        assert_holds(store, dict(zip("abcd", vectors, strict=True)))
        store.compact("float16")
        assert_holds(store, dict(zip("abcd", vectors.astype(np.float16), strict=True)))


def test_a_precision_of_another_time_is_told(path):
    LocalStore(path, SPACE).close()
    catalog(path, "UPDATE meta SET value = 'float8' WHERE key = 'precision'")
    with pytest.raises(ss.CollectionCorrupt, match="names a precision that is not known: 'float8'"):
        LocalStore(path)


# Killed writers

# Quarters of small whole numbers are the same in both precisions, so every state is known exactly.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from samespace.stores.local import LocalStore
store = LocalStore(Path(sys.argv[1]))
for step in range(int(sys.argv[2]), 10**9):
    names = [str(n) for n in range(step * 50, step * 50 + 50)]
    vectors = (np.arange(50 * 8, dtype=np.float32).reshape(50, 8) + step % 1000) / 4
    store.write(names, names, ["{}"] * 50, vectors, [(None, None)] * 50)
    if step % 3 == 2:
        store.compact("float16" if step % 2 else "float32")
    print(step, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_writer_killed_in_any_precision_loses_nothing(path):
    LocalStore(path, SPACE).close()
    step, rng = 0, random.Random(5)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(step)], stdout=subprocess.PIPE, text=True
        ) as writer:
            first = writer.stdout.readline()
            time.sleep(rng.random() * 0.06)
            writer.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in [first, *writer.stdout.read().splitlines()] if line.strip()]
        assert acknowledged == list(range(step, step + len(acknowledged)))
        step += len(acknowledged)
        with closing(LocalStore(path)) as store:
            count, rest = divmod(store.view().count, 50)
            assert rest == 0
            assert count in (step, step + 1)
            expected = {str(n): (np.arange(8) + (n % 50) * 8 + n // 50 % 1000) / 4 for n in range(count * 50)}
            assert_holds(store, expected)
            step = count


def test_the_file_of_float16_is_read_without_the_library(path):
    with closing(LocalStore(path, SPACE, precision="float16")) as store:
        write(store, ["a", "b"], numbers(2))
        expected = store.view().vectors.copy()
    ((space,),) = catalog(path, "SELECT value FROM meta WHERE key = 'space'")
    array = np.fromfile(path / "vectors-0.f16", "<f2").reshape(-1, json.loads(space)["dimension"])
    np.testing.assert_array_equal(array, expected)
