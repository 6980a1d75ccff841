import io
import itertools
import sys
import threading

import pytest

import samespace.cli.progress
from samespace.cli.progress import _duration, progress
from samespace.cli.readahead import ReadAhead


def test_read_ahead_keeps_the_order_and_knows_the_total_at_the_end():
    totals = []
    stream = ReadAhead(range(1000), 10, totals.append)
    assert list(stream) == list(range(1000))
    assert totals == [1000]
    stream.close()


def test_read_ahead_is_bounded():
    seen = []
    stream = ReadAhead((seen.append(n) or n for n in itertools.count()), 5, pytest.fail)
    items = iter(stream)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    stream.close()
    assert len(seen) <= 3 + 5 + 1
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_an_error_comes_out_where_it_happened():
    def items():
        yield 1
        raise KeyError("two")

    stream = iter(ReadAhead(items(), 5, pytest.fail))
    assert next(stream) == 1
    with pytest.raises(KeyError, match="two"):
        next(stream)


def test_lines_for_logs(monkeypatch, capsys):
    clock = itertools.count(0, 6)
    monkeypatch.setattr(samespace.cli.progress.time, "monotonic", lambda: float(next(clock)))
    with progress("indexing") as meter:
        meter.advance(60)
        meter.expect(500)
        meter.advance(60)
    assert capsys.readouterr().err == "indexing: 120 of 500, 10/s\n"


def test_a_bar_for_people(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("indexing") as meter:
        meter.advance(10)
        meter.expect(1_000)
        meter.advance(10)
        meter.advance(10)
    shown = sys.stderr.getvalue()
    assert "indexing" in shown
    assert "of 1,000" in shown


def test_quiet_counts_and_shows_nothing(capsys):
    with progress("indexing", quiet=True) as meter:
        meter.advance(3)
    assert meter.done == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (7_260, "2 h 01 min")]
)
def test_durations(seconds, text):
    assert _duration(seconds) == text
