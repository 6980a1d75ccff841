"""What paid encoders cost: told before the work, capped in it, and summed up over the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from samespace.encoders.base import Encoder
from samespace.encoders.providers.metering import Estimate, Spent
from samespace.errors import CostExceeded
from samespace.scale.sampling import samples
from samespace.scale.shards import Fields, Part

__all__ = ["Purse", "Tell", "Treasury", "expected", "spent_of"]

_SLICES = 8  # that a worker's share would have, if all were drawn at once


class Tell(Protocol):
    """Is told what a paid encoder will cost, and what it cost."""

    def expected(self, estimate: Estimate | None) -> None:
        """Before anything is spent on rows.

        Args:
            estimate: of what is to be done, judged by some of the rows; None if none of them could be read.
        """

    def spent(self, spent: Spent, *, at_least: bool) -> None:
        """At the end, which an error or Ctrl-C may be.

        Args:
            spent: by this process and all workers.
            at_least: some workers could not tell any more what they spent.
        """


def spent_of(encoder: Encoder) -> Spent | None:
    """What an encoder has spent so far; None if it costs nothing."""
    spent = getattr(encoder, "spent", None)
    return spent if isinstance(spent, Spent) else None


def expected(encoder: Any, parts: Sequence[Part], fields: Fields) -> Estimate | None:
    """Estimate what the rows of all parts cost by some of them. Nothing is sent.

    Rows that the collection or the cache has cost nothing, and are counted all the same.

    Args:
        encoder: that can estimate.
        parts: to be done.
        fields: what the columns are.

    Returns:
        None if none of the rows that were tried can be used.
    """
    total: Estimate | None = None
    for sample in samples(parts, fields):
        one: Estimate = encoder.estimate(sample)
        if sample.texts:
            cost = None if one.cost is None else one.cost * sample.times
            one = Estimate(round(one.tokens * sample.times), cost, one.currency)
            total = one if total is None else total + one
    return total


class Purse(Protocol):
    """What a worker may spend is drawn from it."""

    def draw(self, needed: float = 0.0) -> float:
        """Take so much at least.

        Raises:
            CostExceeded: there is less.
        """

    def give_back(self, rest: float) -> None:
        """All that was drawn is spent, but for the rest."""


class Treasury:
    """What all workers may spend, who draw it in slices: one that dies takes no more with it than the slice it held.

    Args:
        cap: of the whole.
        spent: of that already.
        workers: who draw.
    """

    def __init__(self, cap: float, spent: float, workers: int) -> None:
        self._cap, self._left, self._drawn = cap, cap - spent, 0.0
        self._slices = _SLICES * workers

    def draw(self, needed: float = 0.0) -> float:
        """Hand out so much at least.

        Raises:
            CostExceeded: there is less.
        """
        left = max(self._left, 0.0)
        if needed > left:
            raise CostExceeded(
                f"The next request needs about {needed:.3g} more than its worker has drawn. Of the cap of "
                f"{self._cap:g} for all workers {self._cap - self._left - self._drawn:.3g} is spent, "
                f"{self._drawn:.3g} is drawn for parts under way or was lost with workers that died, and {left:.3g} is "
                "left."
            )
        piece = max(needed, left / self._slices)
        self._left -= piece
        self._drawn += piece
        return piece

    def settle(self, drawn: float, rest: float) -> None:
        """All that a worker has drawn is spent, but for the rest."""
        self._drawn -= drawn
        self._left += rest
