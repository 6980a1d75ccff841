"""What answers for which rows of a view: a main index, a built one over the same rows, a young one, and the tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samespace.indexes.base import Index, Mask, Neighbours
from samespace.indexes.exact import search_exactly
from samespace.ranking import merge
from samespace.recall.tune import Tuning
from samespace.stores.local import View
from samespace.vectors import Matrix

__all__ = ["Cover"]


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """The parts of an index at one moment. Never changed, only replaced; so a search sees parts that fit together.

    Indexes may grow while a search runs; the numbers of rows here say how much of them this cover uses.

    Attributes:
        first_slot: of the generation of slots that the positions are of.
        main: answers any search over the first ``main_rows`` rows: the scan, or exact search.
        fast: a built engine over the same rows; None if there is none.
        tuning: what was measured when ``fast`` was made, or when it was found not to pay.
        generation: rises whenever something else answers than before; 0 is what is made for one search.
        young: over the next ``young_rows`` rows, so that adding a few does not make a large index anew.
    """

    first_slot: int
    main: Index
    main_rows: int
    young: Index
    young_rows: int = 0
    fast: Index | None = None
    tuning: Tuning | None = None
    generation: int = 0

    @property
    def rows(self) -> int:
        """Rows that are indexed; those beyond are compared one by one."""
        return self.main_rows + self.young_rows

    def search(self, view: View, queries: Matrix, k: int, allowed: Mask | None, effort: int | None) -> Neighbours:
        """The ``k`` best allowed positions of the view. ``effort`` is of the built engine; None leaves it out."""
        n, border = len(view.live), self.main_rows
        first = self.main if effort is None or self.fast is None else self.fast
        found = _ask(first, 0, min(border, n), queries, k, allowed, effort if first is self.fast else None)
        if n > border and self.young_rows:
            end = min(self.rows, n)
            found = merge(found, _ask(self.young, border, end, queries, k, allowed, None), k)
        if n > self.rows:
            rest = None if allowed is None else allowed[self.rows :]
            tail = search_exactly(queries, view.vectors[self.rows :], k, self.main.metric, rest)
            found = merge(found, _moved(tail, self.rows), k)
        return found


def _ask(
    index: Index, start: int, end: int, queries: Matrix, k: int, allowed: Mask | None, effort: int | None
) -> Neighbours:
    """Search an index over the rows from ``start`` on, for those before ``end``."""
    mask = None if allowed is None else allowed[start:end]
    if len(index) > end - start:  # it has grown since, or the view is older than it
        wide = np.zeros(len(index), np.bool_)
        wide[: end - start] = True if mask is None else mask
        mask = wide
    found = index.search(queries, k, mask, effort)
    if mask is None and len(index) > end - start:  # it has grown meanwhile
        return _ask(index, start, end, queries, k, allowed, effort)
    return found if start == 0 else _moved(found, start)


def _moved(found: Neighbours, by: int) -> Neighbours:
    return Neighbours(np.where(found.positions >= 0, found.positions + by, -1), found.scores)
