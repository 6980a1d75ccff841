"""The values that go from a file to an encoder: blocks with their place, and passages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "CountTokens", "Document", "Passage", "Record", "Unit", "blocks_at", "passage_id"]

CountTokens = Callable[[list[str]], NDArray[np.int32]]
"""Texts to the number of tokens that an encoder makes of each, special tokens included; shape (n,)."""

Unit = Literal["sentence", "line"]
"""Where a block that is too long is cut first."""


@dataclass(frozen=True, slots=True)
class Block:
    """One structural piece of a document: a heading, a paragraph, a list, a function.

    Args:
        text: as it stands in the source (markup included), or as a reader sees it where the markup is not for
            people (HTML, PDF).
        lines: for each line of ``text`` the line of the source it stands on, 1-based.
        headings: the headings above it, outermost first; a heading is under itself.
        unit: where to cut it if it is too long.
        heading: it is a heading, and belongs with what follows.
        page: the page it stands on, 1-based, where there are pages.
    """

    text: str
    lines: Sequence[int]
    headings: tuple[str, ...] = ()
    unit: Unit = "sentence"
    heading: bool = False
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What a reader made of a file.

    Args:
        blocks: in the order of the source. Together they hold every character of it that is content.
        title: the document's own name for itself, if it has one.
    """

    blocks: Sequence[Block]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that an encoder can read whole, and where it came from.

    Args:
        id: stable: it depends on the file's path and on the text, not on the line.
        content: the text.
        metadata: JSON types. ``path``, ``line``, ``end_line`` and ``digest``; where there is one, ``title``,
            ``heading``, ``page`` and ``encoding``.
    """

    id: str
    content: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table.

    Args:
        id: None where the caller named no column for it.
        content: the text to embed.
        metadata: JSON types; values that are missing in the table are missing here.
    """

    id: str | None
    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def passage_id(path: str, content: str, occurrence: int = 1) -> str:
    """Name the ``occurrence``-th passage of the file ``path`` that has this ``content``.

    It begins with the path so that people can read it. It knows no line number, so a passage that moved
    within its file keeps its id, and its vector.
    """
    digest = hashlib.sha256(f"{content}\0{occurrence}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{path}#{digest[:20]}"


def blocks_at(
    rows: Sequence[str], start: int, stop: int, headings: tuple[str, ...] = (), unit: Unit = "sentence"
) -> list[Block]:
    """Take the rows from ``start`` up to ``stop`` (0-based) as one block, without the blank rows around it.

    Returns:
        A list of one block, or an empty one if all the rows are blank.
    """
    while start < stop and not rows[start].strip():
        start += 1
    while stop > start and not rows[stop - 1].strip():
        stop -= 1
    if start == stop:
        return []
    return [Block("\n".join(rows[start:stop]), range(start + 1, stop + 1), headings, unit)]
