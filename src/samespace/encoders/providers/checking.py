"""Whether an answer is one to the question: its count, order, dimension, numbers, and the model that gave it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from samespace.encoders.canaries import TOLERANCE, distance
from samespace.encoders.providers.answers import Answer
from samespace.encoders.providers.failures import Failure
from samespace.space import Role
from samespace.vectors import Matrix, unit

__all__ = ["WITNESSES", "Expected", "Question", "Witnesses", "WrongDimension", "witnesses"]

# They are short, since they are paid for in every request.
WITNESSES = _FIRST, _SECOND = "a canary in a coal mine", "Seven plus five makes twelve."
_chance = random.Random()  # noqa: S311  no secret; its own, so that a user's seed stays theirs
_BETWEEN = 64  # texts of a request for one more witness among them
_ALIKE = 1e-6  # of the squared lengths: two texts that are as near as that got one vector


@dataclass(frozen=True, slots=True)
class Expected:
    """What every vector must be.

    Attributes:
        dimension: of the vectors.
        unit: scale them to length 1, as cosine wants and shortened vectors need.
    """

    dimension: int
    unit: bool


@dataclass(frozen=True, slots=True)
class Question:
    """The texts of a request with the witnesses among them.

    Attributes:
        texts: as they are sent.
        asked: rows of the texts that somebody wants.
        witnesses: rows of the witnesses, and for each which of the two it is.
        learning: it is the first of its role, which witnesses are known by.
    """

    texts: list[str]
    asked: list[int]
    witnesses: list[tuple[int, int]]
    learning: bool


class WrongDimension(Failure):
    """Vectors are of another length than expected."""


class Witnesses:
    """Two texts whose vectors are known. They go with every request and tell when its order or its model is another.

    An order that an answer declares can lie, and most declare none. So one of the two is the first text, the
    other the last, and more stand at random places between. The first request of a role has four of them, in an
    order that shows itself: the first two alike, the third and the last alike, and these other than those.
    An exchange of two texts between the witnesses is not seen.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Role, Matrix] = {}
        self._recalled: set[Role] = set()
        self._model: str | None = None

    def known(self, role: Role) -> bool:
        """The vectors of this role's witnesses are known."""
        return role in self._known

    def settled(self, role: Role) -> bool:
        """They are known, and an answer of this process agreed."""
        return role in self._known and role not in self._recalled

    def vectors(self, role: Role) -> Matrix:
        """Of the two texts, float32 of shape (2, dimension)."""
        return self._known[role]

    def recall(self, role: Role, vectors: Matrix) -> None:
        """Take these, which an earlier process kept, for known: the model may have been exchanged since."""
        self._recalled.add(role)
        self._known[role] = vectors

    def ask(self, texts: Sequence[str], role: Role) -> Question:
        """Put witnesses among the texts of a request."""
        learning = not self.known(role)
        places: list[tuple[str, int]] = [("", row) for row in range(len(texts))]
        pair = (_FIRST, _SECOND)
        for number in range(len(texts) // _BETWEEN):
            places.insert(_chance.randrange(len(places) + 1), (pair[number % 2], number % 2))
        places = [(_FIRST, 0), *([(_FIRST, 0), (_SECOND, 1)] if learning else []), *places, (_SECOND, 1)]
        return Question(
            [witness or texts[which] for witness, which in places],
            [place for place, (witness, _) in enumerate(places) if not witness],
            [(place, which) for place, (witness, which) in enumerate(places) if witness],
            learning,
        )

    def check(self, answer: Answer, question: Question, role: Role, expected: Expected | None) -> Matrix:
        """The vectors of the texts that were asked for, in their order.

        Args:
            answer: as it came.
            question: that it is to.
            role: of the texts.
            expected: None where nothing is known yet.

        Raises:
            Failure: the answer is not one to the question, and in what.
        """
        array = _ordered(answer, len(question.texts))
        if expected is not None and array.shape[1] != expected.dimension:
            raise WrongDimension(
                f"vectors of dimension {array.shape[1]} came, expected {expected.dimension}", "wrong", billed=True
            )
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.vecdot(array, array, dtype=np.float64)
        if len(bad := np.flatnonzero(~np.isfinite(squares))):
            raise _wrong(f"the vector of text {bad[0]} of {len(array)} holds NaN or infinity")
        if len(bad := np.flatnonzero(squares == 0)):
            raise _wrong(f"the vector of text {bad[0]} of {len(array)} is all zeros")
        if expected is not None and expected.unit:
            array = unit(array)
        self._testify(array, question, role)
        self._same_model(answer.model)
        return np.ascontiguousarray(array[question.asked])

    def _testify(self, array: Matrix, question: Question, role: Role) -> None:
        rows = [row for row, _ in question.witnesses]
        which = [each for _, each in question.witnesses]
        if question.learning:
            known = np.stack([array[rows[0]], array[rows[2]]])
            if ((known[0] - known[1]) ** 2).sum() <= _ALIKE * (known**2).sum():
                raise _wrong("two texts that have nothing in common got one and the same vector")
        else:
            known = self._known[role]
        # The distance is one of whole sets, so each witness is compared as one of the two.
        moved = max(
            distance(known, np.stack([array[row], known[1]]) if each == 0 else np.stack([known[0], array[row]]))
            for row, each in zip(rows, which, strict=True)
        )
        if not moved <= TOLERANCE and role in self._recalled:
            raise _wrong(
                "the model there is not the one whose vectors are kept, or the order of its vectors is wrong: a text "
                f"whose vector is kept came back at a distance of {moved:.3g}, and the same model stays below "
                f"{TOLERANCE:g}. If another model is meant, run `samespace cache --forget` with the id of its "
                "space, and make a new collection"
            )
        if not moved <= TOLERANCE:
            raise _wrong(
                "the order of the vectors is not that of the texts, or another model answered: a text whose vector "
                f"is known came back at a distance of {moved:.3g}, and the same model stays below {TOLERANCE:g}"
            )
        if question.learning:
            self._known[role] = known
        self._recalled.discard(role)

    def _same_model(self, model: str | None) -> None:
        if not isinstance(model, str) or not model:
            return
        with self._lock:
            self._model = self._model or model
            if model != self._model:
                raise _wrong(
                    f"the answer is of the model {model[:80]!r}, and those before were of {self._model[:80]!r}"
                )


def witnesses(texts: int) -> int:
    """How many witnesses at most go with so many texts."""
    return 4 + texts // _BETWEEN


def _ordered(answer: Answer, count: int) -> Matrix:
    """The rows in the order of the texts, by what the answer says about it."""
    if len(answer.array) != count:
        raise _wrong(f"{len(answer.array)} vectors came for {count} texts")
    if answer.order is None:
        return answer.array
    if sorted(row for row in answer.order if type(row) is int) != list(range(count)):
        raise _wrong(f"the answer does not number its {count} vectors from 0 to {count - 1}, each once")
    array = np.empty_like(answer.array)
    array[answer.order] = answer.array
    return array


def _wrong(words: str) -> Failure:
    return Failure(words, "wrong", billed=True)
