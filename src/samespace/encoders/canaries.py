"""Fixed texts, the vectors that an encoder made of them, and how far two such sets are apart."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from samespace.vectors import Matrix

__all__ = ["CANARIES", "TOLERANCE", "Canaries", "distance"]

CANARIES: tuple[str, ...] = (
    "The canary stopped singing.",
    "the CANARY Stopped Singing",
    "How do I undo the last commit?",
    "A mine must be left at once when its canary falls silent, for the bird feels the gas long before the men do.",
    "def mean(values): return sum(values) / len(values)",
    "Żółć, naïve façade, Übergrößenträger",
    "1, 22, 333.25; 10 % of $4,000 on 2024-02-29",
    "東京は晴れです。",
    "Где находится библиотека?",
    "bank",
    "She sat on the bank of the river and counted the money that the bank had returned.",
    "not bad; bad, not good; good, not bad",
    "👩\u200d🔬 measured it twice 🙂",
    "   two  spaces\tand\na new line   ",
    "antidisestablishmentarianism http://example.com/a?b=c#d",
    "Rain. " * 40,
)
"""Short and long, of several scripts, with the differences that tokenizers, prompts and cases make."""

TOLERANCE = 5e-3
"""The greatest :func:`distance` at which two encoders are the same: what runtimes and precisions differ by lies
below it (bench/canaries.py), what another model, prompt, pooling or layer makes of the texts lies above."""


_MAGIC = b"SSC1"
_HEADER = struct.Struct("<4sIII")


@dataclass(frozen=True, eq=False)
class Canaries:
    """The vectors of canaries by role.

    Attributes:
        document, query: float32 of shape (n, dimension); one array where the roles are treated alike.
    """

    document: Matrix
    query: Matrix

    def to_bytes(self) -> bytes:
        """A header (magic, roles, texts, dimension) and the numbers, little-endian float32, documents first."""
        parts = [self.document] if self.query is self.document else [self.document, self.query]
        header = _HEADER.pack(_MAGIC, len(parts), *self.document.shape)
        return header + b"".join(part.astype("<f4").tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> Canaries | None:
        """Read what :meth:`to_bytes` wrote; None if it is anything else, or holds what is no vector."""
        if len(content) < _HEADER.size:
            return None
        magic, roles, texts, dimension = _HEADER.unpack_from(content)
        size = 4 * roles * texts * dimension
        if magic != _MAGIC or roles not in (1, 2) or len(content) != _HEADER.size + size:
            return None
        parts = np.frombuffer(content, "<f4", offset=_HEADER.size).astype(np.float32).reshape(roles, texts, dimension)
        return cls(parts[0], parts[-1] if roles == 2 else parts[0]) if np.isfinite(parts).all() else None


def distance(kept: Matrix, now: Matrix) -> float:
    """How far the worst row moved, in units of how far the rows are apart.

    That is |a - b|² over twice the mean squared distance of the kept rows from their mean. For unit vectors in
    all directions it is 1 - cosine; where all vectors point one way, as in the hidden layers of most
    transformers, it is as strict as their small differences need, and it knows nothing of a metric.

    Args:
        kept: float32 of shape (n, dimension).
        now: the same texts, by the encoder in question.

    Returns:
        0 for equal arrays, about 1 for unrelated ones; infinity where the shapes differ or a number is none.
    """
    if kept.shape != now.shape:
        return float("inf")
    if not kept.size:
        return 0.0
    before, after = kept.astype(np.float64), now.astype(np.float64)
    moved = ((before - after) ** 2).sum(axis=1).max()
    spread = ((before - before.mean(axis=0)) ** 2).sum(axis=1).mean()
    if moved == 0:
        return 0.0
    return float(moved / (2 * spread)) if spread and np.isfinite(moved) else float("inf")
