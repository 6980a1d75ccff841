"""How well the right documents are found: nDCG, MRR and recall, with the interval that the sample allows.

All of them take scores, where higher is better, and which documents are right. Among equal scores the wrong
documents come first, so that a model that gives everything one score earns nothing by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samespace.encoders.base import Encoder
from samespace.errors import InvalidInput
from samespace.evaluation.pairs import Pairs
from samespace.space import Metric
from samespace.vectors import Matrix, score, unit

__all__ = ["Retrieval", "bootstrap", "evaluate_retrieval", "mrr", "ndcg", "recall_at", "retrieval_task", "summary"]

_SCORES_AT_ONCE = 1 << 23  # 32 MiB of float32
_RESAMPLES = 1_000


def ndcg(scores: ArrayLike, relevant: ArrayLike, k: int = 10) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain of the first ``k``, for each query (Järvelin and Kekäläinen 2002).

    Args:
        scores: of shape (queries, documents).
        relevant: which documents are right, bools of the same shape, at least one for each query.
        k: places that count.

    Returns:
        float64 of shape (queries,), from 0 to 1; take the mean for the figure of a model.

    Raises:
        InvalidInput: the shapes differ, a score is NaN, a query has nothing to find, or ``k`` is not positive.
    """
    hits, counts = _ranked(scores, relevant, k)
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])
    gained: NDArray[np.float64] = hits @ discounts / best[np.minimum(counts, hits.shape[1])]
    return gained


def recall_at(scores: ArrayLike, relevant: ArrayLike, k: int = 10) -> NDArray[np.float64]:
    """The part of each query's right documents that is among the first ``k``. As :func:`ndcg`."""
    hits, counts = _ranked(scores, relevant, k)
    found: NDArray[np.float64] = hits.sum(axis=1) / counts
    return found


def mrr(scores: ArrayLike, relevant: ArrayLike, k: int = 10) -> NDArray[np.float64]:
    """One over the place of each query's first right document, 0 beyond the first ``k``. As :func:`ndcg`."""
    hits, _ = _ranked(scores, relevant, k)
    inverse: NDArray[np.float64] = np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)
    return inverse


def _ranked(scores: ArrayLike, relevant: ArrayLike, k: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the first ``k`` are right, (queries, min(k, documents)); how many right ones each query has."""
    values, right = np.asarray(scores, np.float64), np.asarray(relevant, bool)
    if values.ndim != 2 or values.shape != right.shape:
        raise InvalidInput(
            f"scores and relevant must both be (queries, documents); got {values.shape} and {right.shape}."
        )
    if type(k) is not int or k < 1:
        raise InvalidInput(f"k must be a positive int, got {k!r}.")
    if np.isnan(values).any():
        raise InvalidInput(f"The scores of query {int(np.isnan(values).any(axis=1).argmax())} contain NaN.")
    counts = right.sum(axis=1)
    if not counts.all():
        raise InvalidInput(f"Query {int(counts.argmin())} has no relevant document, so there is nothing to find.")
    order = np.lexsort((right, -values))[:, :k]
    return np.take_along_axis(right, order, axis=1), counts


def bootstrap(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean, by resampling (Efron 1979).

    Args:
        values: one a query, of shape (n,), at least one.
        seed: of the resampling.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise InvalidInput(f"values must be one-dimensional and not empty, got shape {sample.shape}.")
    generator = np.random.default_rng(seed)
    means = [sample[generator.integers(len(sample), size=len(sample))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Retrieval:
    """Queries, documents, and which documents each query should find.

    Attributes:
        queries: each once.
        documents: each once.
        relevant: for each query the numbers of its documents.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    relevant: Sequence[Collection[int]]

    def gains(self, queries: Matrix, documents: Matrix, metric: Metric = "cosine") -> NDArray[np.float64]:
        """Search all documents exactly.

        Args:
            queries: float32 (queries, dimension).
            documents: float32 (documents, dimension).
            metric: that compares them.

        Returns:
            float64 of shape (4, queries): nDCG@10, MRR@10, recall@1 and recall@10 of each query.
        """
        if metric == "cosine":
            queries, documents = unit(queries), unit(documents)
        parts: list[NDArray[np.float64]] = []
        step = max(1, _SCORES_AT_ONCE // max(1, len(documents)))
        for start, stop in pairwise([*range(0, len(queries), step), len(queries)]):
            scores = score(queries[start:stop], documents, metric)
            right = np.zeros(scores.shape, bool)
            for row, numbers in enumerate(self.relevant[start:stop]):
                right[row, list(numbers)] = True
            figures = ndcg(scores, right), mrr(scores, right), recall_at(scores, right, 1), recall_at(scores, right)
            parts.append(np.stack(figures))
        return np.concatenate(parts, axis=1)

    def measure(self, queries: Matrix, documents: Matrix, metric: Metric = "cosine") -> dict[str, float]:
        """The means of :meth:`gains`, whose arguments these are.

        Returns:
            ``ndcg@10`` with the ends of its 95 % interval under ``ndcg@10.low`` and ``ndcg@10.high``,
            ``mrr@10``, ``recall@1`` and ``recall@10``.
        """
        return summary(self.gains(queries, documents, metric))


def summary(gains: NDArray[np.float64]) -> dict[str, float]:
    """The figures of :meth:`Retrieval.measure` out of those of each query."""
    low, high = bootstrap(gains[0])
    gain, place, first, found = map(float, gains.mean(axis=1))
    return {
        "ndcg@10": gain,
        "ndcg@10.low": low,
        "ndcg@10.high": high,
        "mrr@10": place,
        "recall@1": first,
        "recall@10": found,
    }


def retrieval_task(pairs: Pairs, distractors: Iterable[str] = ()) -> Retrieval:
    """Make a task of pairs: each anchor should find all its positives among the texts of all pairs.

    Args:
        pairs: of anchors and positives. Their negatives are documents too.
        distractors: more documents that nobody looks for.

    Raises:
        InvalidInput: the pairs are scored ones.
    """
    if pairs.scores is not None:
        raise InvalidInput("Retrieval needs pairs of anchor and positive; these have scores. Use spearman or auc.")
    negatives = (text for group in pairs.negatives for text in group)
    numbers = {text: at for at, text in enumerate(dict.fromkeys([*pairs.second, *negatives, *distractors]))}
    wanted: dict[str, set[int]] = {}
    for anchor, positive in zip(pairs.first, pairs.second, strict=True):
        wanted.setdefault(anchor, set()).add(numbers[positive])
    return Retrieval(list(wanted), list(numbers), list(wanted.values()))


def evaluate_retrieval(encoder: Encoder, pairs: Pairs, distractors: Iterable[str] = ()) -> dict[str, float]:
    """Encode the texts of pairs in their roles, and measure how well anchors find their positives.

    Returns:
        What :meth:`Retrieval.measure` does.

    Raises:
        InvalidInput: the pairs are scored ones, or a text cannot be encoded.
    """
    task = retrieval_task(pairs, distractors)
    queries, documents = encoder.encode_queries(task.queries), encoder.encode_documents(task.documents)
    return task.measure(queries.array, documents.array, encoder.space.metric)
