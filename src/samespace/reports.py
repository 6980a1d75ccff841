"""What a collection says of itself, and of what it did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samespace.space import Space
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from samespace.recall.estimate import Estimate
    from samespace.recall.tune import Tuning

__all__ = ["SERVED", "AddReport", "CompactReport", "Info", "Nearest"]

SERVED = "server"  # as the name of a tier: what is held where is up to an engine


class AddReport(NamedTuple):
    """What ``add`` did.

    Attributes:
        added: rows with a new id.
        replaced: rows whose id was there with another content or other metadata.
        unchanged: rows that were there just so; they were not encoded again.
        truncated: of the rows written, those longer than the encoder reads.
    """

    added: int
    replaced: int
    unchanged: int
    truncated: int


class Nearest(NamedTuple):
    """The answer to many queries, as arrays.

    Attributes:
        ids: of shape (q, k'), best first; k' is the most that any query found, at most k. None where a query
            found fewer.
        scores: float32 of shape (q, k'); minus infinity where a query found fewer.
    """

    ids: NDArray[np.object_]
    scores: Matrix


class CompactReport(NamedTuple):
    """Bytes on disk before and after."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Info:
    """A collection in figures.

    Of a collection on a server, what its engine does not say is 0: slots of deleted rows, memory, changes; and all
    bytes are those of the catalogue.

    Attributes:
        path: the folder, or the URL without its password.
        encoder: name of the encoder that made the vectors; None for vectors made elsewhere.
        proven: canaries are kept, by which an encoder proves that it is of this space.
        count: rows.
        deleted: slots of deleted and replaced rows, whose space ``compact`` gives back.
        truncated: rows longer than their encoder read.
        bytes_vectors, bytes_catalog, bytes_index: on disk.
        engine: that answers searches without a filter.
        indexed: slots that the index covers; the rest is compared one by one.
        memory: name of the tier (:data:`samespace.memory.TIERS`); ``"server"`` where that is up to an engine.
        memory_index: bytes that the indexes hold in memory; vectors are memory-mapped.
        sequence: number of the last change.
        declared_recall: the part of the true nearest rows that searches shall find.
        running_recall: of the live searches that were checked last; None before the first.
        checked: live searches that were checked since the collection was opened.
        alarms: how often they were found to fall short.
        tuning: what was measured on this collection, and chosen; None before.
        building: an index is being built in the background.
        note: what is not as it was asked for, and why.
    """

    path: Path | str
    space: Space
    encoder: str | None
    proven: bool
    count: int
    deleted: int
    truncated: int
    bytes_vectors: int
    bytes_catalog: int
    bytes_index: int
    engine: str
    indexed: int
    memory: str
    memory_index: int
    sequence: int
    declared_recall: float
    running_recall: Estimate | None
    checked: int
    alarms: int
    tuning: Tuning | None
    building: bool
    note: str
