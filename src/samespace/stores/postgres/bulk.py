"""Rows as the bytes of a binary ``COPY``, and back: https://www.postgresql.org/docs/current/sql-copy.html."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from struct import Struct
from typing import Any

import numpy as np

from samespace.errors import InvalidInput
from samespace.stores.base import Block
from samespace.stores.postgres.connections import Point
from samespace.stores.postgres.filters import number
from samespace.vectors import Matrix

__all__ = ["COPIED", "READ", "as_block", "as_copy", "check", "points", "shown"]

COPIED = "id, content, metadata, tokens_seen, tokens_total, seal, embedding"
READ = "seq, id, content, metadata::text, tokens_seen, tokens_total, seal, embedding"

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_ROWS = 512  # handed to the socket at once

_INT = Struct(">ii").pack
_HEADER = Struct(">hh").pack  # of a vector: its dimension, and zero
_LENGTH = Struct(">i").pack
_FIRST = Struct(">hi").pack
_JSONB = Struct(">ib").pack  # its length, and the version of its binary form

# What jsonb does not keep as it is: a NUL in a text, and the exponent of a number. Text is told from numbers by going
# through both; a backslash takes the sign after it along.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+')
_EXPONENT = re.compile(r"[0-9][eE][+-]?[0-9]")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def check(block: Block) -> Block:
    """The block as PostgreSQL can hold it: numbers without exponents.

    Raises:
        InvalidInput: a text has a NUL; the message names the row.
    """
    for name, content, metadata in zip(block.ids, block.contents, block.metadata, strict=True):
        for what, has_nul in (
            ("id", "\0" in name),
            ("content", content is not None and "\0" in content),
            ("metadata", "\\u0000" in metadata and _NUL.search(metadata) is not None),
        ):
            if has_nul:
                raise InvalidInput(
                    f"Row {shown(name)}: its {what} has a NUL character, which PostgreSQL cannot hold. Remove it, "
                    "as with text.replace('\\0', ''). Nothing was written."
                )
    return replace(
        block, metadata=[_TOKEN.sub(_plain, text) if _EXPONENT.search(text) else text for text in block.metadata]
    )


def shown(name: str) -> str:
    """An id in a message."""
    return repr(name if len(name) <= 80 else f"{name[:79]}…")


def as_copy(block: Block) -> Iterator[bytes]:
    """The rows as ``COPY`` reads them, the columns being :data:`COPIED`, in pieces of about a megabyte."""
    pieces = [_BEGIN]
    seals = block.seals or [None] * len(block)
    rows = zip(block.ids, block.contents, block.metadata, block.tokens, seals, points(block.vectors), strict=True)
    for at, (name, content, metadata, (seen, total), seal, point) in enumerate(rows, 1):
        identity, text, fields = name.encode(), None if content is None else content.encode(), metadata.encode()
        pieces += (
            _FIRST(7, len(identity)),
            identity,
            _field(text),
            _JSONB(len(fields) + 1, 1),
            fields,
            _NULL if seen is None else _INT(4, seen),
            _NULL if total is None else _INT(4, total),
            _field(seal),
            _LENGTH(len(point)),
            point,
        )
        if at % _ROWS == 0:
            yield b"".join(pieces)
            pieces = []
    yield b"".join([*pieces, _END])


def points(vectors: Matrix) -> list[Point]:
    """Vectors, float32 of shape (n, d), as pgvector's binary form, each 4 + 4 d bytes."""
    size = 4 * vectors.shape[1]
    header, numbers = _HEADER(vectors.shape[1], 0), vectors.astype(">f4").tobytes()
    return [Point(header + numbers[start : start + size]) for start in range(0, len(numbers), size)]


def as_block(rows: Sequence[tuple[Any, ...]], dimension: int) -> Block:
    """Rows that were read in binary form, the columns being :data:`READ`."""
    if not rows:
        return Block([], [], [], np.empty((0, dimension), np.float32), [], [])
    _, ids, contents, metadata, seen, total, seals, embeddings = zip(*rows, strict=True)
    numbers = np.frombuffer(b"".join(each[4:] for each in embeddings), ">f4")
    vectors = numbers.astype(np.float32).reshape(len(ids), dimension)
    return Block(list(ids), list(contents), list(metadata), vectors, list(zip(seen, total, strict=True)), list(seals))


def _field(value: bytes | None) -> bytes:
    return _NULL if value is None else _LENGTH(len(value)) + value


def _plain(token: re.Match[str]) -> str:
    text = token[0]
    return text if text.startswith('"') else number(float(text))
