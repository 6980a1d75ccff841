"""Copies between stores: whole, resumable after any stop, and verified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import samespace as ss
from samespace.keeping.copy import copy_collection, copy_rows, differences
from samespace.opening import stand
from samespace.testing.store_contract import block_of, space_of


def filled(place, n=3_000, space=None):
    """A collection with all kinds of rows."""
    space = space or space_of(16)
    rows = stand(place, space, encoder="acme:embed")
    fields = [{"n": k, "tags": ["a", None, 1.0, 2**53 + 1], "nested": {"x": [k]}} if k % 3 else {} for k in range(n)]
    contents = [None if k % 7 == 0 else f"text {k} é" for k in range(n)]
    block = block_of(n, space, metadata=fields, contents=contents)
    for start in range(0, n, 700):
        rows.store.write(block[start : start + 700])
    rows.store.delete(["3", "11"])
    rows.store.keep_note("canaries", b"proof")
    rows.close()
    return block


def everything(place):
    rows = stand(place)
    found = {}
    for block, _ in rows.store.scan():
        for n, name in enumerate(block.ids):
            fields = json.loads(block.metadata[n])
            found[name] = (block.contents[n], fields, block.vectors[n].tobytes(), block.tokens[n])
    notes = rows.store.encoder, rows.store.space, rows.store.note("canaries")
    rows.close()
    return found, notes


def test_a_copy_is_the_same(tmp_path):
    filled(tmp_path / "a.ss")
    seen = []
    report = copy_collection(tmp_path / "a.ss", tmp_path / "b.ss", progress=lambda *step: seen.append(step))
    assert (report.rows, report.copied, report.agreement) == (2_998, 2_998, 1.0)
    assert report.searches > 20
    assert sum(rows for what, rows in seen if what == "copying") == 2_998
    assert sum(rows for what, rows in seen if what == "verifying") == 2_998
    one, other = everything(tmp_path / "a.ss"), everything(tmp_path / "b.ss")
    assert one == other
    assert list(one[0]) == list(other[0])


def test_again_copies_nothing_and_verifies(tmp_path):
    filled(tmp_path / "a.ss", 300)
    copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")
    report = copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")
    assert (report.rows, report.copied) == (298, 0)


def test_an_empty_collection(tmp_path):
    stand(tmp_path / "a.ss", space_of()).close()
    assert copy_collection(tmp_path / "a.ss", tmp_path / "b.ss").rows == 0


def test_goes_on_after_an_error(tmp_path, monkeypatch):
    filled(tmp_path / "a.ss", 9_000)
    source, target = stand(tmp_path / "a.ss"), stand(tmp_path / "b.ss", space_of(16))
    whole, calls = target.store.write, []

    def write(block):
        calls.append(len(block))
        if len(calls) == 2:
            raise ss.StorageFull("no room")
        return whole(block)

    monkeypatch.setattr(target.store, "write", write)
    with pytest.raises(ss.StorageFull):
        copy_rows(source.store, target.store)
    first = calls[0]
    calls.clear()
    calls.append(0)
    calls.append(0)
    report = copy_rows(source.store, target.store)
    assert report.copied == 8_998 - first
    assert sum(calls) == report.copied
    assert list(differences(source.store, target.store)) == []
    source.close()
    target.close()


_WORKER = """
import sys, time
from samespace.keeping.copy import copy_collection
copy_collection(sys.argv[1], sys.argv[2], progress=lambda what, rows: (print(what, rows, flush=True), time.sleep(0.3)))
"""


def test_killed_twice_on_the_way(tmp_path):
    filled(tmp_path / "a.ss", 30_000)
    command = [sys.executable, "-c", _WORKER, str(tmp_path / "a.ss"), str(tmp_path / "b.ss")]
    for wanted in (2, 3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(wanted):
                assert process.stdout.readline().startswith("copying")
            time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
    report = copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")
    assert 0 < report.copied < 29_998
    assert everything(tmp_path / "a.ss")[0] == everything(tmp_path / "b.ss")[0]


@pytest.mark.parametrize("harm", ["content", "vector", "missing", "added", "metadata"])
def test_what_was_changed_on_the_way_is_named(tmp_path, harm):
    filled(tmp_path / "a.ss", 400)
    source, target = stand(tmp_path / "a.ss"), stand(tmp_path / "b.ss", space_of(16))
    copy_rows(source.store, target.store)
    row = target.store.get(["77"])
    if harm == "content":
        row.contents[0] = "another"
    elif harm == "vector":
        row = replace(row, vectors=np.roll(row.vectors, 1))
    elif harm == "metadata":
        row.metadata[0] = '{"n": 77.5}'
    if harm == "missing":
        target.store.delete(["77"])
    else:
        target.store.write(replace(row, ids=["new"]) if harm == "added" else row)
    what = harm if harm in ("missing", "added") else "changed"
    with pytest.raises(ss.StorageError, match=f"'{'new' if harm == 'added' else '77'}' {what}"):
        copy_rows(source.store, target.store)
    source.close()
    target.close()


def test_refusals(tmp_path):
    filled(tmp_path / "a.ss", 100)
    filled(tmp_path / "full.ss", 10)
    with pytest.raises(ss.InvalidInput, match="has 9 rows already"):
        copy_collection(tmp_path / "a.ss", tmp_path / "full.ss")
    stand(tmp_path / "other.ss", space_of(16, "dot")).close()
    with pytest.raises(ss.SpaceMismatch, match="metric"):
        copy_collection(tmp_path / "a.ss", tmp_path / "other.ss")
    with pytest.raises(ss.NotFound):
        copy_collection(tmp_path / "none.ss", tmp_path / "b.ss")
    assert not (tmp_path / "b.ss").exists()


def test_an_unfinished_copy_of_another_source(tmp_path):
    filled(tmp_path / "a.ss", 100)
    filled(tmp_path / "z.ss", 100)
    target = stand(tmp_path / "b.ss", space_of(16))
    target.store.keep_note("copy", json.dumps({"source": "elsewhere", "rows": 3}).encode())
    target.close()
    with pytest.raises(ss.InvalidInput, match="unfinished copy of elsewhere"):
        copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")
