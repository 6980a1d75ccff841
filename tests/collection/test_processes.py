"""One writer and many readers, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import samespace as ss

SPACE = ss.Space("declared", 16, "cosine", normalized=True)

PRELUDE = """
import sys
import numpy as np
import samespace as ss
SPACE = ss.Space("declared", 16, "cosine", normalized=True)

def vectors(names):
    arrays = [np.random.default_rng(name).standard_normal(16) for name in names]
    return ss.Vectors(np.array([a / np.linalg.norm(a) for a in arrays], np.float32), SPACE)
"""
exec(PRELUDE)

# After each commit the writer says up to which row everything is there. A reader is told a number and must find
# that row at once: what was committed before the question was asked is never missing from the answer.
WRITER = (
    PRELUDE
    + """
notes = ss.open(sys.argv[1])
for step in range(int(sys.argv[2])):
    names = range(step * 40, step * 40 + 40)
    notes.add([f"text {n}" for n in names], ids=[str(n) for n in names], metadata=[{"n": n} for n in names],
              vectors=vectors(names))
    if step % 25 == 24:
        notes.delete([str(n) for n in range(step * 40 - 400, step * 40 - 360)])
    if step % 60 == 59:
        notes.compact()
    print(step * 40 + 39, flush=True)
"""
)
READER = (
    PRELUDE
    + """
notes = ss.open(sys.argv[1])
for line in sys.stdin:
    newest = int(line)
    for name in (newest, newest // 2 // 40 * 40 + 7):
        query = ss.Vectors(vectors([name]).array, SPACE, "query")
        hits = notes.search(query, k=3)
        for hit in hits:
            n = int(hit.id)
            assert hit.content == f"text {n}" and hit.metadata == {"n": n}, hit
            assert abs(hit.score - float(vectors([n]).array[0] @ query.array[0])) < 1e-5, hit
        if name == newest:
            assert hits[0].id == str(name), (name, hits)
            assert notes.get([str(name)])[0].id == str(name)
            assert notes.count({"n": name}) == 1
            assert notes.search(f"{name}", k=1, mode="text")[0].id == str(name)
    print("ok", flush=True)
"""
)


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_four_search_while_one_writes_without_pause(path):
    ss.open(path, space=SPACE).close()
    writer = start(WRITER, path, 240)
    newest, failures, searches = [None], [], [0] * 4
    finished = threading.Event()

    def read(number):
        reader = start(READER, path)
        try:
            while not finished.is_set():
                if newest[0] is None:
                    continue
                reader.stdin.write(f"{newest[0]}\n")
                reader.stdin.flush()
                if reader.stdout.readline() != "ok\n":
                    failures.append(reader.stderr.read())
                    return
                searches[number] += 1
        finally:
            reader.stdin.close()
            reader.wait()
            reader.stdout.close()
            reader.stderr.close()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for reader in readers:
        reader.start()
    for line in writer.stdout:
        newest[0] = int(line)
    finished.set()
    for reader in readers:
        reader.join()
    _, errors = writer.communicate()
    assert (writer.returncode, errors) == (0, "")
    assert failures == []
    assert min(searches) > 5
    with ss.open(path) as notes:
        assert notes.verify() == []


HOLDER = (
    PRELUDE
    + """
notes = ss.open(sys.argv[1])
with notes._rows.rows._transaction():
    print("held", flush=True)
    sys.stdin.readline()
"""
)


def test_a_second_writer_waits_or_is_told(path):
    ss.open(path, space=SPACE).close()
    holder = start(HOLDER, path)
    assert holder.stdout.readline() == "held\n"
    with ss.open(path, timeout=0.2) as notes:
        with pytest.raises(ss.CollectionBusy, match="Another writer holds"):
            notes.add(["x"], vectors=vectors([1]))  # noqa: F821 - from PRELUDE
        assert notes.search(ss.Vectors(np.eye(16, dtype=np.float32)[:1], SPACE, "query")) == []
    with ss.open(path, timeout=30) as notes:
        waiting = threading.Thread(target=notes.add, args=(["x"],), kwargs={"vectors": vectors([1])})  # noqa: F821
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        holder.communicate("go\n")
        waiting.join(20)
        assert notes.count() == 1
    assert holder.returncode == 0


def test_two_writers_take_turns(path):
    ss.open(path, space=SPACE).close()
    code = (
        PRELUDE
        + """
notes = ss.open(sys.argv[1])
for step in range(60):
    names = [int(sys.argv[2]) * 1000 + step]
    notes.add([f"text {names[0]}"], ids=[str(names[0])], vectors=vectors(names))
"""
    )
    writers = [start(code, path, number) for number in range(3)]
    for writer in writers:
        _, errors = writer.communicate()
        assert (writer.returncode, errors) == (0, "")
    with ss.open(path) as notes:
        assert sorted(map(int, notes.ids())) == [n * 1000 + step for n in range(3) for step in range(60)]
        for row in notes:
            np.testing.assert_array_equal(row.vector, vectors([int(row.id)]).array[0])  # noqa: F821
        assert notes.verify() == []
