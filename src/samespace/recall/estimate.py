"""What part of the true hits was found, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from samespace.indexes.base import Neighbours

__all__ = ["Estimate", "Shares", "estimate", "recalls"]

Shares = NDArray[np.float64]

_CONFIDENCE = 0.95
_DRAWS = 10_000  # put the ends of the interval at .025 ± .0016 of their distribution


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean recall of queries like those that were measured.

    Attributes:
        recall: mean share of the true hits that were found.
        low, high: ends of its two-sided 95 % interval.
        queries: how many were measured.
    """

    recall: float
    low: float
    high: float
    queries: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` made."""
        return cls(**values)


def recalls(found: Neighbours, truth: Neighbours) -> Shares:
    """The share of the true hits that each query found, float64 of shape (q,).

    Both answers are to one ``k``. A hit that scores as well as the last true one counts, since which of equal
    hits come last is a matter of order; a query whose truth is empty found all of it.
    """
    true = truth.positions >= 0
    counts = true.sum(axis=1)
    if not counts.any():
        return np.ones(len(counts))
    last = np.take_along_axis(truth.scores, np.maximum(counts - 1, 0)[:, None], axis=1)
    # Both were computed in float64; rounding to float32 may have parted equal ones by a single step.
    good = (found.scores >= np.nextafter(last, np.float32(-np.inf))) & (found.positions >= 0)
    return np.where(counts > 0, np.minimum(good.sum(axis=1), counts) / np.maximum(counts, 1), 1.0)


def estimate(shares: Shares | Sequence[float]) -> Estimate:
    """Estimate the mean of independent shares between 0 and 1, of any distribution.

    The interval is that of Learned-Miller and Thomas ("A New Confidence Interval for the Mean of a Bounded
    Random Variable", arXiv 1905.06208, 2019): the distribution of the mean under random (Dirichlet) weights of
    the shares *and of one more query*, which found nothing for the lower end, and everything for the upper one.
    So a thousand queries that found everything do not show a recall of 1, but one of at least .9963. Of shares
    that are 0 or 1 it is the interval of Clopper and Pearson (Biometrika 26, 1934); of shares that differ less,
    it is narrower. ``tests/recall`` measures its coverage.

    The weights are drawn from a fixed seed: the same shares give the same interval.
    """
    values, counts = np.unique(np.asarray(shares, np.float64), return_counts=True)
    n = int(counts.sum())
    if n == 0:
        return Estimate(1.0, 0.0, 1.0, 0)
    mean = float(values @ counts / n)
    random = np.random.default_rng(0)
    weights = random.standard_gamma(counts, (_DRAWS, len(counts)))
    one = random.standard_exponential(_DRAWS)
    sums, total = weights @ values, weights.sum(axis=1) + one
    tail = (1.0 - _CONFIDENCE) / 2.0
    low = float(np.quantile(sums / total, tail))
    high = float(np.quantile((sums + one) / total, 1.0 - tail))
    return Estimate(mean, min(low, mean), max(high, mean), n)
