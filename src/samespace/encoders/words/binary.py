"""word2vec's binary format: a header, then each word, a space and its float32 numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from samespace.encoders.words.source import Content, Source, check
from samespace.encoders.words.text import header
from samespace.encoders.words.writing import Block
from samespace.errors import InvalidInput

__all__ = ["read_binary"]

_LONGEST_WORD = 1 << 16  # bytes; a space that is farther away means that this is not the format


def read_binary(source: Source, limit: int | None) -> Content:
    """Read a binary file. As :func:`~samespace.encoders.words.text.read_text`; errors name the byte.

    Raises:
        InvalidInput: the file ends early, goes on after its last vector, or is not in this format.
    """
    count, dimension = header(source.head) or (0, 0)
    if not count or not dimension:
        raise InvalidInput(f"{source.path} says that it holds {count:,} vectors of {dimension:,} numbers.")
    return Content(dimension, _blocks(source, count, dimension, limit))


def _blocks(source: Source, count: int, dimension: int, limit: int | None) -> Iterator[Block]:
    size, wanted = 4 * dimension, count if limit is None else min(limit, count)
    skipped = source.head.index(b"\n") + 1
    source.read(skipped)
    rest, base, done = b"", skipped, 0
    for chunk in source.chunks():
        data = rest + chunk
        at, words, places, numbers = 0, [], [], []
        while done < wanted:
            space = data.find(b" ", at, at + _LONGEST_WORD)
            stop = space + 1 + size
            if space < 0 and len(data) - at >= _LONGEST_WORD:
                raise InvalidInput(
                    f"{source.path}, byte {base + at:,}: expected word {done + 1:,} and a space behind it, got "
                    f"{data[at : at + 20]!r}. It is not in word2vec's binary format, or damaged."
                )
            if space < 0 or stop > len(data):
                break
            words.append(data[at:space].lstrip(b"\n"))
            numbers.append(data[space + 1 : stop])
            places.append(base + at)
            at = stop
            done += 1
        if words:
            vectors = np.frombuffer(b"".join(numbers), "<f4").reshape(-1, dimension)
            check(source, words, vectors, lambda row, places=places: f"byte {places[row]:,}")  # type: ignore[misc]
            yield words, vectors
        rest = data[at:]
        base += at
        if done == wanted and (limit is not None or len(rest) > 1):
            break
    if done < wanted:
        raise InvalidInput(
            f"{source.path} says that it holds {count:,} vectors, but ends after {done:,}, at byte "
            f"{base + len(rest):,}. The file is torn: get it again."
        )
    if limit is None and rest.strip():
        raise InvalidInput(
            f"{source.path} goes on at byte {base:,}, after the {count:,} vectors that it says it holds. It is "
            "damaged, or not in word2vec's binary format."
        )
