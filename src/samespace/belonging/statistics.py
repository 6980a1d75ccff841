"""What the vectors of a space are like, and how far from that is too far."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from samespace.belonging.features import WIDEST, directions, with_lengths
from samespace.belonging.fit import Fit
from samespace.errors import CollectionCorrupt, InvalidInput, InvalidVectors
from samespace.space import Space
from samespace.vectors import Matrix

__all__ = ["FEWEST", "Statistics"]

FEWEST = 200
"""Rows to learn from."""

_FALSE_ALARMS = 2e-5
_STRANGERS = 4_000
_ROUNDS = 5
_BLOCK = 8192

_MAGIC, _VERSION = b"SSBL", 1
_HEADER = struct.Struct("<4sHB32sIIddd")  # magic, version, has lengths, space, dimension, rows, then three numbers
_CHECKSUM = 16


@dataclass(frozen=True, eq=False)
class Statistics:
    """The distribution of a space's vectors, learned from some of them, and a threshold for those that are none.

    A vector's distance is Mahalanobis's (Proceedings of the National Institute of Sciences of India 2, 1936): how far
    it lies from the mean, where each direction is measured by how much the vectors vary in it. 1 is usual. Another
    model puts as much into the directions that this one hardly uses as into any other, and lies far off. Variances
    are shrunk towards their mean (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004), as much as best parts
    the rows from vectors of random directions. The threshold comes from the rows' own distances, each measured by
    what the others are like, and from the tail that :class:`~samespace.belonging.tail.Tail` continues beyond the
    greatest. Where random directions lie farther off still, it stands half way to them.

    Attributes:
        space_id: of the space.
        dimension: of its vectors.
        rows: learned from, those left out that did not belong among them.
        false_alarms: the share of the space's own vectors that lie beyond the threshold at most, for texts such as
            were learned from, on the average over samples.
        power: the share of vectors in random directions that lie beyond it, as it was when learned.
        threshold: the greatest distance of a vector that belongs.
        lengths: whether a vector's length counts, as its direction does. It does unless the metric is cosine.
        centre: mean of the features, float32 of shape (f,).
        whitening: makes features uncorrelated and of unit variance, float32 of shape (f, f), lower triangular.
    """

    space_id: str
    dimension: int
    rows: int
    false_alarms: float
    power: float
    threshold: float
    lengths: bool
    centre: Matrix
    whitening: Matrix

    @classmethod
    def learn(cls, sample: Matrix, space: Space, *, seed: int = 0) -> Self:
        """Learn from rows that are the space's own, but for a few.

        Some in a thousand may be another model's. Rows that lie where vectors of random directions do, and are more
        than the tail of the others explains, are left out.

        Args:
            sample: comparable, float32 of shape (n, dimension); some thousand rows, drawn at random. Rows with NaN or
                infinity are passed over.
            space: of the vectors.
            seed: of the random directions.

        Raises:
            InvalidInput: too few rows, or all alike.
            InvalidVectors: not float32 vectors of the space's dimension.
        """
        _check(sample, space.dimension)
        sample = sample[np.isfinite(sample).all(axis=1)]
        if len(sample) < FEWEST:
            raise InvalidInput(
                f"{len(sample):,} vectors are too few to learn what those of {space} are like. {FEWEST} are needed, "
                "and some thousand are better."
            )
        lengths = space.metric != "cosine"
        rows = with_lengths(sample) if lengths else directions(sample)
        random = np.random.default_rng(seed).standard_normal((_STRANGERS, space.dimension), np.float32)
        strangers = directions(random)
        if lengths:  # which a stranger may have in common with the space
            strangers = np.column_stack((strangers, np.full(_STRANGERS, np.median(rows[:, -1]))))
        if not np.ptp(rows, axis=0).any():
            raise InvalidInput(
                f"All {len(rows):,} vectors are alike, so they do not say what those of {space} are like. "
                "Learn from rows of different texts."
            )
        for robust in (True, False):
            for _ in range(_ROUNDS):
                fit = Fit.of(rows, strangers, _FALSE_ALARMS, robust=robust)
                kept = rows[fit.own]
                if fit.own.all() or len(kept) < FEWEST or not np.ptp(kept, axis=0).any():
                    break
                rows = kept
        # Texts of kinds that were not learned from lie a little farther out. What room there is goes half to them.
        threshold = fit.between()
        return cls(
            space_id=space.id,
            dimension=space.dimension,
            rows=len(fit.own),
            false_alarms=_FALSE_ALARMS,
            power=fit.beyond(threshold),
            threshold=threshold,
            lengths=lengths,
            centre=fit.centre,
            whitening=fit.whitening(),
        )

    def distance(self, vectors: Matrix) -> NDArray[np.float64]:
        """How far vectors lie from what is usual, which is 1; float64 of shape (n,). NaN is infinitely far.

        Raises:
            InvalidVectors: not float32 vectors of the space's dimension.
        """
        _check(vectors, self.dimension)
        measure = with_lengths if self.lengths else directions
        squares = np.empty(len(vectors))
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, len(vectors), _BLOCK):
                part = slice(first, first + _BLOCK)
                white = (measure(vectors[part]) - self.centre) @ self.whitening.T
                squares[part] = np.einsum("ij,ij->i", white, white)
        return np.sqrt(np.where(np.isfinite(squares), squares, np.inf) / len(self.centre))

    def foreign(self, vectors: Matrix) -> NDArray[np.bool_]:
        """True where a vector lies beyond the threshold, bool of shape (n,)."""
        return self.distance(vectors) > self.threshold

    def to_bytes(self) -> bytes:
        """A header, the centre, the lower triangle of the whitening by rows, and 16 bytes of BLAKE2b of it all.

        Little-endian; at most 2.2 MB.
        """
        numbers = (self.dimension, self.rows, self.false_alarms, self.power, self.threshold)
        header = _HEADER.pack(_MAGIC, _VERSION, self.lengths, self.space_id.encode(), *numbers)
        triangle = self.whitening[np.tril_indices(len(self.centre))]
        content = header + self.centre.astype("<f4").tobytes() + triangle.astype("<f4").tobytes()
        return content + hashlib.blake2b(content, digest_size=_CHECKSUM).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            CollectionCorrupt: it is not whole, something else, or of a later version.
        """
        body, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
        if len(body) < _HEADER.size or not body.startswith(_MAGIC):
            raise _corrupt("are none")
        _, version, lengths, space_id, dimension, rows, false_alarms, power, threshold = _HEADER.unpack_from(body)
        if version > _VERSION:
            raise CollectionCorrupt(
                f"The statistics of the collection have version {version}, and this samespace reads up to {_VERSION}. "
                "Upgrade samespace."
            )
        if hashlib.blake2b(body, digest_size=_CHECKSUM).digest() != checksum:
            raise _corrupt("are not what was written")
        width = min(dimension, WIDEST) + lengths
        numbers = np.frombuffer(body, "<f4", offset=_HEADER.size).astype(np.float32)
        if len(numbers) != width + width * (width + 1) // 2:
            raise _corrupt("have another size than they say")
        whitening = np.zeros((width, width), np.float32)
        whitening[np.tril_indices(width)] = numbers[width:]
        figures = (rows, false_alarms, power, threshold)
        return cls(space_id.decode(), dimension, *figures, bool(lengths), numbers[:width], whitening)


def _check(vectors: Matrix, dimension: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != dimension or vectors.dtype != np.float32:
        raise InvalidVectors(
            f"Expected float32 vectors of shape (n, {dimension}), got {vectors.dtype} of shape {vectors.shape}."
        )


def _corrupt(what: str) -> CollectionCorrupt:
    return CollectionCorrupt(f"The statistics of the collection {what}. Learn them anew from rows that belong.")
