"""Arrays that know their space, and the one function that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, InvalidVectors
from samespace.space import Metric, Role, Space

__all__ = [
    "Matrix",
    "Receipts",
    "Stored",
    "Vectors",
    "are_vectors",
    "as_matrix",
    "concatenate",
    "score",
    "similarity",
    "unit",
]

Matrix = NDArray[np.float32]
Stored = NDArray[np.float32 | np.float16]
"""Vectors as a collection keeps them."""

_ROLES = get_args(Role)
# float32 and bfloat16 encoders leave unit vectors within this of 1; a vector farther off was never normalised.
_UNIT_TOLERANCE = 1e-2
_SHORTEST, _LONGEST = (1 - _UNIT_TOLERANCE) ** 2, (1 + _UNIT_TOLERANCE) ** 2


@dataclass(frozen=True, eq=False)
class Receipts:
    """What happened to items on their way to vectors.

    Args:
        seen: tokens that the model read, int32 of shape (n,).
        total: tokens that the item has, int32 of shape (n,); 0 where nobody counted them.
    """

    seen: NDArray[np.int32]
    total: NDArray[np.int32]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """True where the model read less than there is, shape (n,)."""
        return self.seen < self.total

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> Receipts:
        return Receipts(self.seen[rows], self.total[rows])


class Vectors:
    """An ``(n, dimension)`` float32 array together with its space and role.

    Args:
        array: anything that numpy reads as a two-dimensional array of floats. float64 and float16 become
            float32. The array is copied only if it must be; do not change it afterwards.
        space: the space in which the vectors live.
        role: ``"document"`` or ``"query"``.
        receipts: what the encoder noted, one for each row.

    Raises:
        InvalidVectors: wrong shape or dtype, a ragged list, NaN or infinity, a zero vector under cosine,
            or a vector that is not of unit length in a space that says its vectors are. Names the row.
    """

    __slots__ = ("_unit", "array", "receipts", "role", "space")

    def __init__(self, array: Any, space: Space, role: Role = "document", *, receipts: Receipts | None = None) -> None:
        if not isinstance(space, Space):
            raise InvalidInput(
                f"Vectors need the Space they live in, got {type(space).__name__}. "
                "Pass encoder.space, or declare one: Space(model=..., dimension=..., metric=...)."
            )
        if role not in _ROLES:
            raise InvalidInput(f"role must be 'document' or 'query', got {role!r}.")
        if receipts is not None and not isinstance(receipts, Receipts):
            raise InvalidInput(f"receipts must be Receipts or None, got {type(receipts).__name__}.")
        matrix = as_matrix(array, space.dimension)
        if receipts is not None and len(receipts) != len(matrix):
            raise InvalidVectors(f"{len(receipts)} receipts came for {len(matrix)} vectors.")
        low, high = _check_values(matrix, space)
        self.array: Matrix = matrix
        self.space: Space = space
        self.role: Role = role
        self.receipts: Receipts | None = receipts
        self._unit: Matrix | None = matrix if space.metric != "cosine" or _are_unit(low, high) else None

    @property
    def comparable(self) -> Matrix:
        """The array as the metric wants it: unit length under cosine, as it is otherwise. Computed once."""
        if self._unit is None:
            self._unit = unit(self.array)
        return self._unit

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> Vectors:
        """Some of the rows, as Vectors; the checks are not run again."""
        if isinstance(rows, int | np.integer):
            raise InvalidInput(f"Index Vectors by a slice or a list of rows: vectors[{rows}:{rows + 1}].")
        if not isinstance(rows, slice | list | np.ndarray):
            raise InvalidInput(f"Index Vectors by a slice, a list or an array of rows, got {rows!r}.")
        part = object.__new__(Vectors)
        part.array, part.space, part.role = self.array[rows], self.space, self.role
        part.receipts = None if self.receipts is None else self.receipts[rows]
        part._unit = None if self._unit is None else self._unit[rows]
        return part

    def __repr__(self) -> str:
        return f"Vectors({len(self):,} × {self.space.dimension}, {self.role}, {self.space})"


def concatenate(parts: Sequence[Vectors], space: Space, role: Role) -> Vectors:
    """Put parts of one space and role together; no parts give Vectors of shape (0, dimension).

    Raises:
        SpaceMismatch: a part lives in another space.
    """
    for part in parts:
        space.require(part.space, "put these vectors together")
    if len(parts) == 1 and parts[0].role == role:
        return parts[0]
    receipts = [part.receipts for part in parts if part.receipts is not None]
    none = np.empty(0, np.int32)
    return Vectors(
        np.concatenate([np.empty((0, space.dimension), np.float32), *(part.array for part in parts)]),
        space,
        role,
        receipts=Receipts(
            np.concatenate([none, *(each.seen for each in receipts)]),
            np.concatenate([none, *(each.total for each in receipts)]),
        )
        if len(receipts) == len(parts)
        else None,
    )


def similarity(a: Vectors, b: Vectors) -> Matrix:
    """Score every row of ``a`` against every row of ``b`` with the metric of their space.

    Returns:
        float32 of shape ``(len(a), len(b))``; higher is better: cosine similarity, dot product, or minus
        the Euclidean distance.

    Raises:
        SpaceMismatch: the two live in different spaces.
    """
    for side in (a, b):
        if not isinstance(side, Vectors):
            raise InvalidInput(
                f"similarity compares Vectors, got {type(side).__name__}. "
                "Give a raw array its space first: Vectors(array, space, role)."
            )
    a.space.require(b.space, "compare these vectors")
    return score(a.comparable, b.comparable, a.space.metric)


def score(queries: Matrix, documents: Matrix, metric: Metric) -> Matrix:
    """Score comparable arrays (unit rows under cosine): ``(q, dim)`` × ``(n, dim)`` → ``(q, n)``, higher is better."""
    if metric != "euclidean":
        products: Matrix = queries @ documents.T
        return products
    # |q-d|² = |q|² - 2qd + |d|² in one matrix product. The subtraction cancels where q and d are close, so it
    # is done in float64; a float32 distance between near-duplicates would be noise.
    wide_q, wide_d = queries.astype(np.float64), documents.astype(np.float64)
    squares = (wide_q**2).sum(1)[:, None] - 2.0 * (wide_q @ wide_d.T) + (wide_d**2).sum(1)[None, :]
    distances: Matrix = -np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
    return distances


def unit(array: Matrix) -> Matrix:
    """Scale every row to length 1, in float64 so that neither large nor tiny values over- or underflow."""
    squares = _squares(array)
    if _are_unit(*_range(squares)):
        return array
    scaled: Matrix = (array / np.sqrt(squares)[:, None]).astype(np.float32)
    return scaled


def _squares(array: Matrix) -> NDArray[np.float64]:
    """Squared lengths of the rows."""
    if len(array) == 1:  # a query; a copy of it is quicker than numpy's conversion on the way
        array = array.astype(np.float64)
    squares: NDArray[np.float64] = np.vecdot(array, array, dtype=np.float64)
    return squares


def _range(squares: NDArray[np.float64]) -> tuple[float, float]:
    """The least and the greatest; NaN if any is NaN, and 1 if there are none."""
    if len(squares) <= 1:
        value = squares.item() if len(squares) else 1.0
        return value, value
    return float(squares.min()), float(squares.max())


def _are_unit(low: float, high: float) -> bool:
    """Tell from the range of squared lengths whether rows have length 1, as nearly as float32 can."""
    return low > 1.0 - 2e-6 and high < 1.0 + 2e-6


def are_vectors(array: Matrix, space: Space) -> NDArray[np.bool_]:
    """Tell row by row what can be vectors of the space: finite, not all zeros, of unit length where it says so."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = _squares(array)
    good: NDArray[np.bool_] = np.isfinite(squares) & (squares > 0)
    if space.normalized:
        good &= (squares >= _SHORTEST) & (squares <= _LONGEST)
    return good


def as_matrix(array: Any, dimension: int) -> Matrix:
    """Turn ``array`` into a C-contiguous native float32 array of shape ``(n, dimension)``, or say why not."""
    try:
        matrix = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise InvalidVectors(_ragged(array, dimension) or f"This is not an array of vectors: {error}.") from error
    if matrix.size == 0 and matrix.ndim <= 2 and (matrix.ndim < 2 or matrix.shape[1] in (0, dimension)):
        return np.empty((0, dimension), np.float32)
    if matrix.dtype == object:
        raise InvalidVectors(_ragged(array, dimension) or "Expected floats, got Python objects.")
    if matrix.dtype.kind != "f":
        raise InvalidVectors(
            f"Expected an array of floats, got dtype {matrix.dtype}. Convert it with array.astype('float32')."
        )
    if matrix.ndim != 2:
        hint = " One vector is a matrix of one row: array[None, :]." if matrix.ndim == 1 else ""
        raise InvalidVectors(f"Expected shape (n, {dimension}), got {matrix.shape}.{hint}")
    if matrix.shape[1] != dimension:
        raise InvalidVectors(f"Expected vectors of dimension {dimension}, got {matrix.shape[1]}.")
    if matrix.dtype == np.float32:
        return np.ascontiguousarray(matrix, dtype=np.float32)  # of native byte order
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is reported with its row
        return np.ascontiguousarray(matrix, dtype=np.float32)


def _ragged(array: Any, dimension: int) -> str | None:
    """Name the first row of a list of lists that has another length."""
    if not isinstance(array, list | tuple | np.ndarray):
        return None
    for row, values in enumerate(array):
        length = len(values) if isinstance(values, Sequence | np.ndarray) else None
        if length != dimension:
            found = f"length {length}" if length is not None else f"a {type(values).__name__}"
            return f"Expected rows of {dimension} floats; row {row} is {found}."
    return None


def _check_values(matrix: Matrix, space: Space) -> tuple[float, float]:
    """Refuse what cannot be vectors of the space; else the range of the squared lengths."""
    squares = _squares(matrix)
    low, high = _range(squares)
    if low > 0.0 and high < np.inf and not (space.normalized and (low < _SHORTEST or high > _LONGEST)):
        return low, high
    if not np.isfinite(squares).all():
        row = int(np.flatnonzero(~np.isfinite(squares))[0])
        what = "NaN" if np.isnan(matrix[row]).any() else "infinity"
        raise InvalidVectors(f"Row {row} contains {what}; every number of a vector must be a finite float32.")
    if space.metric == "cosine" and not squares.all():
        row = int(np.flatnonzero(squares == 0)[0])
        raise InvalidVectors(f"Row {row} is all zeros, which has no direction and so no cosine similarity.")
    if space.normalized:
        off = np.abs(np.sqrt(squares) - 1.0)
        if off.max(initial=0.0) > _UNIT_TOLERANCE:
            row = int(off.argmax())
            raise InvalidVectors(
                f"Row {row} has length {np.sqrt(squares[row]):.4g}, but the space {space} says its vectors have "
                "length 1. Either they are not of this space, or they were shortened and not normalised again."
            )
    return low, high
