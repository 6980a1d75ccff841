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
    whole, calls = target.store.write_sealed, []

    def write(block):
        calls.append(len(block))
        if len(calls) == 2:
            raise ss.StorageFull("no room")
        return whole(block)

    monkeypatch.setattr(target.store, "write_sealed", write)
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
def test_a_whole_copy_is_verified_and_never_overwritten(tmp_path, harm):
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
    if harm == "content":
        assert target.store.get(["77"]).contents == ["another"]
    source.close()
    target.close()


def begun(tmp_path, n=12_000):
    """An unfinished copy of a.ss in b.ss."""
    filled(tmp_path / "a.ss", n)
    source, target = stand(tmp_path / "a.ss"), stand(tmp_path / "b.ss", space_of(16))
    seen = []

    def stop(what, rows):
        seen.append(rows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_rows(source.store, target.store, progress=stop)
    assert 0 < target.store.count() < n / 2
    return source, target


def test_what_the_source_changed_between_two_runs_is_copied_again(tmp_path):
    source, target = begun(tmp_path)
    changed = source.store.get(["5"])
    changed.contents[0] = "changed since"
    source.store.write(changed)
    source.store.write(block_of(10, space_of(16), first=50_000))
    report = copy_rows(source.store, target.store)
    assert list(differences(source.store, target.store)) == []
    assert target.store.get(["5"]).contents == ["changed since"]
    assert report.rows == source.store.count()
    source.close()
    target.close()


def test_a_source_that_was_compacted_between_two_runs(tmp_path):
    source, target = begun(tmp_path)
    source.store.delete(["6000"])
    source.store.compact()
    report = copy_rows(source.store, target.store)
    assert report.rows == target.store.count() == source.store.count()
    assert list(differences(source.store, target.store)) == []
    source.close()
    target.close()


def test_a_source_that_lost_rows_between_two_runs_is_told(tmp_path):
    source, target = begun(tmp_path)
    source.store.delete(["5"])
    with pytest.raises(ss.StorageError, match="'5' added"):
        copy_rows(source.store, target.store)
    target.store.delete(["5"])
    assert copy_rows(source.store, target.store).rows == source.store.count()
    source.close()
    target.close()


def test_another_source_of_the_same_name_is_no_success(tmp_path, monkeypatch):
    for name, seed in (("p1", 1), ("p2", 2)):
        rows = stand(tmp_path / name / "n.ss", space_of(16))
        rows.store.write(block_of(300, space_of(16), seed=seed))
        rows.close()
    for name, error in (("p1", None), ("p2", ss.InvalidInput)):
        monkeypatch.chdir(tmp_path / name)
        if error is None:
            copy_collection("n.ss", tmp_path / "t.ss")
            assert copy_collection(tmp_path / "p1" / "n.ss", tmp_path / "t.ss").copied == 0
        else:
            with pytest.raises(error, match="has 300 rows already"):
                copy_collection("n.ss", tmp_path / "t.ss")


def test_the_first_error_is_told(tmp_path, monkeypatch):
    filled(tmp_path / "a.ss", 9_000)
    source, target = stand(tmp_path / "a.ss"), stand(tmp_path / "b.ss", space_of(16))

    def stop(what, rows):
        target.close()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_rows(source.store, target.store, progress=stop)
    source.close()


def test_a_damaged_state(tmp_path):
    filled(tmp_path / "a.ss", 100)
    for value in (b"{", b'{"source": "x", "later": 1}'):
        target = stand(tmp_path / "b.ss", space_of(16))
        target.store.keep_note("copy", value)
        target.close()
        with pytest.raises(ss.CollectionCorrupt, match="keeps as 'copy' cannot be read"):
            copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")


def test_a_folder_of_half_precision_is_refused(tmp_path):
    filled(tmp_path / "a.ss", 100)
    ss.open(tmp_path / "b.ss", space=space_of(16), memory="half").close()
    with pytest.raises(ss.InvalidInput, match="holds its vectors as float16"):
        copy_collection(tmp_path / "a.ss", tmp_path / "b.ss")


def test_searches_that_do_not_agree_are_told(tmp_path, monkeypatch):
    filled(tmp_path / "a.ss", 300)
    source, target = stand(tmp_path / "a.ss"), stand(tmp_path / "b.ss", space_of(16))
    real = target.store.nearest

    def nearest(*arguments, **options):
        return [[hit._replace(id="wrong", score=2.0) for hit in hits] for hits in real(*arguments, **options)]

    monkeypatch.setattr(target.store, "nearest", nearest)
    with pytest.raises(ss.StorageError, match=r"do not agree: 0\.000"):
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
