"""What a paid encoder will cost, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samespace.cli import output

if TYPE_CHECKING:
    from samespace.encoders.providers.metering import Estimate, Spent

__all__ = ["note_estimate", "note_spent"]


def note_estimate(estimate: Estimate, max_cost: float | None, *, as_json: bool, basis: str = "") -> None:
    """Say what will be spent, before anything is sent.

    Args:
        estimate: of everything.
        max_cost: the cap, if there is one.
        as_json: programs read the output.
        basis: what the estimate was made of, if not of everything.
    """
    if not estimate.tokens:
        return
    said = f"about {estimate.tokens:,} tokens to encode"
    if estimate.cost is not None:
        said += f", {estimate.cost:.3g} {estimate.currency} at most{basis}; what the cache has costs nothing"
        if max_cost is not None and estimate.cost > max_cost:
            said += f". The cap of {max_cost:g} may end it early; the same command then goes on"
    output.note(said, as_json=as_json)


def note_spent(spent: Spent | None) -> None:
    """Say what was spent, if anything."""
    if spent:
        cost = "" if spent.cost is None else f", {spent.cost:.3g} {spent.currency}"
        output.note(f"{output.plural(spent.requests, 'request')}, {spent.tokens:,} tokens{cost}")
