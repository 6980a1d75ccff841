"""reStructuredText: section titles, literal blocks kept whole, paragraphs. The markup stays in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from samespace.sources.base import Block, Document, Unit, blocks_at

__all__ = ["read"]

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")
_LINEWISE = re.compile(
    r"\s*(?:[-*+\u2022]\s|(?:\d+|#|[A-Za-z])[.)]\s|\||[+=]{3,}|:\w[^:]*:\s)"
)  # lists, tables, fields
_OPENS_BODY = re.compile(r"\.\. |.*::\s*$")


def read(text: str) -> Document:
    """Read reStructuredText. The title is the first section's, if it is the only one of its level."""
    rows = text.split("\n")
    blocks: list[Block] = []
    styles: list[tuple[str, bool]] = []  # adornments in the order they were met, which is their level
    trail: list[str] = []
    tops: list[str] = []
    at = 0
    while at < len(rows):
        if not rows[at].strip():
            at += 1
            continue
        if found := _heading(rows, at):
            words, style, end = found
            if style not in styles:
                styles.append(style)
            level = styles.index(style)
            trail = [*trail[:level], words]
            if level == 0:
                tops.append(words)
            (block,) = blocks_at(rows, at, end, tuple(trail))
            blocks.append(replace(block, heading=True))
        else:
            end = _block_end(rows, at)
            # A directive's or literal block's body is code more often than prose.
            body = _OPENS_BODY.match(rows[at]) and end > at + 1
            unit: Unit = "line" if body or _LINEWISE.match(rows[at]) else "sentence"
            blocks += blocks_at(rows, at, end, tuple(trail), unit)
        at = end
    return Document(blocks, tops[0] if len(tops) == 1 else None)


def _heading(rows: Sequence[str], at: int) -> tuple[str, tuple[str, bool], int] | None:
    """Words, style and the row after, if a section title stands at row ``at``."""
    row = rows[at].rstrip()
    if _ADORNMENT.match(row):  # a line above and one below
        lines = [line.rstrip() for line in rows[at + 1 : at + 3]]
        if len(lines) == 2 and lines[1] == row and lines[0].strip() and not _ADORNMENT.match(lines[0]):
            return lines[0].strip(), (row[0], True), at + 3
        return None
    if at + 1 < len(rows) and not row[0].isspace():
        under = rows[at + 1].rstrip()
        # docutils wants the line as long as the title; people forget to lengthen it.
        if _ADORNMENT.match(under) and 2 * len(under) >= len(row):
            return row.strip(), (under[0], False), at + 2
    return None


def _block_end(rows: Sequence[str], at: int) -> int:
    """Find the row after a paragraph, and after the indented body that its ``::`` or directive opens."""
    margin = _indent(rows[at])
    end = at + 1
    while end < len(rows) and rows[end].strip():
        end += 1
    if not (_OPENS_BODY.match(rows[at]) or _OPENS_BODY.match(rows[end - 1])):
        return end
    last = end
    while end < len(rows) and (not rows[end].strip() or _indent(rows[end]) > margin):
        end += 1
        if rows[end - 1].strip():
            last = end
    return last


def _indent(row: str) -> int:
    expanded = row.expandtabs()
    return len(expanded) - len(expanded.lstrip())
