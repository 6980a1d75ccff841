"""Where a store's statistics come from: the rows that samespace wrote, or what was kept of them."""

from __future__ import annotations

import numpy as np

from samespace.belonging.reservoir import Reservoir
from samespace.belonging.statistics import Statistics
from samespace.errors import InvalidInput
from samespace.stores.base import Block, Store, seals

__all__ = ["NOTE", "learned", "statistics_of"]

NOTE = "statistics"
_SAMPLE = 20_000


def statistics_of(store: Store) -> Statistics | None:
    """The statistics that a store keeps; None if it keeps none."""
    kept = store.note(NOTE)
    return None if kept is None else Statistics.from_bytes(kept)


def learned(store: Store, *, most: int | None = None, seed: int = 0) -> Statistics | None:
    """Learn from a uniform sample of the rows whose seal fits, so that strangers teach nothing.

    Args:
        store: to read.
        most: rows to read, from the first on; None reads all.
        seed: of the sample.

    Returns:
        the statistics; None where there are too few rows.
    """
    sample = Reservoir(_SAMPLE, store.space.dimension, seed=seed)
    read = 0
    for block, _ in store.scan():
        sample.extend(block.vectors[_is_sealed(store, block)])
        read += len(block)
        if most is not None and read >= most:
            break
    try:
        return Statistics.learn(sample.sample, store.space, seed=seed)
    except InvalidInput:
        return None


def _is_sealed(store: Store, block: Block) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if block.seals is None:
        return np.ones(len(block), np.bool_)
    return np.array([kept == made for kept, made in zip(block.seals, seals(store.space, block), strict=True)], np.bool_)
