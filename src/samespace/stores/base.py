"""What every store can do: durable rows in one space, wherever they are."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from samespace.errors import CollectionCorrupt, InvalidVectors, Unsupported
from samespace.hits import Hit
from samespace.space import Space
from samespace.vectors import Matrix
from samespace.where import Condition

__all__ = [
    "EXACT",
    "Block",
    "Feature",
    "Figures",
    "Store",
    "Tokens",
    "Written",
    "check_vectors",
    "damaged_note",
    "json_note",
    "parsed",
    "picked",
    "sealed",
    "seals",
]

Tokens = tuple[int | None, int | None]
Feature = Literal["text", "order", "exact", "tuning", "seals"]

EXACT = 0  # the effort that compares with every vector

_ROUNDED = 0.002  # from 1 is the square of a length that was 1, and then rounded


class Written(NamedTuple):
    """What one write did."""

    added: int
    replaced: int


@dataclass(frozen=True, eq=False)
class Block:
    """Rows, column by column.

    Attributes:
        ids: no id twice.
        metadata: JSON text of an object, one a row.
        vectors: comparable, float32 of shape (n, dimension).
        tokens: tokens seen and tokens in all, by the encoder; None where the vector came from elsewhere.
        seals: what binds each row's id, content and vector to the space, as :func:`seals` makes it. None for a row
            that something else wrote; None for all of them where a store keeps none.
    """

    ids: list[str]
    contents: list[str | None]
    metadata: list[str]
    vectors: Matrix
    tokens: list[Tokens]
    seals: list[bytes | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Self:
        return type(self)(
            self.ids[part],
            self.contents[part],
            self.metadata[part],
            self.vectors[part],
            self.tokens[part],
            None if self.seals is None else self.seals[part],
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine says of a collection.

    Attributes:
        engine: that answers searches without a filter (``"hnsw"``, ``"exact"``, …).
        indexed: rows that it covers.
        size: bytes, indexes included; None where the engine does not say.
        truncated: rows longer than their encoder read.
        note: what is not as it should be, or what the user should know; empty when there is nothing.
    """

    engine: str
    indexed: int
    size: int | None
    truncated: int
    note: str = ""


class Store(ABC):
    """Durable rows in one space. Safe to use from several threads.

    Rows are ordered by insertion; a row that is replaced goes to the end. A score is higher when it is better: cosine
    similarity, dot product, or minus the Euclidean distance; hits of equal score stand in the order of rows. What is
    written is found by the next call, from here and from everywhere.

    Every failure of an engine or a connection is raised as an error of :mod:`samespace.errors`: ``StoreUnavailable``
    (no server, or gone in the middle), ``AccessDenied``, ``CollectionCorrupt`` (what is there is not a collection of
    ours, or not whole), ``StorageFull``, ``Unsupported``, or their root ``StorageError``; ``InvalidInput`` for a row
    that the engine cannot hold, naming it, before anything is written.

    Attributes:
        address: where it is, without passwords and keys.
        space: of every vector in it.
        encoder: name of the encoder that makes its vectors, as it was kept with the collection.
    """

    lacks: ClassVar[Mapping[Feature, str]] = {}
    """What the engine cannot do, each with the reason in a few words."""

    engines: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    """Indexes that ``build`` makes, by name, each with the efforts that searches may choose from, ascending."""

    most_hits: ClassVar[int | None] = None
    """The most that one search gives; None where there is no limit."""

    address: str
    space: Space
    encoder: str | None

    # Rows

    def write(self, block: Block) -> Written:
        """Insert rows, or replace those that have these ids, durably; all of them or, after an error, none.

        An engine without transactions leaves whole rows when it fails in the middle, and the same call again mends it.

        Raises:
            InvalidInput, InvalidVectors: a row cannot be held here; nothing was written.
        """
        return self.write_sealed(replace(block, seals=seals(self.space, block)))

    def write_sealed(self, block: Block) -> Written:
        """Write rows as :meth:`write` does, whose seals the caller has just made."""
        check_vectors(block, self.space)
        return self._write(block) if len(block) else Written(0, 0)

    @abstractmethod
    def _write(self, block: Block) -> Written:
        """Write rows, of which there is at least one, with their seals."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> int:
        """Delete the rows of these ids, and say how many there were."""

    @abstractmethod
    def delete_where(self, condition: Condition) -> int:
        """Delete the rows that meet a condition, and say how many there were."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> Block:
        """The rows of these ids, in the order asked; ids that are not there are left out."""

    @abstractmethod
    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        """All rows, or those that meet a condition, in order, in blocks of some thousands.

        It ends with the row that was the last when it began. A row that is rewritten before it is reached goes behind
        that, and is found by going on after the last cursor.

        Args:
            condition: a filter.
            after: the cursor of the block after which to go on.

        Yields:
            a block that is not empty, and its cursor: a text that stays good while its rows do.
        """

    @abstractmethod
    def count(self, condition: Condition | None = None) -> int:
        """How many rows there are, or meet a condition."""

    # Searching

    @abstractmethod
    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        """The ``k`` best rows for each query, or all if fewer meet the condition.

        Args:
            queries: comparable, float32 of shape (q, dimension).
            k: at least 1.
            condition: a filter, met exactly.
            effort: of the index, one of ``engines``; :data:`EXACT` compares with every vector; None is the engine's
                own choice.

        Raises:
            Unsupported: the engine cannot express the condition, or search exactly.
        """

    def match_text(self, words: str, k: int, condition: Condition | None = None) -> list[Hit]:  # noqa: ARG002
        """The ``k`` best rows for a text by its words.

        Raises:
            Unsupported: the engine has no full text.
        """
        raise self.unsupported("text", "Search by words")

    # What the collection knows of itself

    @abstractmethod
    def note(self, name: str) -> bytes | None:
        """What is kept under a name, such as ``"canaries"``; None if nothing is."""

    @abstractmethod
    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        """Keep some bytes under a name, durably. With ``replace=False``, what is there stays."""

    @abstractmethod
    def figures(self) -> Figures:
        """The collection in figures, cheaply."""

    @abstractmethod
    def problems(self) -> list[str]:
        """What the engine's tables and indexes have that does not fit the space, a sentence each; cheap.

        Such as another dimension, another metric, an index that is not valid.
        """

    def unsealed(self) -> int:
        """How many rows have no seal: something else wrote them. Cheap; 0 where a store keeps no seals."""
        return 0

    def build(self, engine: str, progress: Any = None) -> None:  # noqa: ARG002
        """Make the index ``engine``, or make it anew, while searches go on; ``"exact"`` drops it.

        Raises:
            Unsupported: the engine looks after its index by itself.
        """
        raise self.unsupported("tuning", f"Building {engine!r}")

    def compact(self) -> None:  # noqa: B027 - most engines look after that by themselves
        """Give back the space of deleted rows, where the engine leaves that to its users."""

    @abstractmethod
    def drop(self) -> None:
        """Delete the collection with all that is in it, and close."""

    @abstractmethod
    def close(self) -> None:
        """Close connections. Closing twice is fine; anything else afterwards raises ``CollectionClosed``."""

    def unsupported(self, feature: Feature, what: str) -> Unsupported:
        """The error for a feature in ``lacks``."""
        return Unsupported(f"{what} is not possible in {self.address}: {self.lacks.get(feature, 'it has no such')}.")


def check_vectors(block: Block, space: Space) -> None:
    """Raise unless the vectors can be comparable ones of the space.

    Raises:
        InvalidVectors: naming the row.
    """
    vectors = block.vectors
    if vectors.dtype != np.float32 or vectors.shape != (len(block), space.dimension):
        raise InvalidVectors(
            f"Expected float32 vectors of shape ({len(block)}, {space.dimension}), got {vectors.dtype} of shape "
            f"{vectors.shape}."
        )
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if space.metric == "cosine":
        wrong = ~(np.abs(squares - 1) < _ROUNDED)
    else:
        wrong = ~np.isfinite(squares)
        wrong[wrong] = ~np.isfinite(vectors[wrong]).all(axis=1)  # large numbers, whose squares are too large
    if wrong.any():
        row = block.ids[int(wrong.argmax())]
        raise InvalidVectors(f"The vector of row {row!r} is not one of {space}: NaN, infinite, or not of unit length.")


def seals(space: Space, block: Block) -> list[bytes | None]:
    """What binds each row's id, content and vector to the space: 12 bytes of BLAKE2b.

    It is no signature: whoever wants to can make one. It finds rows that another program wrote or changed.
    """
    base = hashlib.blake2b(space.id.encode(), digest_size=12)
    vectors = np.ascontiguousarray(block.vectors, "<f4")
    sealed: list[bytes | None] = []
    for name, content, vector in zip(block.ids, block.contents, vectors, strict=True):
        state = base.copy()
        for part in (name.encode(), b"\0" if content is None else b"\1" + content.encode()):
            state.update(len(part).to_bytes(8, "little"))
            state.update(part)
        state.update(vector)
        sealed.append(state.digest())
    return sealed


def sealed(space: Space, block: Block) -> NDArray[np.bool_]:
    """Where a block's seals are what they should be, bool of shape (n,); everywhere, if its store keeps none."""
    if block.seals is None:
        return np.ones(len(block), np.bool_)
    return np.array([kept == made for kept, made in zip(block.seals, seals(space, block), strict=True)], np.bool_)


def picked(block: Block, rows: NDArray[np.int64]) -> Block:
    """Some rows of a block, int64 of shape (n,)."""
    chosen = rows.tolist()
    return Block(
        [block.ids[row] for row in chosen],
        [block.contents[row] for row in chosen],
        [block.metadata[row] for row in chosen],
        block.vectors[rows],
        [block.tokens[row] for row in chosen],
        None if block.seals is None else [block.seals[row] for row in chosen],
    )


def json_note(store: Store, name: str) -> Any:
    """What a note says that is kept as JSON; None if there is none.

    Raises:
        CollectionCorrupt: it is damaged.
    """
    kept = store.note(name)
    if kept is None:
        return None
    try:
        return json.loads(kept)
    except ValueError as error:
        raise damaged_note(store, name) from error


def damaged_note(store: Store, name: str) -> CollectionCorrupt:
    """The error for a note that cannot be read."""
    return CollectionCorrupt(
        f"What {store.address} keeps as {name!r} cannot be read: it is damaged, or a newer samespace wrote it. "
        "Upgrade samespace, or keep it anew (tune, copy to a new target, verify)."
    )


def parsed(metadata: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The metadata of rows, of which there may be none. One JSON document is parsed much faster than many.

    Raises:
        CollectionCorrupt: something else wrote what is not JSON.
    """
    try:
        fields: list[dict[str, Any]] = json.loads(f"[{','.join(metadata)}]")
        if len(fields) == len(ids):
            return fields
    except ValueError:
        pass
    raise CollectionCorrupt(
        f"The metadata of a row among {ids[0]!r} … {ids[-1]!r} is not JSON; something else wrote it. "
        "Restore it from a backup."
    )
