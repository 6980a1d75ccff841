"""How a command ends: one table from what happened to the exit code, and the sentence that is printed."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING

import click

from samespace.errors import EncoderError, MissingExtra, NotFound, SamespaceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BROKEN_PIPE",
    "BUG",
    "EXIT_CODES",
    "INCOMPLETE",
    "INTERRUPTED",
    "MEANINGS",
    "Interrupted",
    "report",
]

# What a message of click's, or a trace, may repeat of the command line.
_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]+:/{1,2}[^\s:/@]*):\S*@", re.IGNORECASE)

INCOMPLETE = 1
INTERRUPTED = 130
BROKEN_PIPE = 141
BUG = 70


class Interrupted(Exception):
    """Ctrl-C, with a sentence on what was kept and how to go on."""


# The first row whose class fits wins, so a class stands above its bases.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (click.UsageError, 2),
    (click.Abort, INTERRUPTED),
    (Interrupted, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
    (BrokenPipeError, BROKEN_PIPE),
    (MissingExtra, 6),
    (NotFound, 4),
    (StorageError, 5),
    (EncoderError, 7),
    (SamespaceError, 3),
    (OSError, 5),
    (MemoryError, 5),
    (Exception, BUG),
)

MEANINGS: dict[int, str] = {
    0: "Done.",
    INCOMPLETE: "Done, with less than was asked for: nothing found, an id that is not there, a file that "
    "could not be read, or a question answered with no.",
    2: "The command line itself is wrong: an unknown option, a missing argument, a number out of range.",
    3: "Something given cannot be used: a filter, a query, a row of a file, another space.",
    4: "A collection, a file, an encoder or an engine of that name does not exist.",
    5: "The disk, a file on it, another writer or the memory stood in the way.",
    6: "An optional package is not installed; the message has the command that installs it.",
    7: "An encoder failed: a provider that refused or was gone, a cost above the cap, a model that is not what it "
    "says. What was done before is kept.",
    BUG: "A mistake of samespace; please report it with what SAMESPACE_DEBUG=1 shows.",
    INTERRUPTED: "Interrupted by Ctrl-C. Finished batches are kept.",
    BROKEN_PIPE: "Whoever read the output stopped reading (`| head`).",
}


def exit_code(error: BaseException) -> int:
    """Look up the code of ``error`` in :data:`EXIT_CODES`."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Say on stderr what went wrong, in one sentence, and return the exit code.

    With ``--json`` among the arguments the sentence is one JSON object on one line.
    """
    code = exit_code(error)
    if code == BROKEN_PIPE:
        # Python flushes stdout once more at the end, and would complain about the pipe there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    if os.environ.get("SAMESPACE_DEBUG") == "1":
        click.echo(_without_passwords("".join(traceback.format_exception(error))), err=True, nl=False)
    name, message = type(error).__name__, _without_passwords(_message(error))
    if "--json" in arguments:
        click.echo(json.dumps({"error": name, "message": message, "exit_code": code}), err=True)
    elif code == INTERRUPTED:
        # A terminal has just written ^C on this line.
        click.echo(f"\n{message}" if sys.stderr.isatty() else message, err=True)
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True, color=_colour())
    return code


def _without_passwords(text: str) -> str:
    return _PASSWORD.sub(r"\1@", text)


def _message(error: BaseException) -> str:
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "samespace"
            return f"{error.format_message()} See '{command} --help'."
        case SamespaceError() | Interrupted():
            return str(error)
        case click.Abort() | KeyboardInterrupt():
            return "Interrupted."
        case MemoryError():
            return "Out of memory."
        case OSError():
            path = f"{error.filename}: " if error.filename else ""
            return f"{path}{error.strerror or error}."
    return (
        f"samespace made a mistake: {type(error).__name__}: {error}. "
        "Set SAMESPACE_DEBUG=1 to see where, and please report it."
    )


def _colour() -> bool | None:
    # click decides by the terminal, but does not know NO_COLOR.
    return False if os.environ.get("NO_COLOR") else None
