"""Pages of Markdown as what a test can run: code blocks in order, with the output that the page claims.

What a page means:

- A ```python block is run; all blocks of a page share one namespace and one folder.
- A ```text block right after a ```python block is what it prints, or, if it begins with the name of an error
  of samespace, the error that it raises. ``...`` stands for anything, and a score may
  differ a little.
- Of a ```console block, the lines that begin with ``$ samespace`` are run in a shell and must end well; what
  stands below a command is its output. Other commands (``$ make demo``) are for the reader.
- ``<!-- not run -->`` before a block leaves it out; ``<!-- exit 1 -->`` expects that exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "Block", "Command", "agrees", "blocks", "commands", "pages", "without_code"]

ROOT = Path(__file__).parents[2]

_TOLERANCE = 0.02

_BLOCK = re.compile(
    r"^(?:<!-- (?P<marker>not run|exit \d+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```\n?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        marker: of the comment before it; empty if there is none.
        line: of the page, at which the text begins.
        output: the text block that follows it directly, if there is one.
    """

    language: str
    text: str
    marker: str
    line: int
    output: str | None


@dataclass(frozen=True)
class Command:
    """A command line, and what the page says it prints."""

    line: str
    output: str


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    for match, after in pairwise([*found, None]):
        assert match is not None
        follows = after is not None and after["language"] == "text" and not text[match.end() : after.start()].strip()
        yield Block(
            match["language"],
            match["text"],
            match["marker"] or "",
            text.count("\n", 0, match.start("text")) + 1,
            after["text"] if follows and after is not None else None,
        )


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
        command = "\n".join(lines[: end + 1])
        if command.startswith("samespace "):
            yield Command(command, "\n".join(lines[end + 1 :]))


def agrees(said: str, came: str) -> bool:
    """Tell whether an output is what a page says.

    Spaces do not count, ``...`` stands for anything, and a score may differ by what another processor rounds.
    """
    parts = re.split(r"(\.\.\.|-?\b\d\.\d+\b)", " ".join(said.split()))
    numbers = [float(part) for part in parts[1::2] if part != "..."]
    wildcards = [".*?" if part == "..." else r"(-?\d\.\d+)" for part in parts[1::2]] + [""]
    texts = [rf"\s*{re.escape(part.strip())}\s*" if part.strip() else r"\s*" for part in parts[::2]]
    pattern = "".join(text + wildcard for text, wildcard in zip(texts, wildcards, strict=True))
    found = re.fullmatch(pattern, " ".join(came.split()), re.DOTALL)
    if found is None:
        return False
    return all(abs(ours - float(theirs)) <= _TOLERANCE for ours, theirs in zip(numbers, found.groups(), strict=True))


def without_code(text: str) -> str:
    """The page's prose: code has brackets that are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
