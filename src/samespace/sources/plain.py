"""Plain text: paragraphs, and the structure that indentation shows."""

from __future__ import annotations

from samespace.sources.base import Block, Document, Unit, blocks_at

__all__ = ["read_lines", "read_paragraphs"]


def read_paragraphs(text: str) -> Document:
    """Read prose: a block is what stands between blank lines."""
    return Document(_blocks(text, "sentence", outdented=False))


def read_lines(text: str) -> Document:
    """Read code, configuration or data: a block begins at a line that is not indented, after a blank line."""
    return Document(_blocks(text, "line", outdented=True))


def _blocks(text: str, unit: Unit, *, outdented: bool) -> list[Block]:
    rows = text.split("\n")
    blocks: list[Block] = []
    start = 0
    for number in range(1, len(rows)):
        row = rows[number]
        begins = row.strip() and not rows[number - 1].strip()
        if begins and not (outdented and row[0].isspace()):
            blocks += blocks_at(rows, start, number, unit=unit)
            start = number
    return blocks + blocks_at(rows, start, len(rows), unit=unit)
