"""Hits as people read them: rank, score, place, heading, and the passage with the query's words lit."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from samespace.cli.output import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    from samespace.hits import Hit

__all__ = ["LINES", "place", "show_hits"]

LINES = 8  # of a passage, unless another number is asked for

# Not worth lighting.
_SMALL_WORDS = frozenset(
    """a an and are as at be been but by can did do does for from had has have how i if in into is it
    its me my no not of on or our so than that the their them then there these they this to too up was
    we were what when where which who why will with would you your""".split()  # noqa: SIM905
)


def show_hits(
    console: Console, query: str, hits: Sequence[Hit], *, lines: int | None = LINES, decimals: int = 3
) -> None:
    """Print hits, best first.

    Args:
        console: where to print; its width wraps the passages.
        query: its words are highlighted in the passages.
        hits: what a search gave back.
        lines: of a passage at most, those with the most lit words; None prints all.
        decimals: digits of a score after the point.
    """
    from rich.text import Text

    scores = [f"{hit.score:.{decimals}f}" for hit in hits]
    words = _words(query)
    indent = len(str(len(hits))) + 2
    margin = " " * indent
    for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), 1):
        where, part_of = place(hit.id, hit.metadata)
        title = Text.assemble((f"{rank:>{indent - 2}}  ", "dim"), (score, "cyan"), "  ", (clean(where), "bold green"))
        if part_of:
            title.append(f"  {clean(part_of)}", "dim")
        if rank > 1:
            console.print()
        console.print(title)
        for line in _passage(console, hit.content, words, console.width - indent, lines):
            console.print(Text.assemble(margin, line) if line else line)


def place(identifier: str, metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Where a passage is, and what it is part of.

    Returns:
        For a passage of a file ``path:line`` and its heading, for a definition its name and ``path:line``,
        for a row of a table the file and its id, and for any other row its id and nothing.
    """
    path, line, name, heading = (metadata.get(key) for key in ("path", "line", "name", "heading"))
    spot = "" if path is None else str(path) if line is None else f"{path}:{line}"
    if isinstance(name, str):
        return name, spot
    if not spot:
        return identifier, ""
    return spot, str(heading) if heading else identifier if line is None else ""


def _words(query: str) -> re.Pattern[str] | None:
    """Find the words of a query where a word of the text begins with them: ``gzip`` lights ``GzipFile``."""
    stems = set()
    for word in re.findall(r"\w+", query.casefold()):
        if word not in _SMALL_WORDS and len(word) > 1:
            stem = re.sub(r"(ing|ed|es|s)$", "", word)
            stems.add(stem if len(stem) >= 4 else word)
    if not stems:
        return None
    alternatives = "|".join(sorted(map(re.escape, stems), key=len, reverse=True))
    return re.compile(rf"(?<![^\W_])(?:{alternatives})\w*", re.IGNORECASE)


def _passage(
    console: Console, content: str | None, words: re.Pattern[str] | None, width: int, most: int | None
) -> list[Text]:
    """Wrap a passage to ``width``, and keep at most so many lines of it."""
    from rich.text import Text

    if not content or not content.strip():
        return [Text("(no text)", "dim italic")]
    width = max(width, 20)
    text = Text(_refilled(dedent(clean(content)).strip("\n").rstrip(), width))
    if words:
        text.highlight_regex(words, "bold yellow")
    lines = list(text.wrap(console, width))
    for line in lines:
        line.rstrip()
    if most is None or len(lines) <= most:
        return lines
    lines = [line for line in lines if line]  # where lines are few, none is for a blank
    if len(lines) <= most + 1:
        return lines
    start = _best_window([len(line.spans) for line in lines], most)
    before = [Text("…", "dim")] if start else []
    after = [Text("…", "dim")] if start + most < len(lines) else []
    return [*before, *lines[start : start + most], *after]


def _refilled(text: str, width: int) -> str:
    """Join the lines of paragraphs that were filled to more than ``width``, which would break raggedly.

    Two lines are joined where the second goes on in the middle of a sentence: it begins with a small letter, at
    the same indent, below a line that was nearly full. Code and lists seldom look so.
    """
    lines = text.split("\n")
    longest = max(map(len, lines))
    if longest <= width:
        return text
    filled = lines[:1]
    for above, line in pairwise(lines):
        same_indent = len(line) - len(line.lstrip()) == len(above) - len(above.lstrip())
        if line.lstrip()[:1].islower() and same_indent and len(above) > 0.75 * min(longest, 120):
            filled[-1] += " " + line.lstrip()
        else:
            filled.append(line)
    return "\n".join(filled)


def _best_window(weights: Sequence[int], length: int) -> int:
    """Where the ``length`` neighbouring lines with the most lit words begin.

    A passage is best read from its beginning, so another place must be more than twice as good.
    """
    sums = list(accumulate(weights, initial=0))
    lit = [sums[start + length] - sums[start] for start in range(len(weights) - length + 1)]
    best = max(range(len(lit)), key=lambda start: (lit[start], -start))
    return best if lit[best] > 2 * lit[0] else 0
