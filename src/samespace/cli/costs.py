"""What a paid encoder will cost, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samespace.cli import output

if TYPE_CHECKING:
    from samespace.encoders.providers.metering import Estimate, Spent

__all__ = ["note_estimate", "note_spent"]


def note_estimate(estimate: Estimate, max_cost: float | None, *, as_json: bool, is_sampled: bool = False) -> None:
    """Say what will be spent, before anything is sent.

    Args:
        estimate: of everything.
        max_cost: the cap, if there is one.
        as_json: programs read the output.
        is_sampled: it was judged by some of the rows; or else all were read.
    """
    if not estimate.tokens:
        return
    cost = None if estimate.cost is None else f"{estimate.cost:.3g} {estimate.currency}"
    said = f"about {estimate.tokens:,} tokens to encode"
    if cost is not None:
        said += f", about {cost}" if is_sampled else f", {cost} at most"
    if is_sampled:
        said += ", judged by some of the rows"
    if estimate.cost is not None:
        said += "; what the cache has costs nothing"
        if max_cost is not None and estimate.cost > max_cost:
            said += f". The cap of {max_cost:g} may end it early; the same command then goes on"
    output.note(said, as_json=as_json)


def note_spent(spent: Spent | None, *, at_least: bool = False) -> None:
    """Say what was spent, if anything."""
    if spent:
        cost = "" if spent.cost is None else f", {spent.cost:.3g} {spent.currency}"
        requests = ("at least " if at_least else "") + output.plural(spent.requests, "request")
        output.note(f"{requests}, {spent.tokens:,} tokens{cost}")
