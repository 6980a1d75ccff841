"""Text formats: a word and its numbers on every line. word2vec's and fastText's begin with a header, GloVe's do not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from samespace.encoders.words.decimals import decimals
from samespace.encoders.words.source import Content, Source, check
from samespace.encoders.words.writing import Block
from samespace.errors import InvalidInput
from samespace.vectors import Matrix

__all__ = ["header", "is_number", "read_text"]

_BOM = b"\xef\xbb\xbf"


def header(head: bytes) -> tuple[int, int] | None:
    """Count and dimension, if that is what the first line is."""
    fields = head.removeprefix(_BOM).partition(b"\n")[0].split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None
    return int(fields[0]), int(fields[1])


def is_number(field: bytes) -> bool:
    """Tell whether a field can be a number of a vector."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def read_text(source: Source, limit: int | None) -> Content:
    """Read a text file.

    Args:
        source: from its beginning.
        limit: vectors to read; None for all.

    Raises:
        InvalidInput: a line that is not a word and its numbers, or another count than the header's. Names the line.
    """
    first = source.head.removeprefix(_BOM).partition(b"\n")[0]
    given = header(source.head)
    count, dimension = given or (None, len(first.split()) - 1)
    if dimension < 1:
        raise InvalidInput(f"{source.path}, line 1: expected a word and its numbers, got {first[:60]!r}.")
    return Content(dimension, _blocks(source, count, dimension, limit))


def _blocks(source: Source, count: int | None, dimension: int, limit: int | None) -> Iterator[Block]:
    line, done = 1, 0
    for number, chunk in enumerate(_whole_lines(source)):
        lines = chunk.removeprefix(_BOM).split(b"\n") if number == 0 else chunk.split(b"\n")
        if number == 0 and count is not None:
            lines, line = lines[1:], 2
        if limit is not None:
            lines = lines[: limit - done]
        words, vectors = _parse(source, lines, line, dimension)
        line += len(lines)
        done += len(words)
        yield words, vectors
        if done == limit:
            return
    if count is not None and done != count:
        remedy = "The file is torn: get it again." if done < count else "Correct its first line, or get it again."
        raise InvalidInput(f"{source.path} says that it holds {count:,} vectors, but holds {done:,}. {remedy}")


def _whole_lines(source: Source) -> Iterator[bytes]:
    """Pieces of the file that end where a line does, without their last line's end."""
    rest = b""
    for chunk in source.chunks():
        lines, end, tail = chunk.rpartition(b"\n")
        if end:
            yield rest + lines
            rest = tail
        else:
            rest += tail
    if rest.strip():
        yield rest


def _parse(source: Source, lines: list[bytes], first: int, dimension: int) -> Block:
    if any(line.endswith((b" ", b"\r", b"\t")) for line in lines):
        lines = [line.rstrip() for line in lines]
    split = [line.partition(b" ") for line in lines]
    numbers = [field for _, _, field in split]
    if all(field.count(b" ") == dimension - 1 for field in numbers):
        words = [word for word, _, _ in split]
        try:
            flat = decimals(b" ".join(numbers)) if numbers else np.empty(0, np.float32)
        except ValueError:
            words, vectors = _one_by_one(source, lines, first, dimension)
        else:
            vectors = flat.reshape(len(words), dimension)
    else:
        words, vectors = _one_by_one(source, lines, first, dimension)
    check(source, words, vectors, lambda row: f"line {first + row:,}")
    return words, vectors


def _one_by_one(source: Source, lines: list[bytes], first: int, dimension: int) -> tuple[list[bytes], Matrix]:
    """The careful way, for lines with a word of several parts, tabs or two spaces; or to say which line is wrong."""
    words: list[bytes] = []
    vectors = np.empty((len(lines), dimension), np.float32)
    for row, line in enumerate(lines):
        fields = line.split()
        place = f"{source.path}, line {first + row:,}"
        if len(fields) <= dimension:
            raise InvalidInput(
                f"{place}: expected a word and {dimension} numbers, got {max(0, len(fields) - 1)} after "
                f"{b' '.join(fields[:1])[:40]!r}. The line is torn, or of another dimension."
            )
        try:
            vectors[row] = [float(field) for field in fields[-dimension:]]
        except ValueError as error:
            raise InvalidInput(f"{place}: {error}. Expected a word and {dimension} numbers.") from None
        word = b" ".join(fields[:-dimension])
        if len(fields) > dimension + 1 and is_number(fields[-dimension - 1]):
            raise InvalidInput(f"{place}: expected a word and {dimension} numbers, got {len(fields) - 1}.")
        words.append(word)
    return words, vectors
