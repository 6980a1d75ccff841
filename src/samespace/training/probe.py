"""A look at word vectors while they are trained: how well they tell words that stand together from others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samespace.training.sentences import Sentences
from samespace.vectors import Matrix

__all__ = ["Probe"]

_EXAMPLES = 20_000
_NEGATIVE = 5
_FLAT = 0.75  # the power of frequency by which words are drawn, as in training


class Probe:
    """Examples of texts that are held out, drawn once.

    Args:
        sentences: the corpus.
        is_cbow: words are told by the mean of the words around them, and not by one of them.
        window: words on each side.
    """

    def __init__(self, sentences: Sentences, is_cbow: bool, window: int) -> None:
        generator = np.random.default_rng(0)
        numbers = {word: number for number, word in enumerate(sentences.vocabulary)}
        examples: list[tuple[int, list[int]]] = []
        for line in sentences.held_out:
            ids = [numbers[word] for word in line if word in numbers]
            for at, centre in enumerate(ids):
                around = ids[max(0, at - window) : at] + ids[at + 1 : at + 1 + window]
                if around:
                    examples.append((centre, around if is_cbow else [around[generator.integers(len(around))]]))
        if len(examples) > _EXAMPLES:
            examples = [examples[at] for at in generator.choice(len(examples), _EXAMPLES, replace=False)]
        self._inputs = np.array([word for _, around in examples for word in around], np.int64)
        self._sizes = np.array([len(around) for _, around in examples], np.int64)
        frequency = np.array(list(sentences.vocabulary.values()), np.float64) ** _FLAT
        drawn = generator.choice(len(frequency), (len(examples), _NEGATIVE), p=frequency / frequency.sum())
        centres = np.array([centre for centre, _ in examples], np.int64).reshape(-1, 1)
        self._outputs: NDArray[np.int64] = np.hstack([centres, drawn])

    def loss(self, vectors: Matrix, outputs: Matrix) -> float:
        """The loss of negative sampling, mean of the examples; NaN if there are none.

        Args:
            vectors: float32 (words, dimension), those that are kept in the end.
            outputs: float32 (words, dimension), those that predict.
        """
        if not len(self._sizes):
            return float("nan")
        starts = np.cumsum(self._sizes) - self._sizes
        means = np.add.reduceat(vectors[self._inputs], starts, axis=0) / self._sizes[:, None]
        scores = np.einsum("ed,end->en", means, outputs[self._outputs])
        scores[:, 1:] *= -1
        return float(np.logaddexp(0, -scores.astype(np.float64)).sum(axis=1).mean())
