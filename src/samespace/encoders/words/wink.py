"""The JSON of npm's wink embeddings: one object, too large to be parsed as such."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from samespace.encoders.words.decimals import decimals
from samespace.encoders.words.source import Content, Source, check
from samespace.encoders.words.writing import Block
from samespace.errors import InvalidInput

__all__ = ["read_wink"]

_BEHIND = 2  # numbers behind each vector: its length, and its own number
_VECTORS = b'"vectors":{'
_END = re.compile(rb"\d\]\s*\}")
_ROW = re.compile(rb'\s*"((?:[^"\\]|\\.)*)":\[([^\]]*)\]')


def read_wink(source: Source, limit: int | None) -> Content:
    """Read the vectors, in the order of the file. Behind each stand its length and its number, left out here.

    Raises:
        InvalidInput: it is another JSON, or ends early. Names the byte.
    """
    size = re.search(rb'"l2NormIndex":(\d+)', source.head)
    if size is None:
        raise InvalidInput(
            f"{source.path} is JSON, but not of npm's wink-embeddings. Expected that, or a file of word2vec, GloVe or "
            "fastText."
        )
    dimension = int(size[1])
    return Content(dimension, _blocks(source, dimension, limit))


def _blocks(source: Source, dimension: int, limit: int | None) -> Iterator[Block]:
    base, rest, inside, done = 0, b"", False, 0
    for chunk in source.chunks():
        data, at = rest + chunk, 0
        if not inside:
            found = data.find(_VECTORS)
            if found < 0:
                rest = data[-len(_VECTORS) :]
                base += len(data) - len(rest)
                continue
            inside, at = True, found + len(_VECTORS)
        end = _END.search(data, at)
        last = end.start() + 2 if end else data.rfind(b"]") + 1
        rows = _ROW.findall(data, at, last) if last > at else []
        if limit is not None:
            rows = rows[: limit - done]
        if rows:
            yield _parse(source, rows, dimension, done)
            done += len(rows)
        if done == limit or end:
            return
        at = max(at, last)
        base, rest = base + at, data[at:].lstrip(b",")
    raise InvalidInput(f"{source.path} ends after {done:,} vectors, at byte {base:,}. The file is torn: get it again.")


def _parse(source: Source, rows: list[tuple[bytes, bytes]], dimension: int, first: int) -> Block:
    def place(row: int) -> str:
        return f"vector {first + row + 1:,}"

    try:
        words = [json.loads(b'"' + word + b'"').encode() if b"\\" in word else word for word, _ in rows]
        numbers = decimals(b" ".join(text.replace(b",", b" ") for _, text in rows))
        vectors = numbers.reshape(len(rows), dimension + _BEHIND)[:, :dimension]
    except ValueError as error:
        raise InvalidInput(
            f"{source.path}, {place(0)} to {place(len(rows) - 1)}: expected {dimension + _BEHIND} numbers in each, "
            f"got others ({error})."
        ) from None
    check(source, words, vectors, place)
    return words, vectors
