"""Markdown: headings, fences kept whole, lists, paragraphs. The markup stays in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from samespace.sources.base import Block, Document, Unit, blocks_at

__all__ = ["read"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_LINEWISE = re.compile(r"\s*(?:[-*+]\s|\d{1,9}[.)]\s|\||>)")  # lists, tables and quotations
_FRONT_TITLE = re.compile(r"title\s*:\s*(.+)")


def read(text: str) -> Document:
    """Read Markdown. The title is the front matter's, or else the first heading of level 1."""
    rows = text.split("\n")
    blocks: list[Block] = []
    trail: list[tuple[int, str]] = []  # the headings above: level and words
    title, at = _front_matter(rows)
    if at:
        blocks += blocks_at(rows, 0, at, unit="line")
    while at < len(rows):
        if not rows[at].strip():
            at += 1
            continue
        above = tuple(words for _, words in trail)
        if fence := _FENCE.match(rows[at]):
            end = _fence_end(rows, at, fence[1])
            blocks += blocks_at(rows, at, end, above, "line")
        elif found := _heading(rows, at):
            level, words, end = found
            trail = [*((depth, name) for depth, name in trail if depth < level), (level, words)]
            title = title or (words if level == 1 else None)
            (block,) = blocks_at(rows, at, end, tuple(name for _, name in trail))
            blocks.append(replace(block, heading=True))
        else:
            unit: Unit = "line" if _LINEWISE.match(rows[at]) else "sentence"
            end = _paragraph_end(rows, at)
            blocks += blocks_at(rows, at, end, above, unit)
        at = end
    return Document(blocks, title)


def _front_matter(rows: Sequence[str]) -> tuple[str | None, int]:
    """Find the title in the block between ``---`` lines at the very top, and the row after that block."""
    if rows[0].rstrip() != "---":
        return None, 0
    for number, row in enumerate(rows[1:], 1):
        if row.rstrip() in {"---", "..."}:
            titles = (match[1] for line in rows[1:number] if (match := _FRONT_TITLE.match(line)))
            return next((title.strip().strip("\"'") or None for title in titles), None), number + 1
    return None, 0


def _fence_end(rows: Sequence[str], at: int, marker: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(marker[0])}{{{len(marker)},}}[ \t]*$")
    for number in range(at + 1, len(rows)):
        if closing.match(rows[number]):
            return number + 1
    return len(rows)  # never closed: it goes on to the end, as it does for a browser


def _heading(rows: Sequence[str], at: int) -> tuple[int, str, int] | None:
    """Level, words and the row after, if a heading stands at row ``at``."""
    if match := _HEADING.match(rows[at]):
        words = re.sub(r"(^|[ \t])#+[ \t]*$", "", match[2] or "").strip()
        return len(match[1]), words, at + 1
    if at + 1 < len(rows) and not _LINEWISE.match(rows[at]) and (under := _UNDERLINE.match(rows[at + 1])):
        return 1 if under[1][0] == "=" else 2, rows[at].strip(), at + 2
    return None


def _paragraph_end(rows: Sequence[str], at: int) -> int:
    end = at + 1
    while end < len(rows) and rows[end].strip():
        if _FENCE.match(rows[end]) or _HEADING.match(rows[end]):
            break
        end += 1
    return end
