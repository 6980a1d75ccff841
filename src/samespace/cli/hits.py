"""Hits as people read them: rank, score, place, heading, and the passage with the query's words lit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from samespace.cli.output import clean
from samespace.hits import Hit

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

__all__ = ["LINES", "place", "show_hits"]

LINES = 8  # of a passage, unless another number is asked for

# Not worth lighting.
_SMALL_WORDS = frozenset(
    "a an and are as at be been but by can did do does for from had has have how i if in into is it its me my "
    "no not of on or our so than that the their them then there these they this to too up was we were what when "
    "where which who why will with would you your".split()
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
    from rich.table import Table
    from rich.text import Text

    scores = [f"{hit.score:.{decimals}f}" for hit in hits]
    words = _words(query)
    indent = len(str(len(hits))) + 2
    grid = Table.grid(padding=0)
    grid.add_column(width=indent, style="dim")
    grid.add_column(ratio=1)
    for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), 1):
        where, heading = place(hit.id, hit.metadata)
        title = Text.assemble((score, "cyan"), "  ", (clean(where), "bold green"))
        if heading:
            title.append(f"  {clean(heading)}", "dim")
        grid.add_row(f"{rank:>{indent - 2}}", title)
        grid.add_row("", _passage(console, hit.content, words, console.width - indent, lines))
        if rank < len(hits):
            grid.add_row("", "")
    console.print(grid)


def place(identifier: str, metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Where a passage is (``path:line``, or its id if it came from no file), and the heading it is under."""
    path, line, heading = (metadata.get(name) for name in ("path", "line", "heading"))
    where = identifier if not path else f"{path}:{line}" if line is not None else str(path)
    return where, str(heading) if heading else ""


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
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    if not content or not content.strip():
        return Text("(no text)", "dim italic")
    text = Text(dedent(clean(content)).strip("\n").rstrip())
    if words:
        text.highlight_regex(words, "bold yellow")
    lines = list(text.wrap(console, max(width, 20)))
    if most is None or len(lines) <= most + 1:
        return Group(*lines)
    start = _best_window([len(line.spans) for line in lines], most)
    before = [Text("…", "dim")] if start else []
    after = [Text("…", "dim")] if start + most < len(lines) else []
    shown = lines[start : start + most]
    return Group(*before, *shown, *after)


def _best_window(weights: Sequence[int], length: int) -> int:
    """Where the ``length`` neighbouring lines with the most lit words begin; the first of equals."""
    sums = list(accumulate(weights, initial=0))
    starts = range(len(weights) - length + 1)
    return max(starts, key=lambda start: (sums[start + length] - sums[start], -start))
