"""Rows of a store that do not belong to its space."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samespace.belonging.statistics import Statistics
from samespace.errors import InvalidInput
from samespace.space import Space
from samespace.stores.base import Block, seals
from samespace.vectors import Matrix

__all__ = ["Reason", "Suspect", "check_block"]

Reason = Literal["dimension", "norm", "distribution", "seal", "unsealed"]

_OFF_UNIT = 1e-3  # that normalising and rounding to half precision leave


class Suspect(NamedTuple):
    """A row that may not belong.

    Attributes:
        id: of the row.
        why: the first that holds. ``"dimension"``: its vector has another. ``"norm"``: its vector has a length that
            no vector of the space has, or none. ``"distribution"``: its vector is not like those of the space.
            ``"seal"``: its id, content or vector is not what samespace wrote. ``"unsealed"``: samespace did not write
            it. Only the distribution may be mistaken, as often as its statistics say.
        detail: a clause with the figures.
    """

    id: str
    why: Reason
    detail: str


def check_block(block: Block, space: Space, statistics: Statistics | None) -> list[Suspect]:
    """The rows of a block that may not belong to the space, in the block's order; each once.

    Args:
        block: rows as a store's ``scan`` yields them. Without ``seals``, seals are not looked at.
        space: that they should belong to.
        statistics: of the space; None leaves the distribution out.

    Raises:
        InvalidInput: the statistics are of another space.
    """
    if statistics is not None and statistics.space_id != space.id:
        raise InvalidInput(
            f"The statistics are of the space {statistics.space_id[:8]}, and the rows of {space}. "
            "Learn statistics from rows of this space."
        )
    if block.vectors.shape[1] != space.dimension:
        detail = f"dimension {block.vectors.shape[1]}, not {space.dimension}"
        return [Suspect(name, "dimension", detail) for name in block.ids]
    lengths = np.sqrt(np.einsum("ij,ij->i", block.vectors, block.vectors, dtype=np.float64))
    impossible = _impossible(lengths, space)
    far: NDArray[np.bool_] = np.zeros(len(block), np.bool_)
    if statistics is not None:
        distances = statistics.distance(block.vectors)
        far = distances > statistics.threshold
    unsealed, broken = _unsealed_and_broken(block, space)

    suspects = []
    for row in np.flatnonzero(impossible | far | broken | unsealed).tolist():
        name = block.ids[row]
        if impossible[row]:
            suspects.append(Suspect(name, "norm", _norm(block.vectors[row], float(lengths[row]))))
        elif statistics is not None and far[row]:
            detail = f"distance {distances[row]:.3g}; rows of the space lie within {statistics.threshold:.3g}"
            suspects.append(Suspect(name, "distribution", detail))
        elif broken[row]:
            suspects.append(Suspect(name, "seal", "its id, content or vector was changed after samespace wrote it"))
        else:
            suspects.append(Suspect(name, "unsealed", "it has no seal, so samespace did not write it"))
    return suspects


def _impossible(lengths: NDArray[np.float64], space: Space) -> NDArray[np.bool_]:
    """True where no comparable vector of the space has this length."""
    if space.metric == "cosine":
        return ~(np.abs(lengths - 1) <= _OFF_UNIT)
    if space.normalized:
        return ~(np.abs(lengths - 1) <= 10 * _OFF_UNIT)  # as Vectors allows
    return ~np.isfinite(lengths)


def _norm(vector: Matrix, length: float) -> str:
    if np.isfinite(vector).all():
        return f"length {length:.6g}, not 1"
    return "NaN" if np.isnan(vector).any() else "infinity"


def _unsealed_and_broken(block: Block, space: Space) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """True where a row has no seal, and where it has one that does not fit."""
    if block.seals is None:
        none = np.zeros(len(block), np.bool_)
        return none, none
    unsealed = np.array([seal is None for seal in block.seals], np.bool_)
    fits = [kept == made for kept, made in zip(block.seals, seals(space, block), strict=True)]
    return unsealed, ~unsealed & ~np.array(fits, np.bool_)
