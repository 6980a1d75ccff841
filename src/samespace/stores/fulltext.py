"""Full text search over the catalogue: any of the words, ranked by BM25 (SQLite's FTS5)."""

from __future__ import annotations

import re
import sqlite3

import numpy as np
from numpy.typing import NDArray

__all__ = ["match_words"]

_WORD = re.compile(r"\w+")


def match_words(
    connection: sqlite3.Connection, words: str, k: int, allowed: NDArray[np.bool_], first_slot: int
) -> list[tuple[int, float]]:
    """The ``k`` best allowed positions for any of the words, with scores (higher is better), best first."""
    # Quoted, so that what a person types is never read as FTS5's query language.
    terms = dict.fromkeys(word.lower() for word in _WORD.findall(words))
    if not terms:
        return []
    expression = " OR ".join(f'"{term}"' for term in terms)
    limit = 2 * k
    while True:
        ranked = connection.execute(
            "SELECT rowid, -rank FROM text WHERE text MATCH ? ORDER BY rank, rowid LIMIT ?", (expression, limit)
        ).fetchall()
        found = [
            (slot - first_slot, relevance)
            for slot, relevance in ranked
            if 0 <= slot - first_slot < len(allowed) and allowed[slot - first_slot]
        ]
        if len(found) >= k or len(ranked) < limit:
            return found[:k]
        limit *= 8  # a filter took most of them: look further
