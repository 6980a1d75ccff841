"""Word vectors as a folder of arrays that are mapped into memory: open in milliseconds, shared by processes.

.. code-block:: text

    words.json      what it is: format, count, dimension, digest, subwords        marks the folder
    words.txt       the words, one a line, UTF-8, in the order of the file
    vectors.npy     float32 (count, dimension)
    norms.npy       float32 (count,), lengths of the vectors
    starts.npy      int64 (count + 1,), where each word begins in words.txt
    keys.npy        uint64 (count,), BLAKE2b-64 of the words, sorted; rows.npy int32 (count,), whose they are
    ngrams.npy      float32 (buckets, dimension), if it has subwords
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.words.subwords import Subwords
from samespace.encoders.words.vocabulary import Rows, Vocabulary, mapped
from samespace.errors import StorageError
from samespace.vectors import Matrix

__all__ = ["FORMAT", "MARKER", "ROWS_AT_ONCE", "About", "Table", "digest_of"]

FORMAT = 1
MARKER = "words.json"
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class About:
    """What ``words.json`` says."""

    format: int
    count: int
    dimension: int
    digest: str
    lower: bool
    duplicates: int
    subwords: dict[str, int] | None = None


class Table:
    """Words and their vectors.

    Args:
        folder: that :func:`write_table` wrote.
        limit: use the first words only, which are the most frequent.

    Attributes:
        words: the vocabulary.
        vectors: float32 (count, dimension), mapped.
        norms: float32 (count,).
        subwords: for words that are not there; None where the file has none.
        digest: of words and vectors, whatever format they came in.
        lower: the vocabulary is in lower case.
        duplicates: rows of the file that were left out because their word had come before.

    Raises:
        StorageError: a file is missing or not what was written there.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        try:
            about = About(**json.loads((folder / MARKER).read_text(encoding="utf-8")))
            if about.format != FORMAT:
                raise StorageError(
                    f"{folder} is of format {about.format}; this samespace reads {FORMAT}. Upgrade samespace."
                )
            self.words = Vocabulary(folder, limit)
            count = len(self.words)
            self.vectors: Matrix = mapped(folder / "vectors.npy")[:count]
            self.norms: NDArray[np.float32] = mapped(folder / "norms.npy")[:count]
            self.subwords = None
            if about.subwords is not None:
                ngrams = mapped(folder / "ngrams.npy")
                self.subwords = Subwords(about.subwords["shortest"], about.subwords["longest"], ngrams)
        except (OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{folder} is not a whole table of word vectors: {error}. Make it again.") from error
        if self.vectors.shape != (count, about.dimension) or self.norms.shape != (count,):
            raise StorageError(f"{folder} is not a whole table of word vectors: its files disagree. Make it again.")
        whole = count == about.count
        self.digest = about.digest if whole else digest_of(f"the first {count} of {about.digest}".encode())
        self.lower, self.duplicates = about.lower, about.duplicates

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def find(self, words: Sequence[str]) -> Rows:
        """Numbers of words, as they are spelled or else in lower case; -1 for those that are not there."""
        rows = self.words.find(words)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            rows[unknown] = self.words.find([words[at].lower() for at in unknown.tolist()])
        return rows

    def look_up(self, words: Sequence[str]) -> Matrix:
        """Vectors of words, out of subwords where they are not in the vocabulary and the table has some.

        Returns:
            float32 (len(words), dimension); zeros for what is not known.
        """
        rows = self.find(words)
        found = np.zeros((len(words), self.dimension), np.float32)
        known = rows >= 0
        found[known] = self.vectors[rows[known]]
        if self.subwords is not None and not known.all():
            unseen = [words[at].lower() if self.lower else words[at] for at in np.flatnonzero(~known).tolist()]
            found[~known] = self.subwords.mean(unseen)
        return found

    def best(
        self,
        queries: Matrix,
        k: int,
        *,
        leave_out: Sequence[Iterable[int]] = (),
        combine: Callable[[Matrix], Matrix] | None = None,
        among: int | None = None,
    ) -> tuple[Rows, Matrix]:
        """Find the words with the highest cosine, comparing with all, block by block.

        Args:
            queries: float32 (q, dimension), of unit length.
            k: words to find, at most.
            leave_out: for each result, words that must not be in it.
            combine: makes the scores out of the cosines, (q, b) → (results, b); cosines if left out.
            among: look at the first words only.

        Returns:
            Numbers and scores, (results, k), the best first; of equal scores the first word first. A number of
            -1 with a score of minus infinity where there are fewer.
        """
        count = min(among or len(self), len(self))
        numbers, scores = np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, count)
            norms = self.norms[start:stop]
            with np.errstate(divide="ignore", invalid="ignore"):
                cosines = (queries @ self.vectors[start:stop].T) / norms
            cosines = cosines if combine is None else combine(cosines)
            cosines[:, norms == 0] = -np.inf  # a vector of zeros is near nothing
            for row, others in enumerate(leave_out):
                cosines[row, [other - start for other in others if start <= other < stop]] = -np.inf
            near, high = _top(cosines, k)
            near += start
            if start:
                near, high = np.hstack([numbers, near]), np.hstack([scores, high])
                order = np.argsort(-high, axis=1, kind="stable")[:, :k]
                near, high = np.take_along_axis(near, order, 1), np.take_along_axis(high, order, 1)
            numbers, scores = near, high
        return np.where(np.isneginf(scores), -1, numbers), scores

    @cached_property
    def frequent(self) -> list[str]:
        """The most frequent words, to name some that are close to a word that is not there."""
        return self.words.first(50_000)


def _top(scores: Matrix, k: int) -> tuple[Rows, Matrix]:
    """The ``k`` highest of each row, in order; of equal ones the first."""
    if k == 1:
        columns = scores.argmax(axis=1)[:, None]
        return columns, np.take_along_axis(scores, columns, 1)
    if k < scores.shape[1]:
        columns = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        scores = np.take_along_axis(scores, columns, 1)
    else:
        columns = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(columns, order, 1), np.take_along_axis(scores, order, 1)


def digest_of(content: bytes) -> str:
    """A digest as spaces carry it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
