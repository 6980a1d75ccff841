"""The generated parts of the command line's reference. Run this file to renew them; a test compares them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_PART = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_of(*command: str) -> str:
    """The --help of a command as a block of Markdown; of the group if it is ``samespace``."""
    from samespace.cli import main

    words = [word for word in command if word != "samespace"]
    out = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(out):
            assert main([*words, "--help"]) == 0
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return f"```text\n$ samespace {' '.join([*words, '--help'])}\n{out.getvalue()}```\n"


def exit_codes() -> str:
    """The exit codes as a table of Markdown."""
    from samespace.cli.exits import MEANINGS

    rows = "".join(f"| {code} | {meaning.replace('|', chr(92) + '|')} |\n" for code, meaning in MEANINGS.items())
    return f"| code | meaning |\n|---|---|\n{rows}"


def bad_inputs() -> str:
    """What each bad input gets, run for real in a folder of its own, as a table of Markdown."""
    from bad_input import CASES, answer, prepare

    rows = ["| command | it says | exit code |", "|---|---|---|"]
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            prepare()
            for case in CASES:
                code, message = answer(case)
                cells = (f"`samespace {case.shown}`", f"`{message}`", str(code))
                rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        finally:
            os.chdir(here)
    return "\n".join(rows) + "\n"


def renewed(text: str) -> str:
    """``text`` with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        name, *argument = shlex.split(match["name"])
        made = {"help": help_of, "exit-codes": exit_codes, "bad-inputs": bad_inputs}[name](*argument)
        return f"{match[1]}{made}{match[3]}"

    return _PART.sub(part, text)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    for page in ("command-line.md", "bad-input-commands.md"):
        path = REFERENCE / page
        path.write_text(renewed(path.read_text()))
