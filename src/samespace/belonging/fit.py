"""The mean and the covariance of features, shrunk so that they tell own rows from strangers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from samespace.belonging.tail import Tail
from samespace.vectors import Matrix

__all__ = ["Fit"]

Floats = NDArray[np.float64]

# The tail is a twentieth of the distances, but no more than 100 or a fiftieth: of many rows, those further out say it
# better.
_TAIL, _ENOUGH_TAIL, _LEAST_TAIL = 0.05, 100, 0.02
_STRANGE = 0.01  # quantile of the strangers' distances, from which on a row may be one of them
_NEAREST = 0.001  # quantile of the strangers' distances that counts as the nearest
_UNEXPLAINED = 10.0  # times as many rows as the tail of the others explains
_MOST = 0.05  # of the rows; more cannot be told from rows that are rare
_NEARLY = 0.995  # of the best power; the least shrinkage that has it finds most of what is less strange
_ENOUGH = 5_000  # rows for a median
_MEDIAN = 0.4549  # of the squares of a normal distribution of variance 1
_BLOCK = 8192  # rows

# The least is also the noise that own vectors may have, such as where an index keeps them in 8 bits.
_SHRINKAGES = np.array([1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 2e-1, 3e-1, 5e-1])


@dataclass(frozen=True, eq=False)
class Fit:
    """A distribution of features, and how far rows and strangers lie from it.

    Attributes:
        centre: mean of the rows, float32 of shape (f,).
        covariance: shrunk, float64 of shape (f, f).
        distances: of the rows, each from what the others are like, float64 of shape (n,).
        strange: distances of the strangers, float64 of shape (s,).
        threshold: the distance beyond which the next row lies with the chance that was asked for.
        own: rows that are no strangers, bool of shape (n,).
    """

    centre: Matrix
    covariance: Floats
    distances: Floats
    strange: Floats
    threshold: float
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Matrix, strangers: Matrix, chance: float, *, robust: bool = False) -> Self:
        """Fit rows, which must not all be alike.

        Args:
            rows: float32 of shape (n, f).
            strangers: rows of another distribution, float32 of shape (s, f).
            chance: of a distance beyond the threshold.
            robust: measure how much rows vary along each principal axis by the median, which a few rows that all
                lie far off in one direction do not move (as Maronna and Zamar, Technometrics 44, 2002, do).
        """
        n, width = rows.shape
        centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = rows - centre
        variances, axes = np.linalg.eigh((centred.T @ centred / n).astype(np.float64))
        variances = np.maximum(variances, 0)
        if robust:
            along = centred[:: max(1, n // _ENOUGH)] @ axes.astype(np.float32)
            medians = np.median(along**2, axis=0).astype(np.float64) / _MEDIAN
            variances = medians if medians.any() else variances  # more than half of the rows may be one text
        mean = variances.mean()
        shrunk = (1 - _SHRINKAGES[:, None]) * variances + _SHRINKAGES[:, None] * mean
        inside = _squares(centred, axes, shrunk)
        # What a row's distance would be had the rest been fitted without it (Sherman and Morrison 1950).
        leverage = np.minimum((1 - _SHRINKAGES) / (n - 1) * inside, 1 - 1e-9)
        distances = np.sqrt((n / (n - 1)) ** 2 * inside / (1 - leverage) / width)
        strange = np.sqrt(_squares(strangers - centre, axes, shrunk) / width)

        fits = []
        for spread, near, far in zip(shrunk, distances.T, strange.T, strict=True):
            own, threshold = _parted(near, far, chance)
            fits.append(cls(centre, (axes * spread) @ axes.T, near, far, threshold, own))
        best = max(fit.power for fit in fits)
        return next(fit for fit in fits if fit.power >= _NEARLY * best)

    @property
    def power(self) -> float:
        """The share of strangers beyond the threshold."""
        return self.beyond(self.threshold)

    def beyond(self, threshold: float) -> float:
        """The share of strangers beyond a threshold."""
        return float((self.strange > threshold).mean())

    def between(self) -> float:
        """The middle between the threshold and the nearest strangers, if they leave room; else the threshold."""
        nearest = float(np.quantile(self.strange, _NEAREST))
        return max(self.threshold, (self.threshold + nearest) / 2)

    def whitening(self) -> Matrix:
        """The lower triangular matrix that makes features uncorrelated and of unit variance, float32 (f, f)."""
        return np.linalg.inv(np.linalg.cholesky(self.covariance)).astype(np.float32)


def _squares(centred: Matrix, axes: Floats, variances: Floats) -> Floats:
    """Squared Mahalanobis distances by each row of variances, float64 of shape (n, g)."""
    squares = np.empty((len(centred), len(variances)))
    turn, weights = axes.astype(np.float32), (1 / variances.T).astype(np.float32)
    for first in range(0, len(centred), _BLOCK):
        part = slice(first, first + _BLOCK)
        squares[part] = (centred[part] @ turn) ** 2 @ weights
    return squares


def _parted(distances: Floats, strange: Floats, chance: float) -> tuple[NDArray[np.bool_], float]:
    """Part rows from strangers among them; and the threshold by the tail of the rows."""
    share = max(_LEAST_TAIL, min(_TAIL, _ENOUGH_TAIL / len(distances)))
    bound = float(np.quantile(strange, _STRANGE))
    near = distances < bound
    if near.mean() >= 1 - _MOST and not near.all():
        tail = Tail.of(distances[near], share, below=bound)
        if (~near).sum() > _UNEXPLAINED * len(near) * tail.beyond(bound):
            return near, tail.quantile(chance)
    return np.ones(len(near), np.bool_), Tail.of(distances, share).quantile(chance)
