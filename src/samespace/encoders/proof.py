"""Canaries at work: an encoder proves that it still is what it was, whatever its name says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.canaries import TOLERANCE, Canaries, distance
from samespace.errors import CostExceeded, EncoderError, SpaceMismatch
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts

__all__ = ["Adopted", "adopt", "is_stale", "make", "proven", "require_same"]

_DAY = 86_400.0


def make(encoder: Encoder) -> Canaries:
    """Encode the canaries now, past every cache, and test what the encoder declares.

    Raises:
        EncoderError: it declares prompts or tasks by role, and both roles give the same vectors.
        CostExceeded: the cap does not even allow this.
    """
    texts = encoder.canaries
    if encoder.paid:  # which keeps what it makes as anybody's text, before it is proven
        encoder = copy(encoder)
        encoder.cache = None

    def encode(role: Role) -> Matrix:
        try:
            array, _ = encoder._encode([encoder._prompted(role, text, 0) for text in texts], role, lambda _done: None)
        except CostExceeded as error:
            raise CostExceeded(f"The fixed texts that prove an encoder come before all others. {error}") from None
        return np.ascontiguousarray(array, np.float32)

    if not texts:
        nothing = np.empty((0, encoder.space.dimension), np.float32)
        return Canaries(nothing, nothing)
    documents = encode("document")
    if not encoder.distinguishes_roles:
        return Canaries(documents, documents)
    queries = encode("query")
    if distance(documents, queries) < 1e-6:
        raise EncoderError(
            f"The encoder {encoder.name!r} declares {_declared(encoder.space)}, but gives documents and queries the "
            "same vectors, so these never reach the model. Check that its server or its files apply them."
        )
    return Canaries(documents, queries)


def proven(encoder: Encoder) -> Canaries:
    """The canaries of an encoder, which were compared with all that is kept of its space on this machine.

    They are made once for a setup (:attr:`Encoder.setup`); where no digest says what the weights are, once a day.

    Raises:
        SpaceMismatch: another setup, or this one at another time, gave other vectors.
        EncoderError: as :func:`make`.
    """
    cache = encoder.cache
    kept = cache.canaries(encoder.space) if cache else {}
    checked, content = kept.get(encoder.setup, (0.0, b""))
    if content and not is_stale(encoder.space, checked) and (known := Canaries.from_bytes(content)):
        return known
    now = make(encoder)
    for setup, (_, content) in kept.items():
        if before := Canaries.from_bytes(content):
            require_same(
                encoder.space,
                before,
                now,
                f"use the encoder {encoder.name!r} by {encoder.setup}",
                f"as {setup} made them",
            )
    if cache:
        cache.keep_canaries(encoder.space, encoder.setup, now.to_bytes())
    return now


def is_stale(space: Space, checked: float) -> bool:
    """Whether a check at that time must be repeated, since no digest says what the weights are."""
    return space.digest is None and not 0 <= time.time() - checked < _DAY


def require_same(space: Space, kept: Canaries, now: Canaries, action: str, whose: str) -> None:
    """Raise unless two encoders made the same of the canaries.

    Args:
        space: of both.
        kept: the canaries of the space.
        now: those of the encoder in question.
        action: what was about to happen, to end the sentence "Cannot …".
        whose: where the kept ones come from.

    Raises:
        SpaceMismatch: with the distances.
    """
    if (far := _far_apart(kept, now)) is None:
        return
    raise SpaceMismatch(
        f"Cannot {action}: its vectors of fixed texts are not those of the space {whose}. The distance is "
        f"{far}, and one model stays below {TOLERANCE:g} on any "
        "runtime. The model, its tokenizer, prompt, pooling or layer changed, or another is served under its name. Go "
        f"back to the one before; or, if the change is meant, run 'samespace cache --forget {space.id}' and encode "
        "everything again into a new collection."
    )


def adopt(encoder: Encoder, space: Space, kept: Canaries | None, action: str) -> Encoder:
    """The encoder as one of ``space``, if its canaries prove that it is.

    Two names of one model (behind another URL, in another precision, by another version of a library) make two
    spaces, and the vectors say that it is one.

    Args:
        encoder: that came.
        space: that it is to serve.
        kept: canaries of ``space``; None where nobody kept any.
        action: what was about to happen, to end the sentence "Cannot …".

    Raises:
        SpaceMismatch: the spaces differ, and nothing proves that they are one.
    """
    if encoder.space == space:
        return encoder
    try:
        space.require(encoder.space, action)
    except SpaceMismatch as error:
        alike = (space.dimension, space.metric) == (encoder.space.dimension, encoder.space.metric)
        if kept is None or not len(kept.document) or not alike:
            raise
        if far := _far_apart(kept, encoder.prove()):
            raise SpaceMismatch(
                f"{error} Its vectors of fixed texts are at a distance of {far}, where one model under two names stays "
                f"below {TOLERANCE:g}."
            ) from None
    return Adopted(encoder, space)


class Adopted(Encoder):
    """Encodes as an encoder does, and says what was proven: that its vectors live in a space of another name."""

    def __init__(self, encoder: Encoder, space: Space) -> None:
        self.name, self.space, self.max_tokens = encoder.name, space, encoder.max_tokens
        self.cached, self.paid, self.window = encoder.cached, encoder.paid, encoder.window
        self.canaries = encoder.canaries
        self._encoder = encoder

    @property
    def setup(self) -> str:  # type: ignore[override]
        return self._encoder.setup

    def prove(self) -> Canaries:
        return self._encoder.prove()

    @property
    def distinguishes_roles(self) -> bool:
        return self._encoder.distinguishes_roles

    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        # Its own cache, under its own space: what it keeps in the middle of a run must be found there.
        return self._encoder._remembered(texts, role, progress)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return self._encoder._count(texts)

    def _prompted(self, role: Role, text: str, row: int) -> str:
        return self._encoder._prompted(role, text, row)

    def __getattr__(self, name: str) -> Any:
        """What else the encoder can do, such as an estimate of the cost."""
        return getattr(self._encoder, name)


def _far_apart(kept: Canaries, now: Canaries) -> str | None:
    """The distances by role, in words; None where they are those of one model."""
    document, query = distance(kept.document, now.document), distance(kept.query, now.query)
    if max(document, query) <= TOLERANCE:
        return None
    return f"{document:.3g} for documents and {query:.3g} for queries"


def _declared(space: Space) -> str:
    kinds = {"prompt": space.prompts, "task": space.tasks}
    return ", ".join(f"the {kind} {text!r} for a {role}" for kind, by in kinds.items() for role, text in by.items())
