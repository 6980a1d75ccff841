"""Which hidden layer and which pooling to take: each scored on a user's own pairs, and the choice kept honest.

The best of many is flattered by the choosing. So half of the pairs choose, and what is said about the choice
comes from the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.evaluation.pairs import Pairs
from samespace.evaluation.retrieval import ndcg

__all__ = ["Cell", "Figure", "LayerScores", "score_layers", "texts_of"]

_RESAMPLES = 1_000
_DECIMALS = 6  # of a cosine: below is rounding, by which equal texts must not be told apart
_FEWEST = 20  # pairs; half of fewer say nothing about anything

Floats = NDArray[np.float64]
_Measure = Callable[[Floats, Floats, Floats], Floats]
"""Of weights (resamples, n), values (n,) and gold scores (n,) the figures (resamples,)."""


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, by resampling the pairs (Efron 1979)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Cell:
    """What one layer gives with one pooling.

    Attributes:
        layer: by number, 0 being the embeddings.
        pooling: by name.
        chosen_on: its figure on the pairs that choose.
        checked_on: its figure on the other pairs.
    """

    layer: int
    pooling: str
    chosen_on: Figure
    checked_on: Figure


@dataclass(frozen=True)
class LayerScores:
    """Every layer and pooling of a model, scored on pairs.

    Attributes:
        metric: ``"spearman"``, ``"auc"`` or ``"ndcg@10"``, higher is better.
        pairs: how many chose, and how many checked.
        cells: by layer, then by pooling.
        best: of the cells the one to take.
        last: the best cell of the last layer, which people take without looking.
        gain: what ``best`` has above ``last`` on the pairs that did not choose.
    """

    metric: str
    pairs: tuple[int, int]
    cells: tuple[Cell, ...]
    best: Cell
    last: Cell
    gain: Figure

    @property
    def is_clear(self) -> bool:
        """The best layer is not the last, and more than noise says so."""
        return self.best.layer != self.last.layer and self.gain.low > 0

    def of_layer(self, layer: int) -> Cell:
        """The best pooling of a layer."""
        return max((cell for cell in self.cells if cell.layer == layer), key=lambda cell: cell.chosen_on.value)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"pairs": list(self.pairs), "is_clear": self.is_clear}


def texts_of(pairs: Pairs) -> tuple[list[str], list[str]]:
    """The texts to encode, each once: those on the left (anchors), and all that they are compared with."""
    negatives = (text for group in pairs.negatives for text in group)
    return list(dict.fromkeys(pairs.first)), list(dict.fromkeys([*pairs.second, *negatives]))


def score_layers(
    left: Mapping[str, NDArray[np.floating[Any]]],
    right: Mapping[str, NDArray[np.floating[Any]]],
    pairs: Pairs,
    *,
    seed: int = 0,
) -> LayerScores:
    """Score every layer and pooling by the cosine similarity of its vectors.

    Pairs with scores of any numbers give Spearman's correlation; with labels 0 and 1 the area under the ROC
    curve; anchors with positives nDCG@10 among the right texts of all pairs.

    Args:
        left: by pooling, unit vectors of the first of :func:`texts_of`, (layers + 1, texts, dimension).
        right: those of the second.
        pairs: at least 20.
        seed: of the halves and of resampling.

    Raises:
        InvalidInput: too few pairs, all of one score or label, or arrays that are not those of the pairs.
    """
    if len(pairs) < _FEWEST:
        raise InvalidInput(
            f"{len(pairs)} pairs are too few to tell layers apart: half of them choose and half of them check. "
            f"Give at least {_FEWEST}; a few hundred are better."
        )
    lefts, rights = texts_of(pairs)
    shapes = {(table.shape[0], table.shape[2]) for table in (*left.values(), *right.values()) if table.ndim == 3}
    counts = {table.shape[1] for table in left.values()}, {table.shape[1] for table in right.values()}
    if len(shapes) != 1 or counts != ({len(lefts)}, {len(rights)}) or set(left) != set(right):
        raise InvalidInput("left and right must be the tables of the pairs' texts, of one model and the same poolings.")
    task = _task(pairs, lefts, rights)
    generator = np.random.default_rng(seed)
    halves = _halves(task, generator)
    weights = [_resampled(len(half), generator) for half in halves]
    ((layers, _),) = shapes
    drawn: dict[tuple[int, str], list[Floats]] = {}
    for layer in range(layers):
        for pooling in left:
            values = task.values(left[pooling][layer], right[pooling][layer])
            drawn[layer, pooling] = [
                task.measure(weight, values[half], task.gold[half])
                for weight, half in zip(weights, halves, strict=True)
            ]
    cells = {key: Cell(*key, _figure(choosing), _figure(checking)) for key, (choosing, checking) in drawn.items()}

    def best(keys: Sequence[tuple[int, str]]) -> tuple[int, str]:
        return max(keys, key=lambda key: cells[key].chosen_on.value)

    first, last = best(list(cells)), best([key for key in cells if key[0] == layers - 1])
    return LayerScores(
        task.metric,
        (len(halves[0]), len(halves[1])),
        tuple(cells.values()),
        cells[first],
        cells[last],
        _figure(drawn[first][1] - drawn[last][1]),  # both resampled alike, so what they share cancels
    )


@dataclass(frozen=True)
class _Task:
    """What is measured: a value for each row of ``gold``, and a figure of weighted rows."""

    metric: str
    gold: Floats
    values: Callable[[NDArray[np.floating[Any]], NDArray[np.floating[Any]]], Floats]
    measure: _Measure


def _task(pairs: Pairs, lefts: Sequence[str], rights: Sequence[str]) -> _Task:
    left = {text: row for row, text in enumerate(lefts)}
    right = {text: row for row, text in enumerate(rights)}
    a, b = [left[text] for text in pairs.first], [right[text] for text in pairs.second]
    if pairs.scores is None:
        relevant = np.zeros((len(lefts), len(rights)), bool)
        relevant[a, b] = True

        def found(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Floats:
            return ndcg(np.round(x.astype(np.float32) @ y.astype(np.float32).T, _DECIMALS), relevant)

        return _Task("ndcg@10", np.zeros(len(lefts)), found, _mean)

    def similarities(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Floats:
        cosines: Floats = np.vecdot(x[a], y[b], dtype=np.float64)
        return cosines.round(_DECIMALS)

    gold = pairs.scores
    if len(set(gold.tolist())) < 2:
        raise InvalidInput(f"All pairs have the score {gold[0]:g}, so there is no order to agree with.")
    if pairs.labelled:
        return _Task("auc", gold, similarities, _auc)
    return _Task("spearman", gold, similarities, _spearman)


def _halves(task: _Task, generator: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split the rows in two, each half with its share of every part of the gold scores."""
    order = generator.permutation(len(task.gold))
    order = order[np.argsort(task.gold[order], kind="stable")]
    halves = order[::2], order[1::2]
    if any(task.metric != "ndcg@10" and len(set(task.gold[half].tolist())) < 2 for half in halves):
        raise InvalidInput("Too few pairs have another score than the rest; each half of them needs some of both.")
    return halves


def _resampled(count: int, generator: np.random.Generator) -> Floats:
    """How often each of ``count`` rows is drawn, (1 + resamples, count); the first sample is the rows themselves."""
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return np.concatenate([np.ones((1, count)), drawn])


def _figure(drawn: Floats) -> Figure:
    low, high = np.nanquantile(drawn[1:], [0.025, 0.975])
    return Figure(float(drawn[0]), float(low), float(high))


def _mean(weights: Floats, values: Floats, _gold: Floats) -> Floats:
    mean: Floats = weights @ values / weights.sum(1)
    return mean


def _spearman(weights: Floats, values: Floats, gold: Floats) -> Floats:
    """Pearson's correlation of the ranks that rows have in each sample; 0 where all values are equal."""
    x, y = _ranks(weights, values), _ranks(weights, gold)
    total = weights.sum(1, keepdims=True)
    x -= (weights * x).sum(1, keepdims=True) / total
    y -= (weights * y).sum(1, keepdims=True) / total
    own, golden = (weights * x * x).sum(1), (weights * y * y).sum(1)
    norms = np.sqrt(np.where(own > 0, own, 1.0) * np.where(golden > 0, golden, np.nan))
    correlation: Floats = (weights * x * y).sum(1) / norms
    return correlation


def _auc(weights: Floats, values: Floats, gold: Floats) -> Floats:
    """The Mann-Whitney statistic by ranks."""
    positive = gold == 1
    yes = weights[:, positive]
    count = yes.sum(1)
    above = (yes * _ranks(weights, values)[:, positive]).sum(1) - count * count / 2
    possible = count * (weights.sum(1) - count)
    share: Floats = above / np.where(possible > 0, possible, np.nan)
    return share


def _ranks(weights: Floats, values: Floats) -> Floats:
    """Rank of each row in samples where it stands ``weights`` times: what stands below it, and half its equals.

    One sorting of the values serves all samples.
    """
    _, places = np.unique(values, return_inverse=True)
    order = np.argsort(places, kind="stable")
    firsts = np.flatnonzero(np.diff(places[order], prepend=-1))
    equal = np.add.reduceat(weights[:, order], firsts, axis=1)
    ranks: Floats = (np.cumsum(equal, axis=1) - equal / 2)[:, places]
    return ranks
