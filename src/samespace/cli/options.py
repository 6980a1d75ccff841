"""Arguments and options that several commands share."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samespace.errors import InvalidFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Command", "as_json", "collection", "encoder", "max_cost", "plot", "recall", "threads", "where"]

_EXAMPLE = """'{"year": {"$gte": 2024}}'"""


class Command(click.Command):
    """A command that shows examples below its options."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self._examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples as they are: a shell line must not be wrapped."""
        if self._examples:
            with formatter.section("Examples"):
                for example in self._examples:
                    formatter.write(f"{' ' * formatter.current_indent}{example}\n")


def _filter(_ctx: click.Context, _option: click.Parameter, text: str | None) -> Mapping[str, Any] | None:
    """Read a filter from JSON text, and check it before anything is opened."""
    if text is None:
        return None
    from samespace.where import parse

    try:
        where = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidFilter(
            f"--where must be JSON, such as {_EXAMPLE}; got {text!r} ({error.msg} at column {error.colno})."
        ) from None
    if not isinstance(where, dict):
        raise InvalidFilter(f"--where must be a JSON object, such as {_EXAMPLE}; got {text!r}.")
    parse(where)
    return where


collection = click.argument("collection", metavar="COLLECTION")

where = click.option(
    "--where",
    callback=_filter,
    metavar="JSON",
    help=f"Only rows whose metadata fit this filter: {_EXAMPLE}.",
)

_PICTURES = (".png", ".svg", ".pdf")


def _picture(_ctx: click.Context, _option: click.Parameter, plot: str | None) -> Path | None:
    """Check where a picture shall go: what is wrong with it is told before the work, not after."""
    if plot is None:
        return None
    path = Path(plot)
    if path.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"--plot must name a {', '.join(_PICTURES[:-1])} or {_PICTURES[-1]} file, got {plot}.")
    if not path.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    from samespace.cli.curves import require_matplotlib

    require_matplotlib()
    return path


def plot(help: str) -> Callable[[Any], Any]:  # noqa: A002 - as click calls it
    """Make the option that names a file for a picture."""
    return click.option("--plot", callback=_picture, metavar="FILE", help=help)


as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")

encoder = click.option(
    "--encoder",
    metavar="NAME",
    help="The encoder of a new collection: one that 'samespace encoders' lists, a folder, hf:owner/model, or a "
    "provider's such as openai:text-embedding-3-small; minilm if left out.",
)

max_cost = click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Of a paid encoder: stop before more than this is spent, in the currency of its prices.",
)

threads = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads that encode; all cores if left out."
)


def recall(help: str) -> Callable[[Any], Any]:  # noqa: A002 - as click calls it
    """Make the option that names a recall."""
    share = click.FloatRange(min=0.0, max=1.0, min_open=True)
    return click.option("--recall", type=share, metavar="X", help=help)
