"""What came back, read without trust."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.providers.failures import Failure

__all__ = ["Answer", "count", "field_of", "listed", "matrix", "same"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back, as it came.

    Attributes:
        array: float32 of shape (n, dimension), in the order of the answer.
        order: for each row the number of its text; None where the answer does not say.
        model: the name by which the answer calls the model.
        tokens: that were billed.
    """

    array: NDArray[np.float32]
    order: list[Any] | None
    model: str | None
    tokens: int | None


def field_of(answer: Any, name: str, kind: type) -> Any:
    """A field of an SDK's answer, which must be there."""
    value = getattr(answer, name, None)
    if value is None or not isinstance(value, kind):
        raise Failure(f"the answer has no {name!r}", "wrong", billed=True)
    return value


def listed(vectors: Any) -> list[Any]:
    """The vectors, which must be a list."""
    if not isinstance(vectors, list):
        raise Failure("the answer has no vectors of the kind that was asked for", "wrong", billed=True)
    return vectors


def matrix(vectors: list[Any]) -> NDArray[np.float32]:
    """Vectors as lists of numbers or as base64 of little-endian float32, in one array."""
    try:
        rows = [np.frombuffer(base64.b64decode(v), "<f4") if isinstance(v, str) else v for v in vectors]
        if lengths := {len(row) for row in rows}:
            with np.errstate(over="ignore"):  # what overflows becomes infinite, and is told as that
                array = np.array(rows, np.float32).reshape(len(rows), -1) if len(lengths) == 1 else None
        else:
            array = np.empty((0, 0), np.float32)
    except (TypeError, ValueError, OverflowError, binascii.Error):
        raise Failure("a vector of the answer is not a list of numbers", "wrong", billed=True) from None
    if array is None:
        raise Failure(f"the answer's vectors have lengths from {min(lengths)} to {max(lengths)}", "wrong", billed=True)
    return array


def same(encoded: Any, array: NDArray[np.float32]) -> bool:
    """Whether vectors in base64 are those of an array."""
    try:
        other = matrix(encoded) if isinstance(encoded, list) and encoded else None
    except Failure:
        return False
    return other is not None and other.shape == array.shape and bool(np.allclose(other, array, atol=1e-6))


def count(tokens: Any) -> int | None:
    """Tokens, if that is what it is; 0 says that nobody counted."""
    return int(tokens) if isinstance(tokens, int | float) and 0 < tokens < 1e12 else None
