"""The command line. One file for a command or a pair; they import what is heavy only when they run."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from samespace.cli.exits import Interrupted, report

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# The order is that of a collection's life. Values are the modules that hold the commands.
_COMMANDS = {
    "demo": "demo",
    "index": "index",
    "search": "search",
    "get": "rows",
    "delete": "rows",
    "info": "info",
    "tune": "tune",
    "compact": "info",
    "export": "exchange",
    "import": "exchange",
    "copy": "copy",
    "verify": "copy",
    "embed": "embed",
    "encoders": "encoders",
    "layers": "layers",
    "train": "train",
    "words": "words",
    "analogy": "words",
    "similar": "words",
    "odd-one-out": "words",
    "cache": "cache",
}


class _Group(click.Group):
    """Loads the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"samespace.cli.{_COMMANDS[cmd_name]}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)  # noqa: S101  the table above is ours, not a user's
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, _COMMANDS, 1)
            hint = f" Did you mean '{close[0]}'?" if close else f" The commands are {', '.join(_COMMANDS)}."
            raise click.UsageError(f"There is no command '{name}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        # click would answer Ctrl-C and a closed pipe itself, and differently from the table of exit codes.
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()  # here, so that a full disk behind stdout is an error like any other
        except KeyboardInterrupt:
            raise Interrupted("Interrupted.") from None
        except BrokenPipeError as error:
            return report(error, ())
        return code


def _version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"samespace {version('samespace')}")
        ctx.exit()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try 'samespace demo' first. Every command has its own --help.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def _commands() -> None:
    """Search text by meaning, in collections that live on your disk."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see ``samespace.cli.exits``)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A passage may hold what a terminal's encoding lacks; that must not end a command half way.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _commands.main(given or ["--help"], prog_name="samespace", standalone_mode=False) or 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last stop: everything becomes a sentence
        return report(error, given)
