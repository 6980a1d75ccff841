"""The tail of a distribution, beyond the greatest value that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tail"]

Floats = NDArray[np.float64]

_SHAPES = np.linspace(-0.5, 0.5, 41)
_SHAPE_SPREAD = 0.2  # of the prior, a normal distribution around 0, the exponential tail
_SCALES = np.linspace(-6.0, 6.0, 61)  # in standard errors
_HALVINGS = 60
_FINEST = 1e-4  # of the start; the mean excess is no less, so that equal values lie within, however they are rounded


@dataclass(frozen=True, eq=False)
class Tail:
    """What the values above a high one are like: a generalised Pareto distribution, and how sure that is.

    Beyond a high enough value every common distribution becomes one (Pickands, Annals of Statistics 3, 1975; Balkema
    and de Haan, Annals of Probability 2, 1974). A few hundred values do not say which one, so this is all of them,
    weighted by how well they explain the values: :meth:`beyond` is the chance that the *next* value lies beyond (the
    predictive distribution; Coles and Powell, International Statistical Review 64, 1996). With one fitted
    distribution instead, thresholds come out too low as often as too high, and what the low ones cost is more.

    Attributes:
        start: where the tail begins.
        share: of all values, those that lie beyond ``start``.
        shapes, scales, weights: of the distributions, each of shape (m,).
    """

    start: float
    share: float
    shapes: Floats
    scales: Floats
    weights: Floats

    @classmethod
    def of(cls, values: Floats, share: float, *, below: float = np.inf) -> Self:
        """Learn the tail of some values.

        Args:
            values: float64 of shape (n,).
            share: of the values that are the tail.
            below: values from here on were left out, whatever they were; none of ``values`` is so great.
        """
        ordered = np.sort(values)
        first = len(ordered) - max(2, round(share * len(ordered)))
        start = float(ordered[first - 1])
        excess = ordered[first:] - start
        mean = max(float(excess.mean()), _FINEST * abs(start), np.finfo(np.float64).tiny)
        shapes = np.repeat(_SHAPES, len(_SCALES))
        # The mean of the distribution is scale / (1 - shape); its logarithm is known to about 1.5 / √n.
        scales = mean * (1 - shapes) * np.exp(np.tile(_SCALES, len(_SHAPES)) * 1.5 / np.sqrt(len(excess)))
        likelihood = -((shapes / _SHAPE_SPREAD) ** 2) / 2 - len(excess) * np.log(scales)
        if below < np.inf:
            with np.errstate(divide="ignore"):
                likelihood -= len(excess) * np.log1p(-_survival((below - start) / scales, shapes))
        for part in np.array_split(np.arange(len(shapes)), len(_SHAPES)):
            shape, scale = shapes[part][:, None], scales[part][:, None]
            likelihood[part] += _log_density(excess / scale, shape).sum(axis=1)
        weights = np.exp(likelihood - likelihood.max())
        return cls(start, len(excess) / len(ordered), shapes, scales, weights / weights.sum())

    def beyond(self, value: float) -> float:
        """The chance that the next value lies beyond ``value``, which lies beyond ``start``."""
        return self.share * float(self.weights @ _survival((value - self.start) / self.scales, self.shapes))

    def quantile(self, chance: float) -> float:
        """The value beyond which the next one lies with this chance, which is less than ``share``."""
        step = float(self.weights @ self.scales)
        while self.beyond(self.start + step) > chance:
            step *= 2
        low, high = 0.0, step
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.beyond(self.start + middle) > chance else (low, middle)
        return self.start + high


def _log_density(excess: Floats, shape: Floats) -> Floats:
    """The logarithm of the density at a scale of 1; -inf beyond the end of a tail that has one."""
    inside = 1 + shape * excess
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(shape == 0, -excess, -(1 + 1 / shape) * np.log(inside))
    return np.where(inside > 0, density, -np.inf)


def _survival(excess: Floats, shape: Floats) -> Floats:
    """The chance of more than ``excess``, at a scale of 1."""
    inside = np.maximum(1 + shape * excess, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shape == 0, np.exp(-excess), inside ** (-1 / shape))
