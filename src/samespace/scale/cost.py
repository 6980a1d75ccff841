"""What paid encoders cost: told before the work, capped in it, and summed up over the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from samespace.encoders.base import Encoder
from samespace.encoders.providers.metering import Estimate, Spent
from samespace.scale.shards import Fields, Part, read, samples

__all__ = ["Tell", "expected", "share", "spent_of"]

Tell = Callable[[Estimate | Spent], None]
"""Called with what will be spent, before anything is, and at the end with what was; an error may be the end."""


def spent_of(encoder: Encoder) -> Spent | None:
    """What an encoder has spent so far; None if it costs nothing."""
    spent = getattr(encoder, "spent", None)
    return spent if isinstance(spent, Spent) else None


def expected(encoder: Encoder, parts: Sequence[Part], fields: Fields) -> Estimate | None:
    """What the rows of all parts cost, judged by the first of them; None of an encoder that costs nothing.

    Rows that the collection has already cost nothing, so this is an upper bound, as far as the first rows are like
    the others.
    """
    estimate = getattr(encoder, "estimate", None)
    if not encoder.paid or estimate is None:
        return None
    total: Estimate = estimate([])
    for part, times in samples(parts):
        one: Estimate = estimate([row.content for row in read(part, fields, _passed_over)])
        total = Estimate(
            total.tokens + round(one.tokens * times),
            None if total.cost is None or one.cost is None else total.cost + one.cost * times,
            total.currency,
        )
    return total


def share(max_cost: float | None, spent: Spent | None, workers: int) -> float | None:
    """What each of the workers may spend."""
    if max_cost is None:
        return None
    return max(0.0, max_cost - (spent.cost or 0.0 if spent else 0.0)) / workers


def _passed_over(_row: str) -> None:
    """A row that cannot be used is told of when its part is done."""
