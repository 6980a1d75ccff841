"""Python source: every function, class and method is a block, with its comments and decorators."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from itertools import accumulate

from samespace.sources.base import Block, Document, blocks_at
from samespace.sources.plain import read_lines

__all__ = ["read"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read(text: str) -> Document:
    """Read Python source. What this Python cannot parse is read as any other code is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the escapes in somebody else's strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return read_lines(text)
    # The parser takes a form feed for a line's beginning, not for a line's end, as split does.
    rows = text.split("\n")
    marks: list[tuple[int, tuple[str, ...]]] = [(0, ()), *_marks(tree, (), rows, 0)]
    starts = list(accumulate((start for start, _ in marks), max))  # a string may look like a comment
    marks = [(start, names) for start, (_, names) in zip(starts, marks, strict=True)]
    ends = [*starts[1:], len(rows)]
    blocks: list[Block] = []
    for (start, names), end in zip(marks, ends, strict=True):
        blocks += blocks_at(rows, start, end, names, "line") if names else _statements(rows, start, end)
    return Document(blocks)


def _marks(
    parent: ast.AST, names: tuple[str, ...], rows: Sequence[str], floor: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows (0-based) at which another definition begins, each with the names it stands under."""
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, _Definition):
            if isinstance(
                node, ast.If | ast.Try | ast.ExceptHandler | ast.With
            ):  # a definition may stand under a condition
                yield from _marks(node, names, rows, floor)
            continue
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while start > floor and rows[start - 1].lstrip().startswith("#"):
            start -= 1
        end = node.end_lineno or node.lineno
        if start < floor:  # a second definition on one line
            continue
        inner = (*names, node.name)
        yield start, inner
        if isinstance(node, ast.ClassDef):
            yield from _marks(node, inner, rows, node.lineno)
        yield end, names
        floor = end


def _statements(rows: Sequence[str], start: int, end: int) -> Iterator[Block]:
    """Cut what stands outside of definitions at its blank lines."""
    first = start
    for number in range(start, end):
        if not rows[number].strip():
            yield from blocks_at(rows, first, number, unit="line")
            first = number + 1
    yield from blocks_at(rows, first, end, unit="line")
