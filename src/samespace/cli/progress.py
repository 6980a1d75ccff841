"""A bar for people at a terminal, a line now and then for logs, nothing for programs."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from samespace.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Meter", "progress", "stages"]

_SECONDS_BETWEEN_LINES = 10.0


class Meter(ABC):
    """Counts what is done, and shows it."""

    def __init__(self, total: int | None) -> None:
        self.done = 0
        self.total = total

    def advance(self, items: int) -> None:
        """Count ``items`` more."""
        self.done += items
        self._show()

    def expect(self, total: int) -> None:
        """Set how many there are in all, from any thread."""
        self.total = total

    @abstractmethod
    def _show(self) -> None:
        """Show where it stands."""


@contextmanager
def progress(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Meter]:
    """Show on stderr how far a long work is.

    Args:
        label: what is being done, such as ``"indexing"``.
        total: items in all, if that is known by now.
        quiet: count, and show nothing.
    """
    if quiet:
        yield _Silent(total)
    elif sys.stderr.isatty():
        with _bar(label, total) as meter:
            yield meter
    else:
        yield _Lines(label, total)


class _Silent(Meter):
    def _show(self) -> None:
        pass


class _Lines(Meter):
    def __init__(self, label: str, total: int | None) -> None:
        super().__init__(total)
        self._label = label
        self._begun = self._last = time.monotonic()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        of = "" if self.total is None else f" of {self.total:,}"
        rate = self.done / (now - self._begun)
        click.echo(f"{self._label}: {self.done:,}{of}" + (f", {rate:,.0f}/s" if rate >= 1 else ""), err=True)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Meter]:
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.text import Text

    class Done(ProgressColumn):
        def render(self, task: Task) -> Text:
            of = "" if task.total is None else f" of {task.total:,.0f}"
            return Text(f"{task.completed:,.0f}{of}")

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            if not task.speed:
                return Text("")
            left = "" if task.time_remaining is None else f"  {_duration(task.time_remaining)} left"
            return Text.assemble((f"{task.speed:,.0f}/s", "cyan"), left)

    class Bar(Meter):
        def expect(self, total: int) -> None:
            super().expect(total)
            bar.update(task, total=total)

        def _show(self) -> None:
            bar.update(task, completed=self.done)

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), Done(), Pace())
    # Speed over the last minute: items come in batches, and each would make a shorter estimate jump.
    with Progress(*columns, console=console(err=True), transient=True, speed_estimate_period=60) as bar:
        task = bar.add_task(label, total=total)
        yield Bar(total)


@contextmanager
def stages(label: str, *, quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """Show on stderr which part of a work of several stages is done.

    Args:
        label: the whole, such as ``"tuning"``.
        quiet: show nothing.

    Yields:
        a function of the stage's name and the part of the whole that is done, from 0 to 1.
    """
    if quiet:
        yield lambda _stage, _part: None
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
        )  # fmt: skip
        with Progress(*columns, console=console(err=True), transient=True) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda stage, part: bar.update(task, description=f"{label}: {stage}", completed=part)
    else:
        last = ("", time.monotonic())

        def show(stage: str, part: float) -> None:
            nonlocal last
            now = time.monotonic()
            if stage != last[0] or now - last[1] >= _SECONDS_BETWEEN_LINES:
                last = (stage, now)
                click.echo(f"{label}: {stage}, {part:.0%}", err=True)

        yield show


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
