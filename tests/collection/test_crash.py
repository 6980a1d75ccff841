"""Writers that are killed, disks that are full, files that are torn: no acknowledged row is lost, none is made up."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import samespace as ss

KILLS = int(os.environ.get("SAMESPACE_KILLS", "200"))
SPACE = ss.Space("declared", 16, "cosine", normalized=True)

# The writer's work is a function of a seed and a step, so that the parent can replay it.
WORKLOAD = '''
import random, sys
import numpy as np
import samespace as ss

SPACE = ss.Space("declared", 16, "cosine", normalized=True)

def vector(name, version):
    array = np.random.default_rng([int(name), version]).standard_normal(16).astype(np.float32)
    return array / np.linalg.norm(array)

def operation(step):
    """(kind, names): what step number ``step`` does."""
    rng = random.Random(step)
    kind = rng.choices(["add", "delete", "compact"], [12, 5, 1])[0]
    return kind, rng.sample(range(3000), rng.choice([1, 20, 400]))

def apply(state, step):
    """The rows after this step: name -> version."""
    kind, names = operation(step)
    state = dict(state)
    for name in names:
        if kind == "add":
            state.pop(name, None)
            state[name] = step
        elif kind == "delete":
            state.pop(name, None)
    return state

def perform(notes, step):
    kind, names = operation(step)
    if kind == "add":
        array = np.array([vector(name, step) for name in names])
        notes.add([f"content {name} version {step}" for name in names], ids=[str(name) for name in names],
                  metadata=[{"version": step} for _ in names], vectors=ss.Vectors(array, SPACE))
    elif kind == "delete":
        notes.delete([str(name) for name in names])
    else:
        notes.compact()
'''
exec(WORKLOAD)

WRITER = (
    WORKLOAD
    + """
notes = ss.open(sys.argv[1], space=SPACE)
for step in range(int(sys.argv[2]), 10**9):
    perform(notes, step)
    print(step, flush=True)
"""
)


def stored(notes):
    """name -> version of everything in the collection, each row's content, vector and index entry checked."""
    rows = list(notes)
    for row in rows:
        version = row.metadata["version"]
        assert row.content == f"content {row.id} version {version}"
        np.testing.assert_array_equal(row.vector, vector(row.id, version))  # noqa: F821 - from WORKLOAD
    return {int(row.id): row.metadata["version"] for row in rows}


def test_a_killed_writer_loses_no_acknowledged_row_and_leaves_no_other(path, tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    ss.open(path, space=SPACE).close()
    state, step, rng, landed = {}, 0, random.Random(11), 0
    for _ in range(KILLS):
        command = [sys.executable, script, path, str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            first = writer.stdout.readline()  # it is at work now
            time.sleep(rng.random() * 0.06)
            writer.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in [first, *writer.stdout.read().splitlines()] if line.strip()]
        for done in acknowledged:
            assert done == step
            state, step = apply(state, step), step + 1  # noqa: F821
        with ss.open(path) as notes:
            found = stored(notes)
            after = apply(state, step)  # noqa: F821
            assert found in (state, after), "either the operation under way happened, or nothing of it"
            if found == after != state:
                landed += 1
            if found == after:
                state, step = after, step + 1
            assert notes.verify() == []
            for name in random.Random(step).sample(sorted(state), min(5, len(state))):
                query = ss.Vectors(vector(name, state[name])[None, :], SPACE, "query")  # noqa: F821
                hit = notes.search(query, k=1)[0]
                assert (hit.id, hit.metadata) == (str(name), {"version": state[name]})
                word = notes.search(f"{name} {state[name]}", k=3, mode="text", where={"version": state[name]})
                assert str(name) in [hit.id for hit in word]
    assert step > KILLS


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and sys.platform == "linux" and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root on Linux; the file size limit is tested everywhere")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(notes):
    state = {}
    for step in range(10_000):
        names = range(step * 300, step * 300 + 300)
        array = np.array([vector(name, step) for name in names])  # noqa: F821
        try:
            notes.add(
                [f"content {name} version {step}" for name in names],
                ids=map(str, names),
                metadata=({"version": step} for _ in names),
                vectors=ss.Vectors(array, SPACE),
            )
        except ss.StorageFull as error:
            return state, str(error)
        state.update(dict.fromkeys(names, step))
    raise AssertionError("the disk never filled")


def test_a_full_disk_costs_the_batch_and_nothing_else(small_disk):
    with ss.open(small_disk / "notes.ss", space=SPACE) as notes:
        state, message = fill(notes)
        assert message.startswith("No space left on the disk of")
        assert len(state) > 1_000
        assert stored(notes) == state
        assert notes.verify() == []
    with ss.open(small_disk / "notes.ss") as notes:
        assert stored(notes) == state
        query = ss.Vectors(vector(7, state[7])[None, :], SPACE, "query")  # noqa: F821
        assert notes.search(query, k=1)[0].id == "7"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_read_only_disk_is_read_and_nothing_else(small_disk):
    path = small_disk / "notes.ss"
    query, expected = make(path, 500)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with ss.open(path) as notes:
            assert notes.search(query, k=5) == expected
            assert notes.search("text 7", k=1, mode="text")[0].id == "7"
            assert len(list(notes)) == notes.info().count == 500
            for write in (lambda: notes.delete(["7"]), lambda: notes.add(["x"], vectors=query), notes.compact):
                with pytest.raises((ss.StorageError, ss.InvalidInput)):
                    write()
            assert notes.verify() == []
            with pytest.raises(ss.StorageError):
                ss.open(small_disk / "new.ss", space=SPACE)
            subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
            with ss.open(path) as writer:
                writer.delete(["7"])
                with pytest.raises(ss.StorageError, match="is written now"):
                    notes.count()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


def test_a_file_size_limit_costs_the_batch_and_nothing_else(path, tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(
        "import resource, sys\n"
        + WRITER.replace(
            "    perform(notes, step)\n",
            "    if step == 3:\n"
            "        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
            "    if step >= 3:\n"
            "        try:\n"
            "            for n in range(10_000):\n"
            "                own = ss.Vectors(vector(n, 0)[None, :], SPACE)\n"
            "                notes.add([f'full {n}'], ids=[f'full {n}'], vectors=own)\n"
            "                print('full', n, flush=True)\n"
            "        except ss.StorageError:\n"
            "            print('stopped', flush=True); sys.exit(0)\n"
            "    perform(notes, step)\n",
        )
    )
    done = subprocess.run([sys.executable, script, path, "0"], capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")
    assert "stopped" in lines
    acknowledged = {line for line in lines if line.startswith("full")}
    with ss.open(path) as notes:
        assert {name for name in notes.ids() if name.startswith("full")} == acknowledged
        assert notes.verify() == []


def make(path, rows=6_000):
    array = np.random.default_rng(0).standard_normal((rows, 16)).astype(np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    with ss.open(path, space=SPACE, engine="scan") as notes:
        notes.add([f"text {n}" for n in range(rows)], ids=map(str, range(rows)), vectors=ss.Vectors(array, SPACE))
        query = ss.Vectors(array[:1], SPACE, "query")
        return query, notes.search(query, k=5)


@pytest.mark.parametrize("damage", ["torn", "empty", "overwritten", "flipped", "gone", "a folder"])
def test_a_damaged_index_costs_nothing_but_time(path, damage):
    query, expected = make(path)
    files = [file for file in (path / "index").iterdir() if file.is_file()]
    assert {file.name for file in files} == {"scan.index", "index.json", "queries.index"}
    for file in files:
        data = bytearray(file.read_bytes())
        if damage == "torn":
            file.write_bytes(data[: len(data) // 2])
        elif damage == "empty":
            file.write_bytes(b"")
        elif damage == "overwritten":
            file.write_bytes(os.urandom(len(data)))
        elif damage == "flipped":
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        else:
            file.unlink()
            if damage == "a folder":
                file.mkdir()
        with ss.open(path, engine="scan") as notes:
            assert notes.search(query, k=5) == expected


def test_an_index_of_another_collection_is_not_believed(path, tmp_path):
    query, expected = make(path)
    array = np.random.default_rng(1).standard_normal((6_000, 16)).astype(np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    with ss.open(tmp_path / "other.ss", space=SPACE, engine="scan") as notes:
        notes.add([f"text {n}" for n in range(6_000)], vectors=ss.Vectors(array, SPACE))
        notes.search(query)
    shutil.rmtree(path / "index")
    shutil.copytree(tmp_path / "other.ss" / "index", path / "index")
    with ss.open(path, engine="scan") as notes:
        assert notes.search(query, k=5) == expected


def test_a_vector_file_that_is_too_short_is_told_at_once(path):
    make(path)
    file = next(path.glob("vectors-*.f32"))
    with file.open("r+b") as handle:
        handle.truncate(1_000)
    with pytest.raises(ss.CollectionCorrupt, match=r"has 1,000 bytes, but the catalogue names 6,000 vectors"):
        ss.open(path)
    file.unlink()
    with pytest.raises(ss.CollectionCorrupt, match="is missing"):
        ss.open(path)


def test_verify_finds_a_flipped_bit(path):
    make(path)
    file = next(path.glob("vectors-*.f32"))
    data = bytearray(file.read_bytes())
    data[5_000] ^= 1
    file.write_bytes(data)
    with ss.open(path) as notes:
        assert notes.verify() == ["vectors of slots 0 to 5999 (change 1) are not what was written"]


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be one" * 100])
def test_a_damaged_catalogue_is_told(path, content):
    make(path, 10)
    for file in path.glob("catalog.sqlite*"):
        file.unlink()
    (path / "catalog.sqlite").write_bytes(content)
    with pytest.raises((ss.CollectionCorrupt, ss.NotFound)):
        ss.open(path, create=False)


def test_another_programs_database_is_refused(path):
    import sqlite3

    path.mkdir()
    connection = sqlite3.connect(path / "catalog.sqlite")
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    with pytest.raises(ss.CollectionCorrupt, match="not a catalogue of samespace"):
        ss.open(path)


def test_a_catalogue_of_a_newer_version_is_refused(path):
    import sqlite3

    make(path, 10)
    connection = sqlite3.connect(path / "catalog.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ss.CollectionCorrupt, match=r"has format 99; this samespace reads up to 2\. Upgrade"):
        ss.open(path)


def test_the_format_can_be_read_without_the_library(path: Path):
    import json
    import sqlite3

    make(path, 20)
    array = np.fromfile(path / "vectors-0.f32", "<f4").reshape(-1, 16)
    catalog = sqlite3.connect(path / "catalog.sqlite")
    slot, content = catalog.execute("SELECT slot, content FROM rows WHERE id = '7'").fetchone()
    space = json.loads(catalog.execute("SELECT value FROM meta WHERE key = 'space'").fetchone()[0])
    catalog.close()
    with ss.open(path) as notes:
        np.testing.assert_array_equal(array[slot], notes.get(["7"])[0].vector)
    assert (content, space["model"]) == ("text 7", "declared")
