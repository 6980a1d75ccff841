from __future__ import annotations

import importlib.util
import io
import json
import sys

import pytest
from rich.console import Console

import samespace.cli.progress
from samespace.cli.curves import chart
from samespace.cli.progress import stages
from samespace.cli.tune import said
from samespace.collection import Collection
from samespace.recall.estimate import Estimate
from samespace.recall.tune import Curve, Point, Tuning


def curve(engine, *points, build=1.5):
    return Curve(
        engine,
        1_000,
        build,
        3 << 20,
        tuple(
            Point(effort, k, Estimate(recall, recall - 0.001, min(1.0, recall + 0.001), 1_000), 1 / pace)
            for k in (10, 100)
            for effort, recall, pace in points
        ),
    )


CURVES = (
    curve("scan", (0, 0.9998, 900)),
    curve("graph", (16, 0.9, 27_000), (32, 0.95, 15_000), (64, 0.98, 8_500), (128, 0.995, 5_000), (256, 0.999, 2_000)),
    curve("hnsw", (16, 0.85, 6_000), (32, 0.93, 4_000), (64, 0.97, 2_000), build=200.0),
)
TUNING = Tuning(0.99, "graph", 128, CURVES, {"own": 2_000, "past": 120}, 7, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def asked(monkeypatch):
    """What ``Collection.tune`` is asked for; it answers with TUNING."""
    calls = []

    def tune(self, recall=None, engines=None, progress=None):
        calls.append((recall, engines))
        for stage, part in (
            ("answering exactly", 0.0),
            ("building graph", 0.2),
            ("building graph", 0.4),
            ("done", 1.0),
        ):
            progress(stage, part)
        return TUNING

    monkeypatch.setattr(Collection, "tune", tune)
    return calls


def test_what_people_read(run, notes, asked):
    done = run("tune", "notes.ss")
    assert done.code == 0
    assert done.out.startswith(
        "notes.ss: graph at effort 128 finds 0.9950 (0.9940–0.9960) of the 10 nearest, 5,000 queries/s; "
        "recall 0.99 is declared.\n"
    )
    assert "note: measured with 2,000 queries made of its own rows and 120 queries of the past\n" in done.err
    assert asked == [(None, None)]


def test_the_table_has_the_settings_near_the_declared_recall(run, notes, asked):
    rows = [line.split() for line in run("tune", "notes.ss").out.splitlines() if line.endswith("MiB ")]
    assert [row[:2] for row in rows] == [
        ["✓", "scan"],
        ["graph", "64"],
        ["→", "graph"],
        ["✓", "graph"],
        ["hnsw", "32"],
        ["hnsw", "64"],
    ]
    assert rows[2] == ["→", "graph", "128", "0.9950", "(0.9940–0.9960)", "5,000", "1.5", "s", "3.0", "MiB"]


def test_options_are_handed_on(run, notes, asked):
    run("tune", "notes.ss", "--recall", ".95", "--engines", "graph, hnsw", "--json")
    run("tune", "notes.ss", "--engines", "all", "--json")
    assert asked[0] == (0.95, ["graph", "hnsw"])
    assert asked[1][0] is None
    assert {"exact", "scan"} <= set(asked[1][1])


def test_json_is_the_tuning(run, notes, asked):
    done = run("tune", "notes.ss", "--json")
    assert (done.code, done.err) == (0, "")
    assert Tuning.from_dict(done.json) == TUNING


def test_where_no_engine_reaches_it(run, notes, monkeypatch):
    none = Tuning(0.9999, "exact", None, CURVES[2:], {"own": 1_000}, 7, "2026-01-01T00:00:00+00:00")
    monkeypatch.setattr(Collection, "tune", lambda *_arguments, **_more: none)
    done = run("tune", "notes.ss")
    assert done.code == 0
    assert done.out.startswith("notes.ss: exact; recall 0.9999 is declared.\n")
    assert "so every search compares with every vector" in done.err


def test_an_engine_without_a_setting():
    scan = Tuning(0.99, "scan", None, CURVES[:1], {}, 7, "2026-01-01T00:00:00+00:00")
    assert said(scan) == (
        "scan finds 0.9998 (0.9988–1.0000) of the 10 nearest, 900 queries/s; recall 0.99 is declared."
    )


def test_ctrl_c(run, notes, monkeypatch):
    def tune(self, recall=None, engines=None, progress=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Collection, "tune", tune)
    done = run("tune", "notes.ss")
    assert (done.code, done.err) == (130, "Interrupted. notes.ss is searched as before.\n")


# The chart


def drawn(tuning, width=80, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding)
    return chart(tuning, Console(file=file, width=width)).plain


@pytest.mark.parametrize("width", [20, 80, 300])
def test_the_chart_shows_every_engine_and_the_choice(width):
    lines = drawn(TUNING, width).splitlines()
    assert "● scan" in lines[0]
    assert "▲ graph (chosen)" in lines[0]
    assert sum(line.count("▲") for line in lines[1:]) >= 3
    assert sum(line.count("┊") for line in lines[1:-1]) >= 10
    assert "0.9999+" in lines[-2]
    assert lines[-1].endswith("recall@10, ┊ declared: 0.99")
    assert max(map(len, lines[1:])) <= max(width, 40)


def test_higher_is_faster_and_right_is_better():
    lines = drawn(TUNING).splitlines()[1:]
    places = [(row, line.index("▲")) for row, line in enumerate(lines) if "▲" in line]
    assert places == sorted(places)
    assert [at for _, at in places] == sorted(at for _, at in places)
    assert any("10,000 │" in line for line in lines)


@pytest.mark.parametrize("recall", [0.0, 0.3, 1.0])
def test_a_chart_of_one_point(recall):
    one = Tuning(0.9, "scan", None, (curve("scan", (0, recall, 0.5)),), {}, 7, "2026-01-01T00:00:00+00:00")
    assert "●" in "".join(drawn(one).splitlines()[1:])


def test_no_chart_where_its_signs_cannot_be_written():
    assert drawn(TUNING, encoding="ascii") == ""


# The picture


@pytest.mark.parametrize(("name", "begins"), [("c.png", b"\x89PNG"), ("c.SVG", b"<?xml"), ("c.pdf", b"%PDF")])
def test_the_picture(run, notes, asked, tmp_path, name, begins):
    pytest.importorskip("matplotlib")
    done = run("tune", "notes.ss", "--plot", name)
    assert done.code == 0, done.err
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert f"note: the curves are drawn in {name}\n" in done.err


def test_a_picture_needs_its_extra_and_says_so_before_the_work(run, notes, asked, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else real(name, *more)
    )
    done = run("tune", "notes.ss", "--plot", "c.png")
    assert done.code == 6
    assert "pip install 'samespace[plot]'" in done.err
    assert asked == []


def test_with_json_the_picture_is_a_note_in_json(run, notes, asked):
    pytest.importorskip("matplotlib")
    done = run("tune", "notes.ss", "--plot", "c.png", "--json")
    assert json.loads(done.err) == {"note": "the curves are drawn in c.png"}
    assert done.json["engine"] == "graph"


# Progress


def test_stages_for_logs(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 2.0, 13.0, 14.0])
    monkeypatch.setattr(samespace.cli.progress.time, "monotonic", lambda: next(clock))
    with stages("tuning") as show:
        show("building graph", 0.1)
        show("building graph", 0.2)
        show("building graph", 0.3)
        show("measuring graph", 0.5)
    assert capsys.readouterr().err.splitlines() == [
        "tuning: building graph, 10%",
        "tuning: building graph, 30%",
        "tuning: measuring graph, 50%",
    ]


def test_stages_for_people(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with stages("tuning") as show:
        show("building graph", 0.5)
    assert "tuning: building graph" in sys.stderr.getvalue()


def test_quiet_stages(capsys):
    with stages("tuning", quiet=True) as show:
        show("building graph", 0.5)
    assert capsys.readouterr().err == ""
