"""The collection: the one place where an encoder, a store and an index meet."""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from samespace.batches import Batch, batches, check_id, check_unicode
from samespace.encoders import check_familiar, check_limits
from samespace.encoders import encoder as encoder_by_name
from samespace.encoders.base import Encoder
from samespace.encoders.canaries import Canaries
from samespace.errors import (
    CollectionCorrupt,
    InvalidInput,
    InvalidVectors,
    NotFound,
    SamespaceError,
    StorageError,
    TruncationWarning,
)
from samespace.hits import Hit, Row
from samespace.memory import TIERS, Tier, tier_by_name
from samespace.ranking import fuse
from samespace.reports import AddReport, CompactReport, Info, Nearest
from samespace.space import Space
from samespace.stores.local import LocalStore, StoredRow, View
from samespace.vectors import Matrix, Vectors
from samespace.where import Condition, parse

if TYPE_CHECKING:
    from samespace.indexes.base import Mask, Neighbours
    from samespace.recall.tune import Tuning
    from samespace.searcher import RecallReport, Searcher

__all__ = ["AddReport", "Collection", "CompactReport", "Info", "Mode", "Nearest", "open"]

Mode = Literal["vector", "text", "hybrid"]
Where = Mapping[str, Any] | None

DEFAULT_ENCODER = "minilm"

_ENCODE_BATCH = 512  # rows a commit when they must be encoded: about half a second of work is at stake
_STORE_BATCH = 16_384  # rows a commit when they bring their vectors
_READ_BATCH = 1_024
_FUSED = 50  # how deep each ranking is read, at least, before two are fused
_RANGE_DEPTH = 64  # how deep a search for all of a score looks at first, and how many times deeper each time after
_MODES = get_args(Mode)
_ATTEMPTS = 8  # searches begun anew because rows vanished between finding and fetching


def open(  # noqa: A001 - samespace.open, as gzip.open and shelve.open
    path: str | Path,
    encoder: str | Encoder | None = None,
    *,
    space: Space | None = None,
    engine: str = "auto",
    recall: float | None = None,
    memory: str | None = None,
    remember_queries: bool = True,
    on_recall: Callable[[RecallReport], None] | None = None,
    create: bool = True,
    timeout: float = 30.0,
    threads: int | None = None,
    max_cost: float | None = None,
) -> Collection:
    """Open the collection in a folder, or make it.

    Args:
        path: the folder, by custom ``name.ss``.
        encoder: an encoder or its name. An existing collection remembers its own; a new one without
            ``encoder`` and ``space`` uses ``"minilm"``.
        space: instead of an encoder, for vectors that are made elsewhere.
        engine: how to search: ``"auto"``, or an engine by name.
        recall: the part of the true nearest rows that searches shall find, above 0 and at most 1. It is
            measured on this collection, and watched. None takes what ``tune`` was told last, or else .99.
        memory: what is held where, by a name in :data:`samespace.memory.TIERS`. None leaves an existing
            collection as it is, and makes a new one ``"full"``.
        remember_queries: keep the vectors of the latest queries with the index, to measure recall on.
        on_recall: called with a :class:`RecallReport` after each check of live searches, from another thread.
        create: make the collection if there is none.
        timeout: seconds to wait for another writer.
        threads: for the encoder, if it is given by name or remembered; None uses all cores.
        max_cost: for the encoder, if it is given by name or remembered: the most that it may spend.

    Raises:
        SpaceMismatch: the collection's vectors live in another space than the encoder's, and its canaries prove
            that they do.
        NotFound: no collection and ``create=False``; no encoder or engine of that name.
        StorageError: the files cannot be used (see its subclasses).
    """
    if not isinstance(path, str | Path) or not str(path):
        raise InvalidInput(f"path must name a folder, got {path!r}.")
    try:
        os.fsencode(path)
        is_path = "\0" not in str(path)
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise InvalidInput(f"path must name a folder; {str(path)!r} has characters that no file name can have.")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise InvalidInput(f"timeout must be a number of seconds, 0 or more, got {timeout!r}.")
    timeout = min(timeout, threading.TIMEOUT_MAX, 1e6)
    recall = None if recall is None else _share(recall)
    if on_recall is not None and not callable(on_recall):
        raise InvalidInput(f"on_recall must be a function of a RecallReport, got {on_recall!r}.")
    tier = None if memory is None else tier_by_name(memory)
    check_limits(threads, max_cost)
    for option, value in (("threads", threads), ("max_cost", max_cost)):
        if isinstance(encoder, Encoder) and value is not None:
            raise InvalidInput(f"{option}= is for an encoder that is given by name; this one was made already.")
    if isinstance(encoder, str):
        encoder = encoder_by_name(encoder, threads=threads, max_cost=max_cost)
    elif encoder is not None and not isinstance(encoder, Encoder):
        raise InvalidInput(f"encoder must be a name or an Encoder, got {type(encoder).__name__}.")
    if space is not None and not isinstance(space, Space):
        raise InvalidInput(f"space must be a Space, got {type(space).__name__}.")
    if encoder is not None and space is not None:
        space.require(encoder.space, "open a collection with this encoder")
    wanted = space if encoder is None else encoder.space
    folder = Path(path)
    try:
        store = LocalStore(folder, timeout=timeout)
    except NotFound:
        if not create:
            raise
        if wanted is None:
            encoder = encoder_by_name(DEFAULT_ENCODER, threads=threads, max_cost=max_cost)
            wanted = encoder.space
        store = LocalStore(
            folder,
            wanted,
            encoder=None if encoder is None else encoder.name,
            precision=(tier or TIERS["full"]).precision,
            timeout=timeout,
        )
    try:
        if encoder is not None:
            encoder = _adopted(encoder, store, f"open {folder}")
        elif wanted is not None:
            store.space.require(wanted, f"open {folder}")
        tier = _fitting(tier, store)
        remembered = None if encoder is not None else partial(_remembered, store, threads, max_cost)
        # Loaded with the first collection, and not by those who only encode.
        from samespace.searcher import Searcher

        searcher = Searcher(
            store.space,
            store.path / "index",
            tier.engine or engine,
            recall=recall,
            builds=tier.builds,
            remember=remember_queries,
            on_recall=on_recall,
        )
        return Collection(store, encoder, searcher, tier, remembered)
    except BaseException:
        store.close()
        raise


def _fitting(tier: Tier | None, store: LocalStore) -> Tier:
    """The tier that was asked for, or the first that holds vectors as this store does."""
    if tier is None:
        return next(tier for tier in TIERS.values() if tier.precision == store.precision)
    if tier.precision != store.precision:
        raise InvalidInput(
            f"{store.path} holds its vectors as {store.precision}, and memory={tier.name!r} means {tier.precision}. "
            f"Convert it: open it without memory=, and compact(memory={tier.name!r})."
        )
    return tier


def _remembered(
    store: LocalStore, threads: int | None, max_cost: float | None
) -> tuple[Encoder | None, SamespaceError | None]:
    """The encoder that the collection names; or None, and why it cannot be used.

    What needs no encoder (reading, exporting, deleting, searching by Vectors) goes on without one.
    """
    if store.encoder is None:
        return None, None
    try:
        check_familiar(store.encoder)
        found = encoder_by_name(store.encoder, threads=threads, max_cost=max_cost)
        return _adopted(found, store, f"use the encoder {store.encoder!r} for {store.path}"), None
    except NotFound as error:
        return None, InvalidInput(
            f"{store.path} was made with the encoder {store.encoder!r}, which is not here: {error} "
            "Pass it to open(path, encoder=...), or bring Vectors."
        )
    except SamespaceError as error:
        return None, error


def _adopted(encoder: Encoder, store: LocalStore, action: str) -> Encoder:
    """The encoder as one of the collection's space, which its canaries prove where its name does not."""
    if encoder.space == store.space:
        return encoder
    from samespace.encoders.proof import adopt

    return adopt(encoder, store.space, _canaries(store), action)


def _canaries(store: LocalStore) -> Canaries | None:
    kept = store.canaries()
    return None if kept is None else Canaries.from_bytes(kept)


class Collection:
    """Rows of content, metadata and vector, all in one space. Made by :func:`open`; safe to use from threads.

    Attributes:
        space: of every vector in it.
    """

    def __init__(
        self,
        store: LocalStore,
        encoder: Encoder | None,
        searcher: Searcher,
        tier: Tier,
        remembered: Callable[[], tuple[Encoder | None, SamespaceError | None]] | None = None,
    ) -> None:
        self._store = store
        self._searcher = searcher
        self._tier = tier
        self.path = store.path
        self.space = store.space
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
        self._searcher.keep_up(self._store.view())
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
            tokens: list[tuple[int | None, int | None]] = [(None, None)] * len(batch.ids)
            if batch.vectors.receipts is not None:
                tokens = _tokens(batch.vectors)
            written = self._store.write(batch.ids, batch.contents, batch.metadata, batch.vectors.comparable, tokens)
            return AddReport(*written, 0, _truncated(tokens))
        known = self._store.find(batch.ids)
        changed = [
            row
            for row, (name, fields) in enumerate(zip(batch.ids, batch.metadata, strict=True))
            if name not in known or known[name].content != batch.contents[row] or known[name].metadata != fields
        ]
        if not changed:
            return AddReport(0, 0, len(batch.ids), 0)
        ids, metadata = [batch.ids[row] for row in changed], [batch.metadata[row] for row in changed]
        contents = [batch.contents[row] for row in changed]
        vectors, tokens = self._encode(ids, contents, known)
        written = self._store.write(ids, contents, metadata, vectors, tokens)
        return AddReport(*written, len(batch.ids) - len(changed), _truncated(tokens))

    def _encode(
        self, ids: list[str], contents: list[str | None], known: dict[str, StoredRow]
    ) -> tuple[Matrix, list[tuple[int | None, int | None]]]:
        """Vectors and tokens of contents; a content that is stored under its id already keeps its vector."""
        view = self._store.view()
        vectors = np.empty((len(ids), self.space.dimension), np.float32)
        tokens: list[tuple[int | None, int | None]] = [(None, None)] * len(ids)
        fresh = []
        for row, (name, content) in enumerate(zip(ids, contents, strict=True)):
            old = known.get(name)
            if old is not None and old.content == content and view.first_slot <= old.slot < view.end_slot:
                vectors[row] = view.vectors[old.slot - view.first_slot]
                tokens[row] = (old.tokens_seen, old.tokens_total)
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
        return _canaries(self._store)

    def keep_canaries(self, canaries: Canaries) -> None:
        """Keep canaries of this space, unless some are kept.

        Raises:
            InvalidVectors: they cannot be of this space.
        """
        if canaries.document.shape[1] != self.space.dimension:
            raise InvalidVectors(
                f"Canaries of dimension {canaries.document.shape[1]} cannot be of the space {self.space}."
            )
        if self._store.canaries() is None:
            self._store.keep_canaries(canaries.to_bytes())

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
        chosen = list(self.ids(where)) if ids is None else _id_list(ids)
        return self._store.delete(chosen) if chosen else 0

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
        before = self._bytes()
        self._store.compact(None if tier is None else tier.precision)
        if tier is not None:
            self._tier = tier
        self._searcher.keep_up(self._store.view())
        return CompactReport(before, self._bytes())

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
        recall = None if recall is None else _share(recall)
        vectors = self._queries(queries, "vector")[1]
        assert vectors is not None  # noqa: S101  # of mode "vector"
        for _ in range(_ATTEMPTS):
            view = self._store.view()
            found = self._neighbours(view, vectors, min(count, max(len(view.live), 1)), condition, recall)
            if condition is not None and self._has_moved(view):
                continue
            there = found.positions >= 0
            names = np.full(found.positions.shape, None, object)
            names[there] = self._store.ids_of(found.positions[there] + view.first_slot)
            if None not in names[there].tolist():
                return Nearest(names, found.scores)
        raise self._unsettled("searched")

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
        recall = None if recall is None else _share(recall)
        texts, vectors = self._queries(queries, mode)
        for _ in range(_ATTEMPTS):
            view = self._store.view()
            depth = min(count, max(len(view.live), 1))
            found = self._positions(view, texts, vectors, depth, condition, mode, recall)
            if (condition is not None or mode != "vector") and self._has_moved(view):
                continue
            results = self._fetch(view, found)
            if results is not None:
                return results
        raise self._unsettled("searched")

    def _within(self, query: Sequence[str] | Vectors, least: float, where: Where, recall: float | None) -> list[Hit]:
        """All rows that score at least so much: more and more of the nearest, until one falls short."""
        condition = parse(where)
        recall = 1.0 if recall is None else _share(recall)  # all of them, unless less will do
        vectors = self._queries(query, "vector")[1]
        assert vectors is not None  # noqa: S101  # of mode "vector"
        for _ in range(_ATTEMPTS):
            view, depth = self._store.view(), _RANGE_DEPTH
            while True:
                found = self._neighbours(view, vectors, min(depth, max(len(view.live), 1)), condition, recall)
                scores = found.scores[0]
                if len(scores) < depth or scores[-1] < least:
                    break
                depth *= _RANGE_DEPTH
            if condition is not None and self._has_moved(view):
                continue
            enough = scores >= least
            pairs = zip(found.positions[0][enough].tolist(), scores[enough].tolist(), strict=True)
            results = self._fetch(view, [list(pairs)])
            if results is not None:
                return results[0]
        raise self._unsettled("searched")

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

    def _unsettled(self, done: str) -> StorageError:
        return StorageError(f"{self.path} changed {_ATTEMPTS} times while it was {done}. Try again.")

    def _has_moved(self, view: View) -> bool:
        """Tell whether a compaction came in between, so that what was read of rows is not of the view's slots."""
        return self._store.view().first_slot != view.first_slot

    def _settled(self, condition: Condition | None) -> tuple[View, Mask]:
        """A view, and which of its rows meet the condition."""
        for _ in range(_ATTEMPTS):
            view = self._store.view()
            mask = self._store.matching(condition, view)
            if condition is None or not self._has_moved(view):
                return view, mask
        raise self._unsettled("read")

    def _neighbours(
        self, view: View, vectors: Matrix, k: int, condition: Condition | None, recall: float | None
    ) -> Neighbours:
        mask: Mask | None = None
        if condition is not None or view.count != len(view.live):
            mask = self._store.matching(condition, view)
        return self._searcher.nearest(view, np.ascontiguousarray(vectors), k, mask, recall)

    def _positions(
        self,
        view: View,
        texts: list[str],
        vectors: Matrix | None,
        k: int,
        condition: Condition | None,
        mode: Mode,
        recall: float | None,
    ) -> list[list[tuple[int, float]]]:
        """Positions and scores for each query, best first."""
        if mode == "vector" and vectors is not None:
            near = self._neighbours(view, vectors, k, condition, recall)
            return [
                [(position, score) for position, score in zip(*pair, strict=True) if position >= 0]
                for pair in zip(near.positions.tolist(), near.scores.tolist(), strict=True)
            ]
        depth = max(_FUSED, 2 * k) if mode == "hybrid" else k
        allowed = self._store.matching(condition, view)
        by_words = [self._store.match_text(text, depth, allowed, view) for text in texts]
        if vectors is None:
            return by_words
        near = self._neighbours(view, vectors, depth, condition, recall)
        return [
            fuse([positions[positions >= 0], np.array([position for position, _ in words], np.int64)], k)
            for positions, words in zip(near.positions, by_words, strict=True)
        ]

    def _fetch(self, view: View, found: list[list[tuple[int, float]]]) -> list[list[Hit]] | None:
        """The rows at these positions as hits; None if one has gone since, and the search must begin anew."""
        first = view.first_slot
        if len(found) == 1:
            slots = [first + position for position, _ in found[0]]
        else:
            slots = list({first + position: None for hits in found for position, _ in hits})
        rows = self._store.fetch(slots)
        if len(rows) < len(slots):
            return None
        fields = _parsed(rows)
        if len(found) == 1:
            return [
                [
                    Hit(row.id, score, row.content, metadata)
                    for row, metadata, (_, score) in zip(rows, fields, found[0], strict=True)
                ]
            ]
        by_slot = dict(zip(slots, zip(rows, fields, strict=True), strict=True))
        return [
            [
                Hit(row.id, score, row.content, metadata)
                for (row, metadata), score in ((by_slot[first + position], score) for position, score in hits)
            ]
            for hits in found
        ]

    def get(self, ids: Iterable[str]) -> list[Row]:
        """The rows of these ids, in the order asked; ids that are not there are left out."""
        names = _id_list(ids)
        for _ in range(_ATTEMPTS):
            found = {row.id: row for part in _chunks(names) for row in self._store.find(part).values()}
            view = self._store.view()
            if all(view.first_slot <= row.slot < view.end_slot for row in found.values()):
                return _rows([found[name] for name in names if name in found], view)
        raise self._unsettled("read")

    def rows(self, where: Where = None) -> Iterator[Row]:
        """All rows, or those that meet a condition, in order of insertion, as of when the iteration began.

        Rows that are deleted or replaced while it goes on are left out, and so is what was added since.
        """
        view, mask = self._settled(parse(where))  # a filter that is wrong is told now, not at the first row
        return (row for stored in self._stored(view, mask) for row in _rows(stored, view))

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def ids(self, where: Where = None) -> Iterator[str]:
        """The ids of all rows, or of those that meet a condition, in order of insertion."""
        view, mask = self._settled(parse(where))
        return (row.id for stored in self._stored(view, mask) for row in stored)

    def _stored(self, view: View, mask: Mask) -> Iterator[list[StoredRow]]:
        positions = np.flatnonzero(mask)
        for start in range(0, len(positions), _READ_BATCH):
            slots = (positions[start : start + _READ_BATCH] + view.first_slot).tolist()
            stored = self._store.fetch(slots)
            if not stored and self._store.view().first_slot != view.first_slot:
                raise StorageError(f"{self.path} was compacted while it was read. Start again.")
            yield stored

    def count(self, where: Where = None) -> int:
        """How many rows there are, or meet a condition."""
        if where is None:
            return self._store.view().count
        return int(self._settled(parse(where))[1].sum())

    def __len__(self) -> int:
        return self.count()

    def info(self) -> Info:
        """The collection in figures."""
        view = self._store.view()
        sizes = self._store.sizes
        index = self._searcher.describe(view)
        return Info(
            path=self.path,
            space=self.space,
            encoder=self._store.encoder,
            proven=self._store.canaries() is not None,
            count=view.count,
            deleted=len(view.live) - view.count,
            truncated=self._store.truncated(),
            bytes_vectors=sizes["vectors"],
            bytes_catalog=sizes["catalog"],
            bytes_index=_folder_bytes(self.path / "index"),
            engine=index.engine,
            indexed=index.rows,
            memory=self._tier.name,
            memory_index=index.memory,
            sequence=view.sequence,
            declared_recall=index.report.declared,
            running_recall=index.report.running,
            checked=index.report.checked,
            alarms=index.report.alarms,
            tuning=index.tuning,
            building=index.building,
            note=index.note,
        )

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
        declared = None if recall is None else _share(recall)
        if engines is not None:
            names = [engines] if isinstance(engines, str) else list(engines)
            if not names:
                raise InvalidInput("engines must name at least one engine, got none.")
            from samespace.indexes import require

            for name in names:
                require(name)
            engines = names
        if progress is not None and not callable(progress):
            raise InvalidInput(f"progress must be a function of a text and a number, got {progress!r}.")
        view = self._store.view()
        if view.count == 0:
            raise InvalidInput(f"{self.path} is empty; there is nothing to measure.")
        return self._searcher.tune(view, declared, engines, progress)

    def verify(self) -> list[str]:
        """Read everything and compare it with what was written; one sentence for each thing that is wrong."""
        return self._store.verify()

    def close(self) -> None:
        """Keep the index for the next time and close the files. Closing twice is fine."""
        try:
            self._searcher.close()
        finally:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Collection({str(self.path)!r}, {self.space})"

    def _bytes(self) -> int:
        return sum(self._store.sizes.values()) + _folder_bytes(self.path / "index")


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


def _rows(stored: Sequence[StoredRow], view: View) -> list[Row]:
    positions = np.array([row.slot - view.first_slot for row in stored], np.int64)
    vectors = view.vectors[positions].astype(np.float32, copy=False)
    return [
        Row(row.id, row.content, fields, vector, row.tokens_seen, row.tokens_total)
        for row, fields, vector in zip(stored, _parsed(stored), vectors, strict=True)
    ]


def _parsed(rows: Sequence[StoredRow]) -> list[dict[str, Any]]:
    """The metadata of rows. One JSON document is parsed much faster than many."""
    try:
        fields: list[dict[str, Any]] = json.loads(f"[{','.join(row.metadata for row in rows)}]")
        if len(fields) == len(rows):
            return fields
    except ValueError:
        pass
    raise CollectionCorrupt(
        f"The metadata of a row among {rows[0].id!r} … {rows[-1].id!r} is not JSON; something else wrote into the "
        "catalogue. Restore it from a backup."
    )


def _tokens(vectors: Vectors) -> list[tuple[int | None, int | None]]:
    if vectors.receipts is None:
        return [(None, None)] * len(vectors)
    pairs = zip(vectors.receipts.seen.tolist(), vectors.receipts.total.tolist(), strict=True)
    return [(seen, total) if total else (None, None) for seen, total in pairs]


def _truncated(tokens: list[tuple[int | None, int | None]]) -> int:
    return sum(seen is not None and total is not None and seen < total for seen, total in tokens)


def _positive(k: int) -> int:
    try:
        count = operator.index(k)
    except TypeError:
        count = 0
    if count < 1 or isinstance(k, bool):
        raise InvalidInput(f"k must be a whole number of at least 1, got {k!r}.")
    return count


def _share(recall: float) -> float:
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


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while part := list(islice(iterator, _READ_BATCH)):
        yield part


def _folder_bytes(folder: Path) -> int:
    size = 0
    if folder.is_dir():
        for file in folder.iterdir():
            with contextlib.suppress(OSError):  # it was a draft, and is in its place by now
                size += file.stat().st_size
    return size
