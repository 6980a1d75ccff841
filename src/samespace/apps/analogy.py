"""What word vectors know: the nearest words, analogies, and the word that does not belong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from samespace.encoders.words import Reading, WordEncoder, open_words
from samespace.errors import InvalidInput, NotFound
from samespace.space import Space
from samespace.vectors import Matrix, Vectors, unit

__all__ = ["Method", "Near", "Words"]

Method = Literal["add", "multiply"]

_SMALL = 1e-3  # keeps 3CosMul from dividing by zero, as in the paper
_OPERATOR = re.compile(r"(?:^|(?<=\s))([+\-−])(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Near:
    """A word that was found.

    Attributes:
        word: as the vocabulary spells it.
        score: cosine similarity; for analogies by multiplication their quotient. Higher is better.
    """

    word: str
    score: float


class Words:
    """The words of a file of vectors, to ask about.

    A word is looked up as it is spelled, then in lower case; where the file has subwords, every word has a vector.

    Args:
        path: a file or folder that :func:`samespace.encoders.words.open_words` takes.
        limit: use the most frequent words only.
        progress: called with bytes read and bytes in all, the first time that a file is opened.

    Attributes:
        encoder: that makes texts into vectors with these words.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None, progress: Reading | None = None) -> None:
        self.encoder: WordEncoder = open_words(path, limit=limit, progress=progress)
        self._table = self.encoder.table

    @property
    def space(self) -> Space:
        """Where the vectors live."""
        return self.encoder.space

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, word: object) -> bool:
        """Whether the word is in the vocabulary; what subwords would make of it does not count."""
        return isinstance(word, str) and bool(self._table.find([word])[0] >= 0)

    def __repr__(self) -> str:
        return f"Words({self.encoder.name!r}, {len(self):,} words, {self.space.dimension}-d)"

    def first(self, count: int = 10) -> list[str]:
        """The first words of the file, which are the most frequent."""
        return self._table.words.first(_positive(count, "count"))

    def vector(self, word: str) -> Vectors:
        """The vector of a word, as Vectors of one row.

        Raises:
            NotFound: the word is not known; names words that are spelled like it.
        """
        return self.vectors([word])

    def vectors(self, words: Sequence[str]) -> Vectors:
        """The vectors of words, one row each. As :meth:`vector`."""
        if isinstance(words, str):
            raise InvalidInput(f"Expected a list of words, got one text. Put it in a list: [{words!r}].")
        for word in words:
            if not isinstance(word, str):
                raise InvalidInput(f"Expected a word (str), got {type(word).__name__}.")
        found = self._table.look_up(words)
        for word, vector in zip(words, found, strict=True):
            if not vector.any():
                raise NotFound(self._unknown(word))
        return Vectors(found, self.space)

    def similarity(self, a: str, b: str) -> float:
        """Cosine similarity of two words.

        Raises:
            NotFound: one of them is not known.
        """
        first, second = self.vectors([a, b]).comparable
        return float(first @ second)

    def similar(self, to: str | Vectors, k: int = 10, *, among: int | None = None) -> list[Near]:
        """The words nearest to a word, which is left out itself, or to a vector.

        Args:
            to: a word, or Vectors of one row of this space, such as an encoded text.
            k: words to find, at most.
            among: look at the most frequent words only, this many.

        Returns:
            The nearest first.

        Raises:
            NotFound: the word is not known.
            SpaceMismatch: the vector lives in another space.
            InvalidInput: it is of more or fewer rows than one.
        """
        if not isinstance(to, Vectors):
            return self.analogy(positive=[to], k=k, among=among)
        self.space.require(to.space, "compare this vector with the words")
        if len(to) != 1:
            raise InvalidInput(f"Expected Vectors of one row, got {len(to)}. Ask for one at a time: vectors[0:1].")
        return self._near(to.comparable, [[]], k, among)

    def analogy(
        self,
        expression: str | None = None,
        k: int = 10,
        *,
        positive: Sequence[str] = (),
        negative: Sequence[str] = (),
        method: Method = "add",
        among: int | None = None,
    ) -> list[Near]:
        """Answer ``king - man + woman``: the words nearest to a sum of words, these left out.

        Args:
            expression: words with ``+`` and ``-`` between, spaces around them. Or else:
            positive: words to add.
            negative: words to take away.
            k: words to find, at most.
            method: ``"add"``, the sum of unit vectors (Mikolov, Yih and Zweig 2013), or ``"multiply"``, the
                product of similarities over that of those to take away (3CosMul, Levy and Goldberg 2014).
            among: look at the most frequent words only, this many.

        Returns:
            The best first.

        Raises:
            NotFound: a word is not known.
            InvalidInput: nothing to add, or an expression that cannot be read.
        """
        if expression is not None:
            if positive or negative:
                raise InvalidInput("Give either an expression, or positive and negative words.")
            positive, negative = parse_expression(expression)
        if isinstance(positive, str) or isinstance(negative, str):
            raise InvalidInput("positive and negative are lists of words; give one word as ['king'].")
        if not positive:
            raise InvalidInput("An analogy needs a word to add, such as 'king - man + woman'.")
        if method not in get_args(Method):
            raise InvalidInput(f"method must be 'add' or 'multiply', got {method!r}.")
        given = [*positive, *negative]
        vectors = self.vectors(given).comparable
        out = [row for row in self._table.find(given).tolist() if row >= 0]
        if method == "multiply":
            return self._near(vectors, [out], k, among, _quotient(len(positive)))
        signs = np.array([1.0] * len(positive) + [-1.0] * len(negative), np.float32)
        total = (signs @ vectors)[None, :]
        if not total.any():
            raise InvalidInput("The words cancel each other out, so there is nothing to be near to.")
        return self._near(unit(total), [out], k, among)

    def odd_one_out(self, words: Sequence[str]) -> str:
        """The word that is farthest from the mean of all of them.

        Raises:
            NotFound: a word is not known.
            InvalidInput: fewer than three words.
        """
        if isinstance(words, str) or len(words) < 3:
            raise InvalidInput(f"Expected a list of at least three words, got {words!r}.")
        vectors = self.vectors(words).comparable
        return words[int((vectors @ vectors.mean(axis=0)).argmin())]

    def _near(
        self,
        queries: Matrix,
        out: list[list[int]],
        k: int,
        among: int | None,
        combine: Callable[[Matrix], Matrix] | None = None,
    ) -> list[Near]:
        k = _positive(k, "k")
        among = None if among is None else _positive(among, "among")
        rows, scores = self._table.best(queries, k, leave_out=out, combine=combine, among=among)
        pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        return [Near(self._table.words[row], score) for row, score in pairs if row >= 0]

    def _unknown(self, word: str) -> str:
        rows = self._table.find([word])
        if rows[0] >= 0:
            return f"The vector of {word!r} is all zeros, which has no direction."
        # Spelling is compared with the frequent words that begin alike; with all it would take seconds.
        begin = word[:1].lower()
        close = get_close_matches(word, [other for other in self._table.frequent if other[:1].lower() == begin], 3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        return f"The word {word!r} is not among the {len(self):,} words of {self.encoder.name}.{hint}"


def parse_expression(expression: str) -> tuple[list[str], list[str]]:
    """Take ``king - man + woman`` apart.

    Returns:
        Words to add, and words to take away.

    Raises:
        InvalidInput: two words without a sign between, or a sign without a word behind.
    """
    if not isinstance(expression, str):
        raise InvalidInput(f"Expected an expression such as 'king - man + woman', got {expression!r}.")
    pieces = [piece.strip() for piece in _OPERATOR.split(expression)]
    if pieces[0] or len(pieces) == 1:
        pieces.insert(0, "+")  # of the first word, which needs none
    else:
        del pieces[0]
    words: dict[bool, list[str]] = {True: [], False: []}
    for sign, word in zip(pieces[::2], pieces[1::2], strict=True):
        if len(word.split()) != 1:
            what = f"{word!r} has no sign between its words" if word else f"no word follows {sign!r}"
            raise InvalidInput(f"Expected words with + and - between, as in 'king - man + woman'; {what}.")
        words[sign == "+"].append(word)
    return words[True], words[False]


def _quotient(positive: int) -> Callable[[Matrix], Matrix]:
    def combine(cosines: Matrix) -> Matrix:
        shares = (cosines + 1) / 2  # from 0 to 1, as the paper does to have no negative factors
        above, below = shares[:positive].prod(axis=0), shares[positive:].prod(axis=0)
        quotient: Matrix = (above / (below + _SMALL))[None, :]
        return quotient

    return combine


def _positive(number: int, name: str) -> int:
    if type(number) is not int or number < 1:
        raise InvalidInput(f"{name} must be a positive int, got {number!r}.")
    return number
