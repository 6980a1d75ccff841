import dataclasses

from samespace.collection import Collection
from samespace.opening import open as open_collection
from samespace.recall.estimate import Estimate
from samespace.recall.tune import Curve, Point, Tuning


def test_info_for_people(run, notes):
    done = run("info", "notes.ss")
    assert done.code == 0
    lines = {line.split("  ")[0].strip(): line for line in done.out.splitlines()}
    assert lines["rows"].split() == ["rows", "3"]
    assert "samespace/characters" in lines["model"]
    assert "32 dimensions, cosine" in lines["space"]
    assert "kB" in lines["on disk"]
    assert "query: '? '" in lines["prompts"]


def test_info_for_programs(run, notes):
    info = run("info", "notes.ss", "--json").json
    assert info["count"] == 3
    assert info["path"] == "notes.ss"
    assert info["encoder"] == "characters"
    assert info["space"]["model"] == "samespace/characters"
    assert len(info["space"]["id"]) == 32


def test_info_shows_what_is_truncated_and_what_is_dead(run, notes):
    with open_collection("notes.ss") as rows:
        rows.delete(["a"])
    assert "1 dead slot ('samespace compact' gives them back)" in " ".join(run("info", "notes.ss").out.split())


def test_compact(run, notes):
    with open_collection("notes.ss") as rows:
        rows.delete(["a"])
    done = run("compact", "notes.ss")
    assert done.code == 0
    assert done.out.startswith("notes.ss: ")
    assert run("info", "notes.ss", "--json").json["deleted"] == 0
    assert set(run("compact", "notes.ss", "--json").json) == {"before", "after"}


def test_info_shows_what_recall_was_declared_and_measured(run, notes, monkeypatch):
    estimate = Estimate(0.995, 0.99, 0.998, 1_000)
    points = tuple(Point(effort, 10, estimate, 1e-4) for effort in (16, 32))
    tuning = Tuning(
        0.99, "graph", 32, (Curve("graph", 3, 1.0, 5, points),), {"own": 1_000}, 7, "2026-01-01T00:00:00+00:00"
    )
    assert "0.99 declared" in run("info", "notes.ss").out
    assert "not yet; 'samespace tune' does it" in run("info", "notes.ss").out
    real = Collection.info
    more = {"tuning": tuning, "running_recall": Estimate(0.98, 0.97, 0.99, 412), "alarms": 1, "building": True}
    monkeypatch.setattr(Collection, "info", lambda self: dataclasses.replace(real(self), **more))
    shown = " ".join(run("info", "notes.ss").out.split())
    assert "2026-01-01T00:00:00+00:00: graph at effort 32, chosen for 0.99, finds 0.9950 (0.9900–0.9980)" in shown
    assert "16: 0.9950, 32: 0.9950" in shown
    assert "0.9800 (0.9700–0.9900) of the last 412 checked searches; 1 alarm" in shown
    assert "an index, in the background" in shown
    info = run("info", "notes.ss", "--json").json
    assert Tuning.from_dict(info["tuning"]) == tuning
    assert info["running_recall"]["queries"] == 412
    assert info["declared_recall"] == 0.99
