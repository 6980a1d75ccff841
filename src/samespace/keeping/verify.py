"""Everything that can be wrong with a collection, looked for: in its files or tables, and in its vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from samespace.belonging.checks import Suspect, check_block
from samespace.belonging.learning import NOTE, learned, statistics_of
from samespace.belonging.statistics import Statistics
from samespace.collection import Collection
from samespace.errors import StorageError

__all__ = ["VerifyReport", "verify_collection"]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found.

    Attributes:
        rows: that were read.
        problems: a sentence for each thing that is wrong with files, tables or indexes.
        suspects: rows that do not belong, in order, each with the reason.
        statistics: of the space's vectors, by which the distribution was judged; None where there were too few rows.
    """

    rows: int
    problems: list[str]
    suspects: list[Suspect]
    statistics: Statistics | None

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not self.problems and not self.suspects


def verify_collection(collection: Collection, *, progress: Callable[[int], None] | None = None) -> VerifyReport:
    """Read every row twice, and tell which do not belong.

    A row does not belong if its vector has a length that the space does not know, if its seal is missing or does not
    fit its id, content and vector, or if its vector lies where vectors of the space do not lie
    (:mod:`samespace.belonging`). What the last is judged by is learned from all rows whose seal fits, and kept with the
    collection; where there are too few such rows, what was kept before is used.

    Args:
        collection: to read.
        progress: called with the number of rows just read.
    """
    store = collection.store
    problems = collection.verify()
    statistics = learned(store, progress=progress)
    if statistics is None:
        statistics = statistics_of(store)
    else:
        with contextlib.suppress(StorageError):  # who may only read can verify all the same
            store.keep_note(NOTE, statistics.to_bytes())
    suspects: list[Suspect] = []
    rows = 0
    for block, _ in store.scan():
        suspects += check_block(block, store.space, statistics)
        rows += len(block)
        if progress is not None:
            progress(len(block))
    return VerifyReport(rows, problems, suspects, statistics)
