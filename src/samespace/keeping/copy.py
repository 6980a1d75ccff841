"""A collection copied from any store to any other: streamed, resumable, and verified at the end.

No vector is made again. How far a copy has come is kept with the target, so the same call goes on after a stop, of
whatever kind; rows are written by id, so what was written twice is there once.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from samespace.errors import InvalidInput, StorageError
from samespace.opening import stand
from samespace.stores.base import EXACT, Block, Store
from samespace.vectors import Matrix

__all__ = ["CopyReport", "Difference", "Progress", "copy_collection", "copy_rows", "differences"]

Progress = Callable[[Literal["copying", "verifying"], int], None]
"""Called with what is done now, and how many more rows of it are; at first with those of a run that was stopped."""

_NOTE = "copy"
_WRITTEN = 4_096  # rows a write, at least
_KEPT_EVERY = 1.0  # seconds between two notes of how far the copy has come
_SAMPLED = 32  # searches that must agree
_NEAREST = 10
_CLOSE = 1e-4  # two engines' scores of the same vectors may differ by so much, relative to the larger
_NAMED = 5  # rows that an error names
_CARRIED = ("canaries", "statistics")  # notes that are as true of the copy
_MODULUS = 1 << 128


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy came to.

    Attributes:
        rows: that the target has now.
        copied: of them, those that this call wrote.
        seconds: of copying, without the verification.
        searches: that were compared.
        agreement: mean share of the ten nearest that both sides gave; 1 where both compare with every vector.
    """

    rows: int
    copied: int
    seconds: float
    searches: int
    agreement: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not in both collections alike: ``"missing"``, ``"added"`` or ``"changed"`` in the target."""

    id: str
    what: Literal["missing", "added", "changed"]


@dataclass(frozen=True, slots=True)
class _State:
    """How far a copy has come: rows up to a cursor of the source, and the sum of their digests."""

    source: str
    cursor: str | None = None
    rows: int = 0
    digest: int = 0
    done: bool = False


def copy_collection(
    source: str | Path, target: str | Path, *, timeout: float = 30.0, progress: Progress | None = None
) -> CopyReport:
    """Copy all rows of a collection into a new one, or go on with a copy that was stopped.

    Args:
        source: a folder or a URL.
        target: a folder or a URL where nothing is, or an unfinished copy of the same source.
        timeout: seconds to wait for another writer, or a server's answer.
        progress: see :data:`Progress`.

    Raises:
        NotFound: there is no source.
        SpaceMismatch: the target is a collection of another space.
        InvalidInput: the target has rows that are of no copy of this source; a row does not fit into its engine.
        StorageError: a store fails; or, at the end, the two are not alike, with the rows that differ.
    """
    origin = stand(source, timeout=timeout)
    try:
        copy = stand(target, origin.store.space, encoder=origin.store.encoder, timeout=timeout)
        try:
            report = copy_rows(origin.store, copy.store, progress=progress)
            copy.settle()
            return report
        finally:
            copy.close()
    finally:
        origin.close()


def copy_rows(source: Store, target: Store, *, progress: Progress | None = None) -> CopyReport:
    """Copy all rows of an open store into another; see :func:`copy_collection`."""
    tell: Progress = progress or (lambda _what, _rows: None)
    target.space.require(source.space, f"copy {source.address} to {target.address}")
    state = _begun(source, target)
    before, began = state.rows, time.perf_counter()
    if before:
        tell("copying", before)
    if not state.done:
        state = _copy(source, target, state, tell)
        for name in _CARRIED:
            kept = source.note(name)
            if kept is not None:
                target.keep_note(name, kept)
    seconds = time.perf_counter() - began
    _verify(source, target, state, tell)
    searches, agreement = _compare_searches(source, target)
    _keep(target, replace(state, done=True))
    return CopyReport(state.rows, state.rows - before, seconds, searches, agreement)


def differences(source: Store, target: Store) -> Iterator[Difference]:
    """Go through both collections, and yield the rows that are not in both alike."""
    for one, other, absent in ((source, target, "missing"), (target, source, "added")):
        for block, _ in one.scan():
            there = other.get(block.ids)
            place = {name: row for row, name in enumerate(there.ids)}
            for row, name in enumerate(block.ids):
                if name not in place:
                    yield Difference(name, absent)  # type: ignore[arg-type]
                elif absent == "missing":
                    at = place[name]
                    if _digest(block[row : row + 1]) != _digest(there[at : at + 1]):
                        yield Difference(name, "changed")


def _begun(source: Store, target: Store) -> _State:
    """Where to go on; from the beginning where nothing was copied yet."""
    kept = target.note(_NOTE)
    if kept is not None:
        state = _State(**json.loads(kept))
        if state.source == source.address:
            return state
        if not state.done:
            raise InvalidInput(
                f"{target.address} is an unfinished copy of {state.source}, not of {source.address}. "
                "Go on with that one, or choose a new target."
            )
    if held := target.count():
        raise InvalidInput(
            f"{target.address} has {held:,} rows already, which are not a copy of {source.address}. "
            "Choose a new target; to add rows to a collection, export and import them."
        )
    state = _State(source.address)
    _keep(target, state)
    return state


def _copy(source: Store, target: Store, state: _State, tell: Progress) -> _State:
    kept = -math.inf
    try:
        for block, cursor, digest in _ahead(_gathered(source.scan(after=state.cursor))):
            target.write(block)
            total = (state.digest + digest) % _MODULUS
            state = replace(state, cursor=cursor, rows=state.rows + len(block), digest=total)
            tell("copying", len(block))
            if time.monotonic() - kept > _KEPT_EVERY:
                _keep(target, state)
                kept = time.monotonic()
    finally:
        _keep(target, state)
    return state


def _keep(target: Store, state: _State) -> None:
    target.keep_note(_NOTE, json.dumps(asdict(state)).encode())


def _gathered(parts: Iterator[tuple[Block, str]]) -> Iterator[tuple[Block, str]]:
    """Blocks put together until they are worth a write."""
    held: list[Block] = []
    cursor = ""
    for block, cursor in parts:
        held.append(block)
        if sum(map(len, held)) >= _WRITTEN:
            yield _joined(held), cursor
            held = []
    if held:
        yield _joined(held), cursor


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        [name for block in blocks for name in block.ids],
        [content for block in blocks for content in block.contents],
        [fields for block in blocks for fields in block.metadata],
        np.concatenate([block.vectors for block in blocks]),
        [pair for block in blocks for pair in block.tokens],
    )


def _ahead(parts: Iterator[tuple[Block, str]]) -> Iterator[tuple[Block, str, int]]:
    """Read the next part and its digest in another thread, while this one is written."""
    digested = ((block, cursor, _digest(block)) for block, cursor in parts)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, digested, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, digested, None)
            yield part


def _digest(block: Block) -> int:
    """The sum of the rows' digests, which does not depend on their order."""
    total = 0
    vectors = np.ascontiguousarray(block.vectors, "<f4")
    for name, content, fields, vector, tokens in zip(
        block.ids, block.contents, block.metadata, vectors, block.tokens, strict=True
    ):
        values = b"{}" if fields == "{}" else _canonical(fields)
        state = hashlib.blake2b(digest_size=16)
        for part in (name.encode(), b"" if content is None else b"+" + content.encode(), values, b"%a %a" % tokens):
            state.update(len(part).to_bytes(8, "little"))
            state.update(part)
        state.update(vector)
        total += int.from_bytes(state.digest(), "little")
    return total % _MODULUS


def _canonical(fields: str) -> bytes:
    """One text for all texts of equal metadata. Some engines know no minus zero."""
    values = json.loads(fields, parse_float=_unsigned) if "-0" in fields else json.loads(fields)
    return json.dumps(values, sort_keys=True).encode()


def _unsigned(number: str) -> float:
    return float(number) + 0.0


def _verify(source: Store, target: Store, state: _State, tell: Progress) -> None:
    """Read the target, and compare counts and digests.

    Raises:
        StorageError: it is not what was copied; names rows that differ.
    """
    rows = digest = 0
    for block, _, its_digest in _ahead(target.scan()):
        rows += len(block)
        digest = (digest + its_digest) % _MODULUS
        tell("verifying", len(block))
    if (rows, digest) == (state.rows, state.digest) and source.count() == rows:
        return
    wrong = []
    for number, difference in enumerate(differences(source, target)):
        if number == _NAMED:
            wrong.append("…")
            break
        wrong.append(f"{difference.id!r} {difference.what}")
    if wrong:
        raise StorageError(
            f"{target.address} is not what {source.address} is: {', '.join(wrong)}. Something wrote to one of them "
            "meanwhile, or an engine changed what it was given. Copy again to a new target while nothing writes."
        )


def _compare_searches(source: Store, target: Store) -> tuple[int, float]:
    """Search both for the same, and compare ids and scores.

    Raises:
        StorageError: both compare with every vector, and they do not agree.
    """
    queries = _sampled(source)
    if not len(queries):
        return 0, 1.0
    sides = [store.nearest(queries, _NEAREST, effort=_effort(store)) for store in (source, target)]
    shares = []
    for ours, theirs in zip(*sides, strict=True):
        least = ours[-1].score
        slack = _CLOSE * max(1.0, abs(least))
        good = sum(hit.score >= least - slack for hit in theirs)  # equal scores may come in another order
        shares.append(min(good, len(ours)) / len(ours))
    agreement = float(np.mean(shares))
    if agreement < 1 and all("exact" not in store.lacks for store in (source, target)):
        raise StorageError(
            f"Exact searches of {source.address} and {target.address} do not agree: {agreement:.3f} of the "
            f"{_NEAREST} nearest are the same. Its index or metric is not what it says: samespace verify."
        )
    return len(queries), agreement


def _effort(store: Store) -> int | None:
    return None if "exact" in store.lacks else EXACT


def _sampled(source: Store) -> Matrix:
    """Vectors of the first rows, spread over them."""
    for block, _ in source.scan():
        return block.vectors[:: max(1, len(block) // _SAMPLED)][:_SAMPLED]
    return np.empty((0, source.space.dimension), np.float32)
