"""Rows on their way, some thousands at a time, column by column; and the files that they go to."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, SamespaceError, StorageError, StorageFull
from samespace.hits import Row
from samespace.space import Space
from samespace.stores import base
from samespace.vectors import Matrix

__all__ = ["BLOCK", "Block", "Progress", "chunks", "counts", "drafts", "fields", "from_fields", "matrix", "seals"]

BLOCK = 4_096
Progress = Callable[[int], None]
"""Called with the number of rows just done."""

T = TypeVar("T")


class Block(NamedTuple):
    """Some rows, column by column.

    Attributes:
        array: vectors as they were found, of shape (n, dimension).
        seen, total: tokens; 0 where nobody counted them.
        seals: what :func:`seals` made of each row when it was exported, in hexadecimal digits; None for a row that
            another program wrote; None for all of them where the format keeps none.
    """

    ids: list[str]
    contents: list[str | None]
    metadata: list[Any]
    array: Any
    seen: list[int]
    total: list[int]
    seals: list[str | None] | None = None


def fields(row: Row) -> dict[str, Any]:
    """All of a row but its vector, as JSON values."""
    return {
        "id": row.id,
        "content": row.content,
        "metadata": row.metadata,
        "tokens_seen": row.tokens_seen,
        "tokens_total": row.tokens_total,
    }


def from_fields(rows: Sequence[dict[str, Any]], array: Any, sealed: list[str | None] | None = None) -> Block:
    """A block of what :func:`fields` made, and the vectors.

    Raises:
        KeyError, TypeError, AttributeError: a row is not one.
    """
    return Block(
        [row["id"] for row in rows],
        [row["content"] for row in rows],
        [row["metadata"] for row in rows],
        array,
        [row.get("tokens_seen") or 0 for row in rows],
        [row.get("tokens_total") or 0 for row in rows],
        sealed,
    )


def counts(tokens: list[Any]) -> NDArray[np.int32]:
    """Tokens as an array.

    Raises:
        InvalidInput: one is not a whole number.
    """
    if not all(type(count) is int and 0 <= count < 2**31 for count in tokens):
        raise InvalidInput("tokens_seen and tokens_total must be whole numbers.")
    return np.array(tokens, np.int32)


def matrix(rows: Sequence[Row], space: Space) -> Matrix:
    """The vectors of rows, float32 of shape (n, dimension)."""
    return np.array([row.vector for row in rows], np.float32).reshape(len(rows), space.dimension)


def seals(space: Space, ids: list[str], contents: list[str | None], vectors: Matrix) -> list[str]:
    """What binds each row's id, content and vector to the space, as hexadecimal digits.

    It tells which rows of a file or database are those that samespace wrote, after others had it in their hands.
    """
    made = base.seals(space, base.Block(ids, contents, [], vectors, []))
    return ["" if seal is None else seal.hex() for seal in made]


def chunks(items: Iterable[T], size: int = BLOCK) -> Iterator[list[T]]:
    """Items in lists of ``size``, the last of which may be shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


@contextmanager
def drafts(*paths: Path) -> Iterator[list[Path]]:
    """Yield a draft for each path; they take the paths' places when the block ends without an error.

    Raises:
        StorageError: a file cannot be written.
    """
    made = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        yield made
        for draft, path in zip(made, paths, strict=True):
            draft.replace(path)
    except SamespaceError:
        raise
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"Cannot write {paths[0]}: {error.strerror or error}.") from error
    finally:
        for draft in made:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
