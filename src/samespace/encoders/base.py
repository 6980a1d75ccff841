"""The protocol of everything that turns items into vectors of one space."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.canaries import CANARIES, Canaries
from samespace.errors import InvalidInput, PromptWarning
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts, Vectors, are_vectors, concatenate

if TYPE_CHECKING:
    from samespace.encoders.cache import VectorCache

__all__ = ["Encoder", "Progress"]

Progress = Callable[[int], None]
"""Called, in the thread that asked, with the number of items just finished."""

_WINDOW = 1024


def _silent(_items: int) -> None:
    """Report progress to nobody."""


class Encoder(ABC):
    """Makes vectors in one space out of texts. Safe to use from several threads.

    Every text must have something to encode: a text that is empty, blank, or holds nothing that the model
    knows is an error that names its row, because its vector would mean nothing and be found for anything.

    Attributes:
        name: what :func:`samespace.encoders.encoder` was called with.
        space: where the vectors live; known before any weights are loaded.
        max_tokens: tokens an item may have before it is truncated, special tokens included; None: no limit.
        setup: what makes the vectors here (runtime, precision, versions, address); another one must prove that it
            makes the same.
        canaries: texts for that proof, which it knows something in.
        cache: where vectors are kept that were made once; None: nowhere.
        cached: keeping a vector is worth it, since finding it again costs less than making it.
        paid: making vectors costs money, so it keeps what was made on stable storage before more is made.
        window: texts that it is handed at a time.
    """

    name: str
    space: Space
    max_tokens: int | None
    setup: str = ""
    canaries: tuple[str, ...] = CANARIES
    cache: VectorCache | None = None
    cached: bool = True
    paid: bool = False
    window: int = _WINDOW
    _proven: bool = True
    _made: Canaries | None = None
    _made_at: float = 0.0

    @abstractmethod
    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode a window of texts that carry their prompt already.

        Args:
            texts: at least one, each of them valid Unicode.
            role: for models that are told it otherwise than by a prompt.
            progress: to be called as items are finished, ``len(texts)`` in all.

        Returns:
            float32 of shape ``(len(texts), dimension)`` in the order of ``texts``, and the receipts. A row of
            zeros says that the model knows nothing in that text.
        """

    def encode_documents(self, items: Iterable[str], *, progress: Progress | None = None) -> Vectors:
        """Encode texts that are to be found.

        Args:
            items: any number of texts, from a list or a stream.
            progress: called with the number of items just finished.

        Returns:
            One row for each item, in order, with its :attr:`~samespace.vectors.Vectors.receipts`. No items
            give Vectors of shape ``(0, dimension)``.

        Raises:
            InvalidInput: an item is not a text or has nothing to encode; the message names its row.
        """
        return self._encode_all(items, "document", progress)

    def encode_queries(self, items: Iterable[str], *, progress: Progress | None = None) -> Vectors:
        """Encode texts that search. As :meth:`encode_documents`, in the role of a query."""
        return self._encode_all(items, "query", progress)

    def stream(self, items: Iterable[str], role: Role = "document", *, batch: int = _WINDOW) -> Iterator[Vectors]:
        """Encode a stream of any length, holding one batch of it at a time.

        Args:
            items: texts; read only as far as the batch that is asked for.
            role: ``"document"`` or ``"query"``.
            batch: items in each of the Vectors but the last, which may have fewer.

        Yields:
            Vectors with receipts, in order.

        Raises:
            InvalidInput: as :meth:`encode_documents`; the batches before the bad item's have been yielded.
        """
        if type(batch) is not int or batch < 1:
            raise InvalidInput(f"batch must be a positive int, got {batch!r}.")
        return self._windows(_items(items), _role(role), batch, _silent)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Count the tokens of each text as a document, its prompt and special tokens included.

        Returns:
            int32 of shape ``(len(texts),)``: what ``receipts.total`` would be.
        """
        window = [self._prompted("document", text, row) for row, text in enumerate(_items(texts))]
        return self._count(window) if window else np.empty(0, np.int32)

    @property
    def distinguishes_roles(self) -> bool:
        """A text gets another vector as a query than as a document."""
        declared = (self.space.prompts, self.space.tasks)
        return any(by_role.get("query") != by_role.get("document") for by_role in declared)

    def prove(self) -> Canaries:
        """The vectors of the canaries, after a test that they are those of the encoder's space.

        Raises:
            SpaceMismatch: another setup, or this one on another day, made other vectors of them.
            EncoderError: documents and queries get the same vectors, though the space says otherwise.
        """
        from samespace.encoders.proof import is_stale, proven

        if self._made is None or is_stale(self.space, self._made_at):
            self._made, self._made_at = proven(self), time.time()
            self._proven = True
        return self._made

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Count the tokens of texts that carry their prompt. Override it where that needs no encoding."""
        return self._encode(texts, "document", _silent)[1].total

    def _encode_all(self, items: Iterable[str], role: Role, progress: Progress | None) -> Vectors:
        if progress is not None and not callable(progress):
            raise InvalidInput(f"progress must be a function of the number of items done, got {progress!r}.")
        parts = list(self._windows(_items(items), role, self.window, progress or _silent))
        return concatenate(parts, self.space, role)

    def _windows(self, items: Iterator[str], role: Role, size: int, progress: Progress) -> Iterator[Vectors]:
        first, prompt, doubled = 0, self.space.prompts.get(role), False
        while window := list(islice(items, size)):
            texts = [self._prompted(role, text, row) for row, text in enumerate(window, first)]
            if prompt and not doubled and (doubled := any(text.startswith(prompt) for text in window)):
                _warn_of_prompt(self.name, prompt, role)
            for row, text in enumerate(window, first):
                if not text.strip():
                    raise InvalidInput(f"Item {row} is blank, so there is nothing to encode. Leave it out.")
            array, receipts = self._remembered(texts, role, progress)
            if len(unknown := np.flatnonzero(~array.any(axis=1))):
                text = window[unknown[0]]
                raise InvalidInput(
                    f"Item {first + unknown[0]} holds nothing that the encoder {self.name!r} knows: "
                    f"{text[:40]!r}. Leave it out."
                )
            yield Vectors(array, self.space, role, receipts=receipts)
            first += len(window)

    def _remembered(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode what the cache does not have, each text once."""
        if not self._proven:
            self.prove()
        if self.cache is None:
            return self._encode(texts, role, progress)
        found = self.cache.find(self.space, role, texts)
        missing = np.flatnonzero(~found.there).tolist()
        # A text that stands there twice is encoded once.
        new = list(dict.fromkeys(texts[row] for row in missing))
        if len(new) < len(texts):
            progress(len(texts) - len(new))
        if new:
            array, receipts = self._encode(new, role, progress)
            if not self.paid:
                self._keep(new, role, array, receipts)
            places = {text: place for place, text in enumerate(new)}
            source = [places[texts[row]] for row in missing]
            found.array[missing] = array[source]
            found.seen[missing], found.total[missing] = receipts.seen[source], receipts.total[source]
        return found.array, Receipts(found.seen, found.total)

    def _keep(self, texts: Sequence[str], role: Role, array: Matrix, receipts: Receipts) -> bool:
        """Put vectors into the cache, if there is one. A paid encoder calls it itself, after each request.

        Returns:
            True if they are there now.
        """
        if self.cache is None:
            return False
        # What is no vector of the space is reported later, and must not come back then.
        good = np.flatnonzero(are_vectors(array, self.space)).tolist()
        if len(good) < len(texts):
            texts, array, receipts = [texts[row] for row in good], array[good], receipts[good]
        return self.cache.keep(self.space, role, texts, array, receipts, durable=self.paid)

    def _prompted(self, role: Role, text: str, row: int) -> str:
        if not isinstance(text, str):
            raise InvalidInput(f"Item {row} must be a text (str), got {type(text).__name__}.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"Item {row} is not valid Unicode: {error.reason} at character {error.start}. "
                "Read it again with its right encoding, or with errors='replace'."
            ) from None
        return self.space.prompts.get(role, "") + text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.space})"


def _warn_of_prompt(name: str, prompt: str, role: Role) -> None:
    warnings.warn(
        f"A text begins with {prompt!r}, which the encoder {name!r} puts in front of every {role} itself; it would "
        "stand there twice. Take it off the texts.",
        PromptWarning,
        stacklevel=5,
    )


def _items(items: Iterable[str]) -> Iterator[str]:
    if isinstance(items, str | bytes):
        what = type(items).__name__
        raise InvalidInput(f"Expected a list of texts, got one {what}. Put it in a list: [text].")
    try:
        return iter(items)
    except TypeError:
        raise InvalidInput(f"Expected a list of texts, got {type(items).__name__}.") from None


def _role(role: Role) -> Role:
    if role not in get_args(Role):
        raise InvalidInput(f"role must be 'document' or 'query', got {role!r}.")
    return role
