"""Where a store's statistics come from: the rows that samespace wrote, or what was kept of them."""

from __future__ import annotations

from collections.abc import Callable

from samespace.belonging.reservoir import Reservoir
from samespace.belonging.statistics import Statistics
from samespace.errors import InvalidInput
from samespace.stores.base import Store, sealed

__all__ = ["NOTE", "learned", "statistics_of"]

NOTE = "statistics"
_SAMPLE = 50_000


def statistics_of(store: Store) -> Statistics | None:
    """The statistics that a store keeps; None if it keeps none."""
    kept = store.note(NOTE)
    return None if kept is None else Statistics.from_bytes(kept)


def learned(store: Store, *, progress: Callable[[int], None] | None = None, seed: int = 0) -> Statistics | None:
    """Learn from a uniform sample of the rows whose seal fits, so that strangers teach nothing.

    Args:
        store: to read.
        progress: called with the number of rows just read.
        seed: of the sample.

    Returns:
        the statistics; None where there are too few rows.
    """
    sample = Reservoir(_SAMPLE, store.space.dimension, seed=seed)
    for block, _ in store.scan():
        sample.extend(block.vectors[sealed(store.space, block)])
        if progress is not None:
            progress(len(block))
    try:
        return Statistics.learn(sample.sample, store.space, seed=seed)
    except InvalidInput:
        return None
