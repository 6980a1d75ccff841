"""What a user hands to ``add``, checked row by row and cut into batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from samespace.errors import InvalidInput, InvalidVectors
from samespace.space import Space
from samespace.vectors import Vectors, concatenate

__all__ = ["Batch", "batches", "check_id", "check_unicode", "content_id", "metadata_json"]


_NESTED = (dict, list, tuple)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that are ready to store; no id stands twice.

    Attributes:
        ids: in the order given; of rows with the same id the last one counts.
        metadata: JSON text of an object, keys in the order given.
        vectors: one a row, or None where the encoder is to make them.
        size: rows that came, those included that a later one replaced.
    """

    ids: list[str]
    contents: list[str | None]
    metadata: list[str]
    vectors: Vectors | None
    size: int


def content_id(content: str) -> str:
    """The id of a content that was given none: 32 hexadecimal digits of its SHA-256."""
    if not isinstance(content, str):
        raise InvalidInput(f"An id is made from a text (str), got {type(content).__name__}.")
    check_unicode(content, "The content")
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def metadata_json(metadata: Mapping[str, Any] | None, row: int) -> str:
    """JSON text of one row's metadata.

    Raises:
        InvalidInput: it is not a mapping of text to JSON values; names the row.
    """
    if not metadata:
        if metadata is None or isinstance(metadata, Mapping):
            return "{}"
        raise InvalidInput(f"metadata of row {row} must be a mapping or None, got {metadata!r}.")
    if type(metadata) is not dict and not isinstance(metadata, Mapping):  # the first is much the faster
        raise InvalidInput(f"metadata of row {row} must be a mapping or None, got {type(metadata).__name__}.")
    for key in metadata:
        if type(key) is not str:
            raise InvalidInput(f"metadata of row {row} has the key {key!r}; keys must be text.")
    try:
        text = _JSON.encode(dict(metadata))
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"metadata of row {row} cannot be written as JSON: {error}.") from None
    # After the encoder, which refuses a value that contains itself.
    for value in metadata.values():
        if isinstance(value, _NESTED):
            _check_keys(value, row)
    return text


def batches(
    contents: Iterable[str | None],
    ids: Iterable[str] | None,
    metadata: Iterable[Mapping[str, Any] | None] | None,
    vectors: Vectors | Iterable[Vectors] | None,
    space: Space,
    size: int,
) -> Iterator[Batch]:
    """Check the rows and yield them in batches of ``size``; holds one batch at a time.

    Sequences are compared by length before anything is yielded, so that a wrong call changes nothing.

    Raises:
        InvalidInput, InvalidVectors, SpaceMismatch: naming the row.
    """
    for name, value in (("contents", contents), ("ids", ids), ("metadata", metadata)):
        if isinstance(value, str | bytes | Mapping):
            raise InvalidInput(f"{name} must be a list, one for each row, got one {type(value).__name__}.")
        if not isinstance(value, Iterable) and (value is not None or name == "contents"):
            raise InvalidInput(f"{name} must be a list or an iterator, got {type(value).__name__}.")
    source = None if vectors is None else _VectorSource(vectors, space)
    _compare_lengths(contents, ids, metadata, vectors)
    return _batches(iter(contents), _side(ids, "ids"), _side(metadata, "metadata"), source, size)


def _batches(
    contents: Iterator[str | None],
    ids: _Side | None,
    metadata: _Side | None,
    vectors: _VectorSource | None,
    size: int,
) -> Iterator[Batch]:
    first = 0
    while window := list(islice(contents, size)):
        count = len(window)
        for row, content in enumerate(window, first):
            _check_content(content, row, vectors is not None)
        if ids is not None:
            names = ids.take(count, first)
            for row, name in enumerate(names, first):
                if type(name) is not str or not name.isalnum() or not name.isascii():  # most ids pass here
                    check_id(name, f"The id of row {row}")
        elif None in window:
            raise InvalidInput(f"Row {first + window.index(None)} has neither a content nor an id; give ids=.")
        else:
            names = [content_id(content) for content in window if content is not None]
        fields = metadata.take(count, first) if metadata else [None] * count
        texts = [metadata_json(each, row) for row, each in enumerate(fields, first)]
        part = vectors.take(count, first) if vectors else None
        if len(set(names)) < count:
            last = sorted({name: row for row, name in enumerate(names)}.values())
            names, texts = [names[row] for row in last], [texts[row] for row in last]
            window = [window[row] for row in last]
            part = None if part is None else part[last]
        yield Batch(names, window, texts, part, count)
        first += count
    for side in (ids, metadata, vectors):
        if side is not None:
            side.finish(first)


class _Side:
    """A column beside the contents, which must be just as long."""

    def __init__(self, values: Iterable[Any], name: str) -> None:
        self._values, self._name = iter(values), name

    def take(self, count: int, first: int) -> list[Any]:
        taken = list(islice(self._values, count))
        if len(taken) < count:
            raise InvalidInput(f"Row {first + len(taken)} has a content but no {self._name}: they ended early.")
        return taken

    def finish(self, rows: int) -> None:
        if next(self._values, self) is not self:
            raise InvalidInput(f"There are more {self._name} than contents; the {rows:,} contents were stored.")


class _VectorSource:
    """Vectors in blocks of any size, handed on in the sizes that are asked for."""

    def __init__(self, vectors: Vectors | Iterable[Vectors], space: Space) -> None:
        if isinstance(vectors, np.ndarray) or not isinstance(vectors, Vectors | Iterable):
            raise InvalidInput(
                f"vectors must be Vectors, got {type(vectors).__name__}. A raw array comes in with its space and "
                'role: Vectors(array, space, "document").'
            )
        blocks: Iterable[Vectors] = [vectors] if isinstance(vectors, Vectors) else vectors
        self._space = space
        self._blocks = iter(blocks)
        self._rest: Vectors | None = None
        if isinstance(vectors, Vectors):
            self._check(vectors)

    def _check(self, block: Any) -> Vectors:
        if not isinstance(block, Vectors):
            raise InvalidInput(f"vectors must yield Vectors, got {type(block).__name__}.")
        self._space.require(block.space, "add these vectors to the collection")
        if block.role != "document":
            raise InvalidInput(
                "These vectors have the role 'query'; what is stored must be encoded as documents "
                "(encoder.encode_documents)."
            )
        return block

    def take(self, count: int, first: int) -> Vectors:
        parts: list[Vectors] = []
        missing = count
        while missing:
            block = self._rest if self._rest is not None else next(self._blocks, None)
            self._rest = None
            if block is None:
                raise InvalidVectors(f"Row {first + count - missing} has a content but no vector: they ended early.")
            self._check(block)
            if len(block) > missing:
                block, self._rest = block[:missing], block[missing:]
            parts.append(block)
            missing -= len(block)
        return concatenate(parts, self._space, "document")

    def finish(self, rows: int) -> None:
        if self._rest is not None or any(len(block) for block in self._blocks):
            raise InvalidVectors(f"There are more vectors than contents; the {rows:,} contents were stored.")


def _side(values: Iterable[Any] | None, name: str) -> _Side | None:
    return None if values is None else _Side(values, name)


def _compare_lengths(
    contents: Iterable[Any], ids: Iterable[Any] | None, metadata: Iterable[Any] | None, vectors: Any
) -> None:
    lengths = {
        name: len(value)
        for name, value in (("contents", contents), ("ids", ids), ("metadata", metadata), ("vectors", vectors))
        if isinstance(value, Sequence | Vectors)
    }
    if len(set(lengths.values())) > 1:
        named = ", ".join(f"{count:,} {name}" for name, count in lengths.items())
        raise InvalidInput(f"There must be one of each for every row, got {named}. Nothing was written.")


def _check_content(content: Any, row: int, has_vectors: bool) -> None:
    if isinstance(content, str):
        if not content.isascii():
            check_unicode(content, f"The content of row {row}")
        if not has_vectors and not content.strip():
            raise InvalidInput(f"The content of row {row} is blank, so there is nothing to encode. Leave it out.")
    elif content is not None or not has_vectors:
        hint = " Only rows that bring their vector may go without a content." if content is None else ""
        raise InvalidInput(f"The content of row {row} must be a text (str), got {type(content).__name__}.{hint}")


def check_id(name: Any, what: str) -> str:
    """The id, if it is one: text, not empty, valid Unicode and without NUL. ``what`` begins the sentence."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidInput(f"{what} must be a text that is not empty and has no NUL, got {name!r}.")
    if not name.isascii():
        check_unicode(name, what)
    return name


def check_unicode(text: str, what: str) -> None:
    """Raise InvalidInput unless the text can be written as UTF-8. ``what`` begins the sentence."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is not valid Unicode: {error.reason} at character {error.start}.") from None


def _check_keys(value: Any, row: int) -> None:
    """Refuse keys that JSON would turn into text in silence, at any depth."""
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            for key in inner:
                if type(key) is not str:
                    raise InvalidInput(f"metadata of row {row} has the key {key!r} inside; keys must be text.")
            inner = inner.values()
        stack.extend(each for each in inner if isinstance(each, _NESTED))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON type")


_JSON = json.JSONEncoder(default=_plain, allow_nan=False, ensure_ascii=False)
