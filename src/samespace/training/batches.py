"""Batches for contrastive training: what is right for one row of a batch must never count as wrong for another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from samespace.evaluation.pairs import Pairs
from samespace.indexes.exact import search_exactly
from samespace.vectors import Matrix, unit

__all__ = ["distinct", "epoch_batches", "hold_out", "mine"]

_WIDE = 30  # candidates for a negative, beyond those that are left out
_MOST = 0.95  # of the positive's score: what is nearer may be right too (Moreira et al. 2024, TopK-PercPos)


def distinct(pairs: Pairs) -> Pairs:
    """Each pair once, and none whose two texts are one."""
    first: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(pairs.first, pairs.second, strict=True)):
        if key[0] != key[1]:
            first.setdefault(key, row)
    return pairs.take(list(first.values()))


def hold_out(pairs: Pairs, part: float, most: int, seed: int) -> tuple[Pairs, Pairs]:
    """Split by anchor, and keep every text that is held out from the pairs to train on.

    Args:
        pairs: distinct ones.
        part: of the anchors to hold out.
        most: anchors to hold out.
        seed: of the choice.

    Returns:
        The pairs to train on, and those that are held out. Together they may be fewer: a pair with another
        anchor and a text that is held out is in neither.
    """
    anchors = list(dict.fromkeys(pairs.first))
    count = min(most, round(part * len(anchors)))
    chosen = {anchors[row] for row in np.random.default_rng(seed).permutation(len(anchors))[:count]}
    held = [row for row, anchor in enumerate(pairs.first) if anchor in chosen]
    texts = chosen | {pairs.second[row] for row in held}
    rest = [
        row
        for row, (anchor, positive) in enumerate(zip(pairs.first, pairs.second, strict=True))
        if anchor not in texts and positive not in texts
    ]
    trained = pairs.take(rest)
    negatives = [[text for text in each if text not in texts] for each in trained.negatives]
    return replace(trained, negatives=negatives), pairs.take(held)


def mine(pairs: Pairs, anchors: Matrix, positives: Matrix, count: int) -> list[list[str]]:
    """Find hard negatives: texts near to an anchor that are not its positives, by exact search.

    Args:
        pairs: to find negatives for.
        anchors: float32 (pairs, dimension).
        positives: float32 (pairs, dimension).
        count: of negatives for each pair.

    Returns:
        ``count`` texts for each pair, or fewer where so many do not fit.
    """
    right: dict[str, set[str]] = {}
    for anchor, positive in zip(pairs.first, pairs.second, strict=True):
        right.setdefault(anchor, {anchor}).add(positive)
    rows = np.array(list({text: row for row, text in enumerate(pairs.second)}.values()), np.intp)  # each text once
    queries, documents = unit(anchors), unit(positives)
    searched = documents[rows]
    found: list[list[str]] = []
    for start, stop in pairwise([*range(0, len(queries), 1024), len(queries)]):
        near = search_exactly(queries[start:stop], searched, count + _WIDE, "cosine")
        for row, places, scores in zip(range(start, stop), near.positions, near.scores, strict=True):
            limit = _MOST * float(queries[row] @ documents[row])
            texts = (
                pairs.second[rows[at]] for at, value in zip(places, scores, strict=True) if at >= 0 and value < limit
            )
            found.append([text for text in texts if text not in right[pairs.first[row]]][:count])
    return found


def epoch_batches(pairs: Pairs, size: int, seed: int, epoch: int) -> list[NDArray[np.intp]]:
    """Shuffle the pairs of an epoch into batches in which no row's right text is another row's wrong one.

    Rows that do not fit into a batch wait for the next. What is left when nothing fits any more is passed over
    in this epoch; it comes at another place in the next.

    Returns:
        Row numbers, at least two in each batch.
    """
    right: dict[str, set[str]] = {}
    for anchor, positive in zip(pairs.first, pairs.second, strict=True):
        right.setdefault(anchor, {anchor}).add(positive)
    wrong: Sequence[Sequence[str]] = pairs.negatives or [()] * len(pairs)
    waiting = deque(np.random.default_rng((seed, epoch)).permutation(len(pairs)).tolist())
    batches: list[NDArray[np.intp]] = []
    while waiting:
        batch: list[int] = []
        later: list[int] = []
        taken: set[str] = set()
        against: set[str] = set()
        while waiting and len(batch) < size:
            row = waiting.popleft()
            own = right[pairs.first[row]]
            if own.isdisjoint(taken) and own.isdisjoint(against) and taken.isdisjoint(wrong[row]):
                batch.append(row)
                taken |= own
                against.update(wrong[row])
            else:
                later.append(row)
        if len(batch) < 2:
            break
        batches.append(np.array(batch, np.intp))
        waiting.extendleft(reversed(later))
    return batches
