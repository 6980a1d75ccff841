"""Every example of the documentation, run."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest

from docs.pages import ROOT, Block, agrees, blocks, commands, pages
from samespace import errors


def runnable(page):
    return [block for block in blocks(page) if block.language in ("python", "console") and block.marker != "not run"]


PAGES = [page for page in pages() if runnable(page)]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_example_does_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PATH", os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    shutil.copy(ROOT / "README.md", tmp_path)  # which its own example indexes
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(page):
        if block.language == "python":
            run_python(block, page, namespace)
        else:
            run_console(block, page)


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> None:
    place = f"{page.name}:{block.line}"
    # Blank lines before the code make a traceback show the page's own line.
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    said = block.output
    expected = said.split(":")[0].strip() if said else ""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", errors.TruncationWarning)
        if expected in errors.__all__:
            with pytest.raises(getattr(errors, expected)) as caught:
                exec(code, namespace)
            came = f"{type(caught.value).__name__}: {caught.value}"
        else:
            exec(code, namespace)
            came = out.getvalue()
    if said is not None:
        assert agrees(said, came), f"{place} says\n{said}\nand it is\n{came}"


def run_console(block: Block, page: Path) -> None:
    code = int(block.marker.removeprefix("exit ")) if block.marker.startswith("exit ") else 0
    for command in commands(block):
        done = subprocess.run(
            command.line,
            shell=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        came = done.stdout + done.stderr
        assert done.returncode == code, f"{page.name}:{block.line}: {command.line}\n{came}"
        assert agrees(command.output, came) or not command.output.strip(), (
            f"{page.name}:{block.line} says that `{command.line}` prints\n{command.output}\nand it is\n{came}"
        )


def test_the_command_of_this_environment_is_run():
    assert Path(sysconfig.get_path("scripts")).is_relative_to(sys.prefix)


@pytest.mark.parametrize(
    ("said", "came", "same"),
    [
        ("a  b\n", "a b", True),
        ("a ... d", "a b c d", True),
        ("a b ...", "a b", True),
        ("a b", "a b c", False),
        ("0.31 prices", "0.32 prices", True),
        ("0.31 prices", "0.45 prices", False),
        ("-0.01 house", "0.01 house", True),
        ("12 rows", "13 rows", False),
        ("['a', ...]", "['a', 'b']", True),
    ],
)
def test_what_counts_as_the_same_output(said, came, same):
    assert agrees(said, came) is same


def test_a_page_that_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    (block,) = (block for block in blocks(page) if block.language == "python")
    with pytest.raises(AssertionError, match=r"page\.md:2 says"):
        run_python(block, page, {})
