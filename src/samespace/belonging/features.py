"""What of a vector is measured: its direction, and its length where the metric does not ignore it."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from samespace.vectors import Matrix

__all__ = ["WIDEST", "directions", "with_lengths"]

WIDEST = 1024
"""Coordinates of a direction. Their covariance then has a million numbers; longer vectors are folded."""

_SHORTEST = 1e-30  # has a logarithm


def directions(vectors: Matrix) -> Matrix:
    """The vectors at unit length, float32 of shape (n, min(dimension, 1024)); zeros stay zeros.

    Coordinates that are 1,024 apart are added with random signs (Weinberger and others, "Feature Hashing for Large
    Scale Multitask Learning", 2009), which keeps differences of distributions in all but a few directions.
    """
    lengths = np.maximum(_lengths(vectors), _SHORTEST)
    if vectors.shape[1] <= WIDEST:
        return (vectors / lengths[:, None]).astype(np.float32)
    folded = np.zeros((len(vectors), WIDEST))
    signs = _signs(vectors.shape[1])
    for first in range(0, vectors.shape[1], WIDEST):
        part = slice(first, first + WIDEST)
        folded[:, : len(signs[part])] += vectors[:, part] * signs[part]
    return (folded / lengths[:, None]).astype(np.float32)


def with_lengths(vectors: Matrix) -> Matrix:
    """Directions, and the logarithm of the length as one more column."""
    lengths = np.log(np.maximum(_lengths(vectors), _SHORTEST)).astype(np.float32)
    return np.column_stack((directions(vectors), lengths))


def _lengths(vectors: Matrix) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return lengths


def _signs(dimension: int) -> NDArray[np.float32]:
    """The same signs on every machine, in every version of numpy: what was learned with them is kept."""
    bits = np.frombuffer(hashlib.shake_128(b"samespace").digest(-(-dimension // 8)), np.uint8)
    return np.unpackbits(bits)[:dimension].astype(np.float32) * 2 - 1
