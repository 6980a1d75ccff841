"""The protocol of everything that turns items into vectors of one space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts, Vectors, concatenate

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
    """

    name: str
    space: Space
    max_tokens: int | None

    @abstractmethod
    def _encode(self, texts: Sequence[str], progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode a window of texts that carry their prompt already.

        Args:
            texts: at least one, each of them valid Unicode.
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

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Count the tokens of texts that carry their prompt. Override it where that needs no encoding."""
        return self._encode(texts, _silent)[1].total

    def _encode_all(self, items: Iterable[str], role: Role, progress: Progress | None) -> Vectors:
        if progress is not None and not callable(progress):
            raise InvalidInput(f"progress must be a function of the number of items done, got {progress!r}.")
        parts = list(self._windows(_items(items), role, _WINDOW, progress or _silent))
        return concatenate(parts, self.space, role)

    def _windows(self, items: Iterator[str], role: Role, size: int, progress: Progress) -> Iterator[Vectors]:
        first = 0
        while window := list(islice(items, size)):
            texts = [self._prompted(role, text, row) for row, text in enumerate(window, first)]
            for row, text in enumerate(window, first):
                if not text.strip():
                    raise InvalidInput(f"Item {row} is blank, so there is nothing to encode. Leave it out.")
            array, receipts = self._encode(texts, progress)
            if len(unknown := np.flatnonzero(~array.any(axis=1))):
                text = window[unknown[0]]
                raise InvalidInput(
                    f"Item {first + unknown[0]} holds nothing that the encoder {self.name!r} knows: "
                    f"{text[:40]!r}. Leave it out."
                )
            yield Vectors(array, self.space, role, receipts=receipts)
            first += len(window)

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
