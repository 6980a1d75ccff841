"""A bar for people at a terminal, a line now and then for logs, nothing for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from samespace.cli.output import console

__all__ = ["Advance", "progress"]

Advance = Callable[[int], None]
"""Called with the number of items just finished."""

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(label: str, total: int | None, *, quiet: bool = False) -> Iterator[Advance]:
    """Show on stderr how far a long work is.

    Args:
        label: what is being done, such as ``"indexing"``.
        total: items in all; None shows no time left.
        quiet: show nothing.
    """
    if quiet:
        yield lambda _items: None
    elif sys.stderr.isatty():
        with _bar(label, total) as advance:
            yield advance
    else:
        yield _lines(label, total)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "", "cyan")

    class Done(ProgressColumn):
        def render(self, task: Task) -> Text:
            of = "" if task.total is None else f" of {task.total:,.0f}"
            return Text(f"{task.completed:,.0f}{of}")

    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), Done(), Rate()]
    if total is not None:
        columns.append(TimeLeft(compact=True))
    # Speed over the last minute: passages come in batches, and each would make a shorter estimate jump.
    with Progress(*columns, console=console(err=True), transient=True, speed_estimate_period=60) as bar:
        task = bar.add_task(label, total=total)
        yield lambda items: bar.advance(task, items)


def _lines(label: str, total: int | None) -> Advance:
    begun = last = time.monotonic()
    done = 0

    def advance(items: int) -> None:
        nonlocal done, last
        done += items
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            of = "" if total is None else f" of {total:,}"
            rate = done / (now - begun)
            click.echo(f"{label}: {done:,}{of}" + (f", {rate:,.0f}/s" if rate >= 1 else ""), err=True)
            last = now

    return advance
