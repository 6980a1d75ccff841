"""The collection: the one place where an encoder and a store meet."""

from __future__ import annotations

import json
import math
import operator
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from samespace.batches import Batch, batches, check_id, check_unicode
from samespace.encoders.base import Encoder
from samespace.encoders.canaries import Canaries
from samespace.errors import (
    InvalidInput,
    InvalidVectors,
    NotFound,
    SamespaceError,
    TruncationWarning,
)
from samespace.hits import Hit, Row
from samespace.indexed import IndexedStore
from samespace.memory import tier_by_name
from samespace.reports import AddReport, CompactReport, Info, Nearest
from samespace.served import Served
from samespace.stores.base import Block, Store, Tokens, parsed, sealed
from samespace.vectors import Matrix, Vectors
from samespace.where import parse

if TYPE_CHECKING:
    from samespace.recall.tune import Tuning

__all__ = ["AddReport", "Collection", "CompactReport", "Info", "Mode", "Nearest"]

Mode = Literal["vector", "text", "hybrid"]
Where = Mapping[str, Any] | None

_ENCODE_BATCH = 512  # rows a commit when they must be encoded: about half a second of work is at stake
_STORE_BATCH = 16_384  # rows a commit when they bring their vectors
_FUSED = 50  # how deep each ranking is read, at least, before two are fused
_MODES = get_args(Mode)


class Collection:
    """Rows of content, metadata and vector, all in one space. Made by :func:`open`; safe to use from threads.

    Attributes:
        path: the folder; of a collection on a server its URL, without the password.
        space: of every vector in it.
        store: its rows, as the stores' protocol has them (:class:`samespace.stores.base.Store`).
    """

    def __init__(
        self,
        rows: IndexedStore | Served,
        encoder: Encoder | None,
        remembered: Callable[[], tuple[Encoder | None, SamespaceError | None]] | None = None,
    ) -> None:
        self._rows = rows
        self.store = rows.store
        self.path: Path | str = Path(rows.store.address) if isinstance(rows, IndexedStore) else rows.store.address
        self.space = rows.store.space
        self._encoder_lock = threading.RLock()
        self._encoder, self._remembered = encoder, remembered
        self._refusal: SamespaceError | None = None
        self._proven = False

    # Writing

    def add(
        self,
        contents: Iterable[str | None],
        *,
        ids: Iterable[str] | None = None,
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
        vectors: Vectors | Iterable[Vectors] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Add rows, or replace those whose id is there.

        Everything may be a list or an iterator of any length; one batch is held at a time. Each batch is
        committed by itself and is on stable storage when ``progress`` is called, so an error or Ctrl-C in the
        middle loses no finished batch, and the same call again goes on from there: rows that are there with
        the same content and metadata are not encoded again.

        Args:
            contents: texts; None only for rows that bring their vector.
            ids: made from the content (:func:`samespace.content_id`) when left out. Of rows with one id in
                a call, the last counts.
            metadata: JSON values by name, one mapping a row.
            vectors: documents' vectors made elsewhere, with their space; left out, the encoder makes them.
            progress: called with the number of rows just made durable.

        Raises:
            SpaceMismatch: the vectors live in another space.
            InvalidInput, InvalidVectors: a row cannot be stored; the message names it.
            StorageFull, CollectionBusy: this batch was not written.
        """
        size = _STORE_BATCH
        if vectors is None:
            encoder = self.require_encoder()
            # What is paid for is kept at once, so there is no more at stake in a large batch.
            size = encoder.window if encoder.paid else _ENCODE_BATCH
        if progress is not None and not callable(progress):
            raise InvalidInput(f"progress must be a function of the number of rows done, got {progress!r}.")
        total = AddReport(0, 0, 0, 0)
        for batch, done in _behind(batches(contents, ids, metadata, vectors, self.space, size), self._add_batch):
            total = AddReport(*map(operator.add, total, done))
            if progress is not None:
                progress(batch.size)
        self._rows.settle()
        if total.truncated:
            warnings.warn(
                f"{total.truncated:,} of the rows added are longer than {self.encoder and self.encoder.max_tokens} "
                "tokens; their vectors stand for their beginnings only. Cut them into passages first.",
                TruncationWarning,
                stacklevel=2,
            )
        return total

    def _add_batch(self, batch: Batch) -> AddReport:
        if batch.vectors is not None:
            tokens: list[Tokens] = [(None, None)] * len(batch.ids)
            if batch.vectors.receipts is not None:
                tokens = _tokens(batch.vectors)
            rows = Block(batch.ids, batch.contents, batch.metadata, batch.vectors.comparable, tokens)
            return AddReport(*self.store.write(rows), 0, _truncated(tokens))
        known = self.store.get(batch.ids)
        # On a server others may write; what is not as it was written there is made again.
        place = {known.ids[row]: row for row in np.flatnonzero(sealed(self.space, known)).tolist()}
        changed = [
            row
            for row, (name, fields) in enumerate(zip(batch.ids, batch.metadata, strict=True))
            if name not in place
            or known.contents[place[name]] != batch.contents[row]
            or not _same_metadata(known.metadata[place[name]], fields)
        ]
        if not changed:
            return AddReport(0, 0, len(batch.ids), 0)
        ids, metadata = [batch.ids[row] for row in changed], [batch.metadata[row] for row in changed]
        contents = [batch.contents[row] for row in changed]
        vectors, tokens = self._encode(ids, contents, known, place)
        written = self.store.write(Block(ids, contents, metadata, vectors, tokens))
        return AddReport(*written, len(batch.ids) - len(changed), _truncated(tokens))

    def _encode(
        self, ids: list[str], contents: list[str | None], known: Block, place: Mapping[str, int]
    ) -> tuple[Matrix, list[Tokens]]:
        """Vectors and tokens of contents; a content that is stored under its id already keeps its vector."""
        vectors = np.empty((len(ids), self.space.dimension), np.float32)
        tokens: list[Tokens] = [(None, None)] * len(ids)
        fresh = []
        for row, (name, content) in enumerate(zip(ids, contents, strict=True)):
            old = place.get(name)
            if old is not None and known.contents[old] == content:
                vectors[row], tokens[row] = known.vectors[old], known.tokens[old]
            else:
                fresh.append(row)
        if fresh:
            made = self._prove_encoder(keep=True).encode_documents([str(contents[row]) for row in fresh])
            self.space.require(made.space, "add what the encoder made")
            vectors[fresh] = made.comparable
            for row, seen in zip(fresh, _tokens(made), strict=True):
                tokens[row] = seen
        return vectors, tokens

    @property
    def encoder(self) -> Encoder | None:
        """What makes its vectors; None where they come as Vectors, or where it cannot be used."""
        with self._encoder_lock:
            # Found when first needed: reading and deleting load no model, and ask no server.
            if self._remembered is not None:
                find, self._remembered = self._remembered, None
                self._encoder, self._refusal = find()
            return self._encoder

    def require_encoder(self) -> Encoder:
        """The encoder that makes this collection's vectors.

        Raises:
            SpaceMismatch: the encoder of its name makes vectors of another space now.
            InvalidInput: it has none, or one that is not in the catalogue.
        """
        encoder = self.encoder
        if self._refusal is not None:
            raise self._refusal
        if encoder is None:
            raise InvalidInput(
                f"{self.path} has no encoder, so rows and queries must come as Vectors; or open it with encoder=. "
                "On the command line: samespace import, and search --mode text."
            )
        return encoder

    def _prove_encoder(self, *, keep: bool = False) -> Encoder:
        """The encoder, when it first encodes here compared with the canaries that the collection keeps.

        Args:
            keep: keep its canaries where there are none.
        """
        encoder = self.require_encoder()
        if not self._proven:
            made = encoder.prove()
            if keep:
                self.keep_canaries(made)
            if (kept := self.canaries()) is not None:
                from samespace.encoders.proof import require_same

                action = f"use the encoder {encoder.name!r} for {self.path}"
                require_same(self.space, kept, made, action, "as they were when the collection was made")
                self._proven = True
        return encoder

    def canaries(self) -> Canaries | None:
        """The vectors of fixed texts by which an encoder proves that it is of this space; None if none are kept."""
        return canaries_of(self.store)

    def keep_canaries(self, canaries: Canaries) -> None:
        """Keep canaries of this space, unless some are kept.

        Raises:
            InvalidVectors: they cannot be of this space.
        """
        if canaries.document.shape[1] != self.space.dimension:
            raise InvalidVectors(
                f"Canaries of dimension {canaries.document.shape[1]} cannot be of the space {self.space}."
            )
        if self.store.note("canaries") is None:
            self.store.keep_note("canaries", canaries.to_bytes(), replace=False)

    def delete(self, ids: Iterable[str] | None = None, *, where: Where = None) -> int:
        """Delete rows by id, or all that meet a condition, in one durable commit.

        Returns:
            how many there were.

        Raises:
            InvalidInput: neither or both were given.
        """
        if (ids is None) == (where is None):
            raise InvalidInput(
                "delete needs ids or where=, one of the two. To delete everything: delete(collection.ids())."
            )
        if ids is not None:
            return self.store.delete(_id_list(ids))
        condition = parse(where)
        assert condition is not None  # noqa: S101  # since where is not
        return self.store.delete_where(condition)

    def compact(self, *, memory: str | None = None) -> CompactReport:
        """Give back the space of deleted and replaced rows. Needs room for one copy of the live vectors.

        Args:
            memory: ``"full"`` or ``"half"``: convert the vectors to float32 or float16.
        """
        tier = None if memory is None else tier_by_name(memory)
        if tier is not None and tier.name not in ("full", "half"):
            raise InvalidInput(
                f"compact converts to 'full' or 'half', got {memory!r}; 'codes' and 'disk' are for open(memory=), and "
                "hold while the collection is open."
            )
        before = self._rows.size
        if isinstance(self._rows, IndexedStore):
            self._rows.compact(tier)
        elif tier is not None:
            raise InvalidInput(f"memory= is for a collection in a folder; {self.path} holds its vectors as it does.")
        else:
            self.store.compact()
        return CompactReport(before, self._rows.size)

    # Reading

    def search(
        self,
        query: str | Vectors,
        k: int | None = 10,
        *,
        where: Where = None,
        mode: Mode = "vector",
        min_score: float | None = None,
        recall: float | None = None,
    ) -> list[Hit]:
        """Find the rows nearest to one query, best first.

        Args:
            query: a text, or Vectors of one row.
            k: how many; fewer come back only if fewer there are. None, with ``min_score``: all there are.
            where: only rows whose metadata meets it (:mod:`samespace.where`).
            mode: ``"vector"`` by meaning, ``"text"`` by words (BM25), ``"hybrid"`` by both, fused by
                reciprocal rank.
            min_score: leave out hits below it; a hit that equals it stays.
            recall: for this search, instead of what the collection declares; 1 compares with every vector.

        Raises:
            SpaceMismatch: the query lives in another space.
            InvalidInput, InvalidFilter: an argument cannot be used.
        """
        if isinstance(query, Vectors) and len(query) != 1:
            raise InvalidInput(f"search takes one query, got {len(query)} rows; use search_batch.")
        if not isinstance(query, str | Vectors):
            raise InvalidInput(f"query must be a text or Vectors of one row, got {type(query).__name__}.")
        if min_score is not None:
            min_score = _score(min_score)
        asked = [query] if isinstance(query, str) else query
        if k is None:
            if min_score is None or mode != "vector":
                raise InvalidInput('k=None asks for all rows of min_score= or better; it needs one, and mode="vector".')
            return self._within(asked, min_score, where, recall)
        hits = self.search_batch(asked, k, where=where, mode=mode, recall=recall)[0]
        return hits if min_score is None else [hit for hit in hits if hit.score >= min_score]

    def similar(
        self,
        id: str,  # noqa: A002 - as Hit.id
        k: int = 10,
        *,
        where: Where = None,
        recall: float | None = None,
    ) -> list[Hit]:
        """Find the rows nearest to a stored one, best first; itself is left out.

        Raises:
            NotFound: there is no row of that id.
        """
        count = _positive(k)
        rows = self.get([id])
        if not rows:
            raise NotFound(f"{self.path} has no row {id!r}.")
        own = Vectors(rows[0].vector[None, :], self.space, "document")
        hits = self.search(own, count + 1, where=where, recall=recall)
        return [hit for hit in hits if hit.id != id][:count]

    def nearest(
        self,
        queries: Sequence[str] | Vectors,
        k: int = 10,
        *,
        where: Where = None,
        recall: float | None = None,
    ) -> Nearest:
        """Find the ids nearest to each of many queries, as arrays: the quick way where rows are not needed."""
        count, condition = _positive(k), parse(where)
        recall = None if recall is None else share(recall)
        vectors = self._queries(queries, "vector")[1]
        assert vectors is not None  # noqa: S101  # of mode "vector"
        return Nearest(*self._rows.nearest_ids(vectors, count, condition, recall))

    def search_batch(
        self,
        queries: Sequence[str] | Vectors,
        k: int = 10,
        *,
        where: Where = None,
        mode: Mode = "vector",
        recall: float | None = None,
    ) -> list[list[Hit]]:
        """Find the rows nearest to each of many queries. As :meth:`search`, with one list of hits a query."""
        count = _positive(k)
        if mode not in _MODES:
            raise InvalidInput(f"mode must be one of {', '.join(_MODES)}; got {mode!r}.")
        condition = None if where is None else parse(where)
        recall = None if recall is None else share(recall)
        texts, vectors = self._queries(queries, mode)
        if vectors is None:
            return [self._rows.match_text(text, count, condition) for text in texts]
        if mode == "hybrid":
            return self._rows.hybrid(texts, vectors, count, max(_FUSED, 2 * count), condition, recall)
        return self._rows.search(vectors, count, condition, recall)

    def _within(self, query: Sequence[str] | Vectors, least: float, where: Where, recall: float | None) -> list[Hit]:
        condition = parse(where)
        recall = None if recall is None else share(recall)
        vectors = self._queries(query, "vector")[1]
        assert vectors is not None  # noqa: S101  # of mode "vector"
        return self._rows.within(vectors, least, condition, recall)

    def _queries(self, queries: Sequence[str] | Vectors, mode: Mode) -> tuple[list[str], Matrix | None]:
        if isinstance(queries, Vectors):
            if mode != "vector":
                raise InvalidInput(f"mode={mode!r} needs queries as text, got Vectors.")
            self.space.require(queries.space, f"search {self.path}")
            return [""] * len(queries), queries.comparable
        if isinstance(queries, str | bytes) or not isinstance(queries, Sequence):
            raise InvalidInput(f"queries must be a list of texts or Vectors, got {type(queries).__name__}.")
        for row, text in enumerate(queries):
            if not isinstance(text, str) or not text.strip():
                raise InvalidInput(f"Query {row} must be a text that is not blank, got {text!r}.")
            check_unicode(text, f"Query {row}")
        if mode == "text":
            return list(queries), None
        made = self._prove_encoder().encode_queries(queries)
        self.space.require(made.space, f"search {self.path}")
        return list(queries), made.comparable

    def get(self, ids: Iterable[str]) -> list[Row]:
        """The rows of these ids, in the order asked; ids that are not there are left out."""
        return list(_rows(self.store.get(_id_list(ids))))

    def rows(self, where: Where = None) -> Iterator[Row]:
        """All rows, or those that meet a condition, in order of insertion where the store keeps one.

        In a folder they are those of when the iteration began; what is deleted, replaced or added while it goes on is
        left out. Elsewhere such rows may be among them, each at most once.
        """
        blocks = self.store.scan(parse(where))
        return (row for block, _ in blocks for row in _rows(block))

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def ids(self, where: Where = None) -> Iterator[str]:
        """The ids of all rows, or of those that meet a condition, in order of insertion where the store keeps one."""
        return self._rows.ids(parse(where))

    def count(self, where: Where = None) -> int:
        """How many rows there are, or meet a condition."""
        return self.store.count(parse(where))

    def __len__(self) -> int:
        return self.count()

    def info(self) -> Info:
        """The collection in figures."""
        return self._rows.info()

    def tune(
        self,
        recall: float | None = None,
        engines: Sequence[str] | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> Tuning:
        """Measure engines on this collection's vectors and latest queries, and use the one that is best.

        Best is what answers soonest of those that reach the recall with confidence. The work is done in a
        process of its own; Ctrl-C stops it and leaves everything as it was.

        Args:
            recall: what is declared from now on, by whoever opens the collection without saying otherwise;
                None leaves it as it is.
            engines: to measure, by name; None measures the scan and the built engine that is best here.
            progress: called with what is done now, and the part of the whole that is done, from 0 to 1.

        Raises:
            InvalidInput: the collection is empty, or an argument cannot be used.
            NotFound: there is no engine of that name.
            MissingExtra: an engine's library is not installed.
        """
        declared = None if recall is None else share(recall)
        if engines is not None:
            names = [engines] if isinstance(engines, str) else list(engines)
            if not names:
                raise InvalidInput("engines must name at least one engine, got none.")
            if isinstance(self._rows, IndexedStore):
                from samespace.indexes import require

                for name in names:
                    require(name)
            engines = names
        if progress is not None and not callable(progress):
            raise InvalidInput(f"progress must be a function of a text and a number, got {progress!r}.")
        if self.count() == 0:
            raise InvalidInput(f"{self.path} is empty; there is nothing to measure.")
        return self._rows.tune(declared, engines, progress)

    def verify(self) -> list[str]:
        """Read everything and compare it with what was written; one sentence for each thing that is wrong."""
        return self._rows.verify()

    def close(self) -> None:
        """Keep the index for the next time and close the files. Closing twice is fine."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Collection({str(self.path)!r}, {self.space})"


def _behind(stream: Iterator[Batch], work: Callable[[Batch], AddReport]) -> Iterator[tuple[Batch, AddReport]]:
    """Work on each batch in another thread while the next one is read here, where its iterators may belong."""
    with ThreadPoolExecutor(1) as pool:
        running: tuple[Batch, Future[AddReport]] | None = None
        failure: Exception | None = None
        while True:
            try:
                batch = next(stream, None)
            except Exception as error:  # noqa: BLE001 - raised when what came before it is done
                batch, failure = None, error
            if running is not None:
                yield running[0], running[1].result()
            if batch is None:
                break
            running = (batch, pool.submit(work, batch))
    if failure is not None:
        raise failure


def canaries_of(store: Store) -> Canaries | None:
    """The canaries that a store keeps."""
    kept = store.note("canaries")
    return None if kept is None else Canaries.from_bytes(kept)


def _rows(block: Block) -> Iterator[Row]:
    fields = parsed(block.metadata, block.ids)
    for name, content, metadata, vector, tokens in zip(
        block.ids, block.contents, fields, block.vectors, block.tokens, strict=True
    ):
        yield Row(name, content, metadata, vector, *tokens)


def _same_metadata(kept: str, given: str) -> bool:
    # An engine may write JSON in its own way.
    same: bool = kept == given or json.loads(kept) == json.loads(given)
    return same


def _tokens(vectors: Vectors) -> list[Tokens]:
    if vectors.receipts is None:
        return [(None, None)] * len(vectors)
    pairs = zip(vectors.receipts.seen.tolist(), vectors.receipts.total.tolist(), strict=True)
    return [(seen, total) if total else (None, None) for seen, total in pairs]


def _truncated(tokens: list[Tokens]) -> int:
    return sum(seen is not None and total is not None and seen < total for seen, total in tokens)


def _positive(k: int) -> int:
    try:
        count = operator.index(k)
    except TypeError:
        count = 0
    if count < 1 or isinstance(k, bool):
        raise InvalidInput(f"k must be a whole number of at least 1, got {k!r}.")
    return count


def share(recall: float) -> float:
    if isinstance(recall, bool) or not isinstance(recall, int | float | np.number) or not 0 < recall <= 1:
        raise InvalidInput(f"recall must be a number above 0 and at most 1, got {recall!r}.")
    return float(recall)


def _score(min_score: float) -> float:
    if isinstance(min_score, bool) or not isinstance(min_score, int | float | np.number) or math.isnan(min_score):
        raise InvalidInput(f"min_score must be a number, got {min_score!r}.")
    return float(min_score)


def _id_list(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidInput(f"ids must be a list of texts, got {type(ids).__name__}.")
    return [check_id(name, f"ids[{row}]") for row, name in enumerate(ids)]
