"""Opening a collection: the store of a path or URL, the encoder, and whether the two are of one space."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from samespace.collection import Collection, canaries_of, share
from samespace.encoders import check_familiar, check_limits
from samespace.encoders import encoder as encoder_by_name
from samespace.encoders.base import Encoder
from samespace.errors import AccessDenied, ForeignVectorsWarning, InvalidInput, NotFound, SamespaceError
from samespace.indexed import IndexedStore
from samespace.memory import TIERS, Tier, tier_by_name
from samespace.served import Served
from samespace.space import Space
from samespace.stores import connect, is_url, shown
from samespace.stores.base import Store
from samespace.stores.local import LocalStore

if TYPE_CHECKING:
    from samespace.searcher import RecallReport

__all__ = ["open", "stand"]

DEFAULT_ENCODER = "minilm"


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
    """Open the collection in a folder or at a URL, or make it.

    Args:
        path: the folder, by custom ``name.ss``; or the URL of a store (:data:`samespace.stores.STORES`).
        encoder: an encoder or its name. An existing collection remembers its own; a new one without
            ``encoder`` and ``space`` uses ``"minilm"``.
        space: instead of an encoder, for vectors that are made elsewhere.
        engine: how to search in a folder: ``"auto"``, or an engine by name.
        recall: the part of the true nearest rows that searches shall find, above 0 and at most 1. It is
            measured on this collection, and watched. None takes what ``tune`` was told last, or else .99.
        memory: what of a folder is held where, by a name in :data:`samespace.memory.TIERS`. None leaves an existing
            collection as it is, and makes a new one ``"full"``.
        remember_queries: keep the vectors of the latest queries with the index, to measure recall on.
        on_recall: called with a :class:`RecallReport` after each check of live searches, from another thread.
        create: make the collection if there is none.
        timeout: seconds to wait for another writer, or a server's answer.
        threads: for the encoder, if it is given by name or remembered; None uses all cores.
        max_cost: for the encoder, if it is given by name or remembered: the most that it may spend.

    Raises:
        SpaceMismatch: the collection's vectors live in another space than the encoder's, and its canaries prove
            that they do.
        NotFound: no collection and ``create=False``; no encoder or engine of that name.
        MissingExtra: the client of the URL's store is not installed.
        StorageError: the files or the server cannot be used (see its subclasses).
    """
    if _url(path) is not None:
        local = {"engine": engine != "auto", "memory": memory is not None, "on_recall": on_recall is not None}
        for option in (option for option, given in local.items() if given):
            raise InvalidInput(f"{option}= is for a collection in a folder; at a URL the engine decides.")
    timeout = _seconds(timeout)
    recall = None if recall is None else share(recall)
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

    def begin() -> IndexedStore | Served:
        made = encoder.name if isinstance(encoder, Encoder) else None
        return stand(
            path,
            wanted if create else None,
            encoder=made,
            engine=engine,
            recall=recall,
            tier=tier,
            remember_queries=remember_queries,
            on_recall=on_recall,
            timeout=timeout,
        )

    try:
        rows = begin()
    except NotFound:
        if not create or wanted is not None:
            raise
        encoder = encoder_by_name(DEFAULT_ENCODER, threads=threads, max_cost=max_cost)
        wanted = encoder.space
        rows = begin()
    store = rows.store
    try:
        if encoder is not None:
            encoder = _adopted(encoder, store, f"open {store.address}")
        elif wanted is not None:
            store.space.require(wanted, f"open {store.address}")
        if isinstance(rows, Served):
            _tell_foreign(store)
        remembered = None if encoder is not None else partial(_remembered, store, threads, max_cost)
        return Collection(rows, encoder, remembered)
    except BaseException:
        rows.close()
        raise


def stand(
    path: str | Path,
    space: Space | None = None,
    *,
    encoder: str | None = None,
    engine: str = "auto",
    recall: float | None = None,
    tier: Tier | None = None,
    remember_queries: bool = True,
    on_recall: Callable[[RecallReport], None] | None = None,
    timeout: float = 30.0,
) -> IndexedStore | Served:
    """What a collection stands on: the store of a folder or URL, and how it is searched.

    Args:
        path: as of :func:`open`.
        space: makes the collection with this space where there is none; what is there is not compared with it.
        encoder: name of the encoder that is kept with a collection that is made.
        engine: as of :func:`open`.
        recall: as of :func:`open`.
        tier: what of a folder is held where.
        remember_queries: as of :func:`open`.
        on_recall: as of :func:`open`.
        timeout: as of :func:`open`.

    Raises:
        InvalidInput: the path is neither of a folder nor a URL; the timeout is no number of seconds.
        NotFound: there is no collection, and no ``space`` to make one with.
        MissingExtra, StorageError: as of :func:`open`.
    """
    timeout = _seconds(timeout)
    url = _url(path)
    if url is not None:
        return Served(connect(url, space, encoder=encoder, timeout=timeout), recall)
    precision = (tier or TIERS["full"]).precision
    store = LocalStore(Path(path), space, encoder=encoder, precision=precision, timeout=timeout)
    return _indexed(store, tier, engine, recall, remember_queries, on_recall)


def _seconds(timeout: float) -> float:
    """The timeout, as the threads and clients take it."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise InvalidInput(f"timeout must be a number of seconds, 0 or more, got {timeout!r}.")
    return min(timeout, threading.TIMEOUT_MAX, 1e6)


def _url(path: str | Path) -> str | None:
    """The path if it is a URL; None for a folder.

    Raises:
        InvalidInput: it is neither, or a URL that was made a ``Path``.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise InvalidInput(f"path must name a folder, or be a URL, got {path!r}.")
    try:
        os.fsencode(path)
        is_path = "\0" not in str(path)
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise InvalidInput(f"path must name a folder; {shown(path)!r} has characters that no file name can have.")
    return str(path) if is_url(path) else None


def _indexed(
    store: LocalStore,
    tier: Tier | None,
    engine: str,
    recall: float | None,
    remember: bool,
    on_recall: Callable[[RecallReport], None] | None,
) -> IndexedStore:
    try:
        tier = _fitting(tier, store)
        # Loaded with the first collection, and not by those who only encode.
        from samespace.searcher import Searcher

        searcher = Searcher(
            store.space,
            store.path / "index",
            tier.engine or engine,
            recall=recall,
            builds=tier.builds,
            remember=remember,
            on_recall=on_recall,
        )
        return IndexedStore(store, searcher, tier)
    except BaseException:
        store.close()
        raise


def _tell_foreign(store: Store) -> None:
    """Warn of what another program did to the collection, as far as a look at it shows."""
    found = store.problems()
    with contextlib.suppress(AccessDenied):  # some engines count for those only who may write
        if strangers := store.unsealed():
            found.append(f"{strangers:,} rows were not written by samespace.")
    if found:
        warnings.warn(
            f"{store.address}: {' '.join(found)} Run: samespace verify {shlex.quote(store.address)}",
            ForeignVectorsWarning,
            stacklevel=3,
        )


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
    store: Store, threads: int | None, max_cost: float | None
) -> tuple[Encoder | None, SamespaceError | None]:
    """The encoder that the collection names; or None, and why it cannot be used.

    What needs no encoder (reading, exporting, deleting, searching by Vectors) goes on without one.
    """
    if store.encoder is None:
        return None, None
    try:
        check_familiar(store.encoder)
        found = encoder_by_name(store.encoder, threads=threads, max_cost=max_cost)
        return _adopted(found, store, f"use the encoder {store.encoder!r} for {store.address}"), None
    except NotFound as error:
        return None, InvalidInput(
            f"{store.address} was made with the encoder {store.encoder!r}, which is not here: {error} "
            "Pass it to open(path, encoder=...), or bring Vectors."
        )
    except SamespaceError as error:
        return None, error


def _adopted(encoder: Encoder, store: Store, action: str) -> Encoder:
    """The encoder as one of the collection's space, which its canaries prove where its name does not."""
    if encoder.space == store.space:
        return encoder
    from samespace.encoders.proof import adopt

    return adopt(encoder, store.space, canaries_of(store), action)
