"""Contextual embeddings: a vector for each token of a text, and for a word in its sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, NotFound
from samespace.vectors import Vectors

__all__ = ["TokenVectors"]


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """The tokens of one text, those left out that the model adds (``[CLS]``, ``</s>``) or a prompt brings.

    Attributes:
        text: that was encoded, without its prompt.
        tokens: as the model's vocabulary spells them.
        offsets: where each token begins and ends in ``text``, in characters, int32 of shape (n, 2).
        words: the number of the word that each token is a part of, by the tokenizer's own idea of words, int32
            of shape (n,); -1 where it has none.
        vectors: of shape (n, dimension), in a space whose pooling is ``"token"``.
        truncated: the model read only the beginning of the text.
    """

    text: str
    tokens: list[str]
    offsets: NDArray[np.int32]
    words: NDArray[np.int32]
    vectors: Vectors
    truncated: bool

    def __len__(self) -> int:
        return len(self.tokens)

    def word(self, start: int, end: int) -> Vectors:
        """The characters from ``start`` to ``end`` as one vector: the mean of the tokens that have a part in them.

        Returns:
            Vectors of shape (1, dimension), in the space of :attr:`vectors`.

        Raises:
            InvalidInput: that is no part of the text, or no token is in it.
        """
        if not (type(start) is int and type(end) is int and 0 <= start < end <= len(self.text)):
            raise InvalidInput(
                f"A word is the characters from start to end of a text of {len(self.text):,}, got {start!r} to {end!r}."
            )
        rows = np.flatnonzero((self.offsets[:, 0] < end) & (self.offsets[:, 1] > start))
        if not len(rows):
            why = "the model did not read that far" if self.truncated else "no token is there"
            raise InvalidInput(f"Characters {start} to {end}, {self.text[start:end][:40]!r}, have no vector: {why}.")
        mean = self.vectors.array[rows].mean(axis=0, keepdims=True, dtype=np.float32)
        return Vectors(mean, self.vectors.space, self.vectors.role)

    def of(self, word: str) -> Vectors:
        """Every place where a word, or a phrase, stands in the text, in any case, as :meth:`word` has it.

        Returns:
            Vectors of shape (places, dimension), in order.

        Raises:
            InvalidInput: ``word`` is not a text, or blank.
            NotFound: it does not stand in the text as a word of its own.
        """
        if not isinstance(word, str) or not word.strip():
            raise InvalidInput(f"A word must be a text, got {word!r}.")
        places = list(re.finditer(rf"(?<!\w){re.escape(word.strip())}(?!\w)", self.text, re.IGNORECASE))
        if not places:
            raise NotFound(f"The word {word!r} is not in {self.text[:60]!r}; 'of' looks for whole words.")
        found = [self.word(*place.span()).array for place in places]
        return Vectors(np.concatenate(found), self.vectors.space, self.vectors.role)
