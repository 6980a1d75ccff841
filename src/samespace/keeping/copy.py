"""A collection copied from any store to any other: streamed, resumable, and verified at the end.

No vector is made again. How far a copy has come is kept with the target, so the same call goes on after a stop, of
whatever kind; rows are written by id, so what was written twice is there once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from samespace.errors import InvalidInput, SamespaceError, StorageError, Unsupported
from samespace.hits import Hit
from samespace.indexed import IndexedStore
from samespace.opening import stand
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.base import EXACT, Block, Store, damaged_note, json_note, picked, sealed, seals
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
        left: rows of the source that were left out, since their seal is missing or does not fit.
        seconds: of copying, without the verification.
        searches: that were compared.
        agreement: mean share of the ten nearest that both sides gave; 1 where both compare with every vector.
    """

    rows: int
    copied: int
    left: int
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
    source: str | Path,
    target: str | Path,
    *,
    leave_foreign: bool = False,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> CopyReport:
    """Copy all rows of a collection into a new one, or go on with a copy that was stopped.

    Rows of the source that changed between two runs are copied again. A copy that is whole is only verified: what the
    target has since is never overwritten.

    Args:
        source: a folder or a URL.
        target: a folder or a URL where nothing is, or a copy of the same source.
        leave_foreign: leave rows out whose seal is missing or does not fit; else they are refused, since the copy would
            vouch for them.
        timeout: seconds to wait for another writer, or a server's answer.
        progress: see :data:`Progress`.

    Raises:
        NotFound: there is no source.
        SpaceMismatch: the target is a collection of another space.
        InvalidInput: the target has rows that are of no copy of this source, the source has rows of another program, or
            a row does not fit into the target's engine.
        StorageError: a store fails; or, at the end, the two are not alike, with the rows that differ.
    """
    origin = stand(source, timeout=timeout)
    try:
        copy = stand(target, origin.store.space, encoder=origin.store.encoder, timeout=timeout)
        try:
            if isinstance(copy, IndexedStore) and copy.rows.precision != "float32":
                raise InvalidInput(
                    f"{copy.address} holds its vectors as {copy.rows.precision}, and a copy is the same to the byte. "
                    "Copy to a new folder, and compact(memory='half') that one."
                )
            report = copy_rows(origin.store, copy.store, leave_foreign=leave_foreign, progress=progress)
            copy.settle()
            return report
        finally:
            copy.close()
    finally:
        origin.close()


def copy_rows(
    source: Store, target: Store, *, leave_foreign: bool = False, progress: Progress | None = None
) -> CopyReport:
    """Copy all rows of an open store into another; see :func:`copy_collection`."""
    tell: Progress = progress or (lambda _what, _rows: None)
    target.space.require(source.space, f"copy {source.address} to {target.address}")
    origin = _Own(source, leave_foreign)
    state = _begun(source, target)
    before, began = state.rows, time.perf_counter()
    if before:
        tell("copying", before)
    if not state.done:
        state = _copy(origin, target, state, tell)
        for name in _CARRIED:
            kept = source.note(name)
            if kept is not None:
                target.keep_note(name, kept)
    seconds = time.perf_counter() - began
    copied = state.rows - before
    # What was read in one go and has not grown since needs no second look; the target does.
    wanted = _Sum(state.rows, state.digest)
    if before or state.done or source.count() != state.rows + origin.left:
        wanted = _summed(target.space, origin.blocks())
    found = _summed(target.space, target.scan(), tell)
    if found != wanted and not state.done:
        copied += _mended(origin, target)
        found = _summed(target.space, target.scan())
    if found != wanted:
        raise _unlike(origin, target)
    searches, agreement = _compare_searches(source, target)
    _keep(target, replace(state, done=True, rows=found.rows, digest=found.digest))
    return CopyReport(found.rows, copied, origin.left, seconds, searches, agreement)


class _Own:
    """A source's rows whose seal fits.

    Args:
        store: the source.
        leave: leave the others out, instead of refusing them.
    """

    def __init__(self, store: Store, leave: bool) -> None:
        self.store = store
        self._leave = leave
        self.left = 0

    def blocks(self, after: str | None = None) -> Iterator[tuple[Block, str]]:
        """The rows in order, from a cursor on."""
        if after is None:
            self.left = 0
        for block, cursor in self.store.scan(after=after):
            own = sealed(self.store.space, block)
            if not own.all():
                if not self._leave:
                    names = ", ".join(repr(block.ids[row]) for row in np.flatnonzero(~own)[:_NAMED])
                    raise InvalidInput(
                        f"{self.store.address} has rows that samespace did not write as they are: {names}, … "
                        "A copy would vouch for them. Look at them by samespace verify, and mend or delete them; or "
                        "leave them out (--leave-foreign)."
                    )
                self.left += int((~own).sum())
                block = picked(block, np.flatnonzero(own))
            yield block, cursor


class _Sum(NamedTuple):
    """Rows, and the sum of their digests."""

    rows: int
    digest: int


def differences(source: Store, target: Store) -> Iterator[Difference]:
    """Go through both collections, and yield the rows that are not in both alike."""
    for block, _ in source.scan():
        there = target.get(block.ids)
        place = {name: row for row, name in enumerate(there.ids)}
        ours, theirs = _digests(source.space, block), _digests(source.space, there)
        for row, name in enumerate(block.ids):
            at = place.get(name)
            if at is None:
                yield Difference(name, "missing")
            elif ours[row] != theirs[at]:
                yield Difference(name, "changed")
    for block, _ in target.scan():
        there_too = set(source.get(block.ids).ids)
        yield from (Difference(name, "added") for name in block.ids if name not in there_too)


def _mended(origin: _Own, target: Store) -> int:
    """Copy again what the source has changed or gained since it was read; how many rows it was."""
    mended = 0
    for block, _ in origin.blocks():
        there = target.get(block.ids)
        kept = dict(zip(there.ids, _digests(target.space, there), strict=True))
        now = _digests(target.space, block)
        stale = [row for row, name in enumerate(block.ids) if kept.get(name) != now[row]]
        if stale:
            target.write(picked(block, np.array(stale)))
            mended += len(stale)
    return mended


def _unlike(origin: _Own, target: Store) -> StorageError:
    wrong = []
    for number, difference in enumerate(differences(origin.store, target)):
        if number == _NAMED:
            wrong.append("…")
            break
        wrong.append(f"{difference.id!r} {difference.what}")
    return StorageError(
        f"{target.address} is not what {origin.store.address} is: {', '.join(wrong) or 'they are changing'}. Something "
        "wrote to one of them since, or an engine changed what it was given. Copy again while nothing writes, to a new "
        "target if it was a whole copy before."
    )


def _begun(source: Store, target: Store) -> _State:
    """Where to go on; from the beginning where nothing was copied yet."""
    kept = json_note(target, _NOTE)
    if kept is not None:
        try:
            state = _State(**kept)
        except TypeError as error:
            raise damaged_note(target, _NOTE) from error
        if state.source == _name(source):
            return state
        if not state.done:
            raise InvalidInput(
                f"{target.address} is an unfinished copy of {state.source}, not of {_name(source)}. "
                "Go on with that one, or choose a new target."
            )
    if held := target.count():
        raise InvalidInput(
            f"{target.address} has {held:,} rows already, which are not a copy of {_name(source)}. "
            "Choose a new target; to add rows to a collection, export and import them."
        )
    state = _State(_name(source))
    _keep(target, state)
    return state


def _name(source: Store) -> str:
    """The source as it is known from everywhere."""
    if isinstance(source, IndexedStore):
        return str(source.rows.path.resolve())
    place = Address.parse(source.address)
    return str(place if place.has_host else replace(place, path=str(Path(place.path).resolve())))


def _copy(origin: _Own, target: Store, state: _State, tell: Progress) -> _State:
    kept = -math.inf
    try:
        reached: str | None = ""
        while state.cursor != reached:  # what was written meanwhile stands behind
            reached = state.cursor
            for block, cursor, digest in _ahead(target.space, _gathered(origin.blocks(state.cursor))):
                target.write_sealed(block)
                total = (state.digest + digest) % _MODULUS
                state = replace(state, cursor=cursor, rows=state.rows + len(block), digest=total)
                tell("copying", len(block))
                if time.monotonic() - kept > _KEPT_EVERY:
                    _keep(target, state)
                    kept = time.monotonic()
    except BaseException:
        with contextlib.suppress(SamespaceError):  # what happened first is what is told
            _keep(target, state)
        raise
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


def _ahead(space: Space, parts: Iterator[tuple[Block, str]]) -> Iterator[tuple[Block, str, int]]:
    """Read the next part, seal it and sum it up in another thread, while this one is written."""
    made = ((_resealed(space, block), cursor) for block, cursor in parts)
    digested = ((block, cursor, _digest(block)) for block, cursor in made)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, digested, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, digested, None)
            yield part


def _digest(block: Block) -> int:
    """The sum of the digests of rows with their seals, which does not depend on their order."""
    assert block.seals is not None  # noqa: S101  # they were just made
    total = 0
    for seal, fields, (seen, in_all) in zip(block.seals, block.metadata, block.tokens, strict=True):
        whole = b"%b %b %b %b" % (seal or b"", str(seen).encode(), str(in_all).encode(), _canonical(fields))
        total += int.from_bytes(hashlib.blake2b(whole, digest_size=16).digest(), "little")
    return total % _MODULUS


def _digests(space: Space, block: Block) -> list[int]:
    """The digest of each row, as it is."""
    made = _resealed(space, block)
    return [_digest(made[row : row + 1]) for row in range(len(made))]


def _resealed(space: Space, block: Block) -> Block:
    return replace(block, seals=seals(space, block))


def _canonical(fields: str) -> bytes:
    """One text for all texts of equal metadata. Engines write 1.0 as 1, and know no minus zero."""
    return b"{}" if fields == "{}" else _WRITE(_READ(fields)).encode()


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


# Made once: json.loads and json.dumps make such an object for every call with an option.
_READ = json.JSONDecoder(parse_float=_number).decode
_WRITE = json.JSONEncoder(sort_keys=True).encode


def _summed(space: Space, parts: Iterator[tuple[Block, str]], tell: Progress | None = None) -> _Sum:
    """Read all of it."""
    rows = digest = 0
    for block, _, its_digest in _ahead(space, parts):
        rows += len(block)
        digest = (digest + its_digest) % _MODULUS
        if tell is not None:
            tell("verifying", len(block))
    return _Sum(rows, digest)


def _compare_searches(source: Store, target: Store) -> tuple[int, float]:
    """Search both for the same, and compare ids and scores.

    Raises:
        StorageError: both compare with every vector, and they do not agree.
    """
    queries = _sampled(source)
    if not len(queries):
        return 0, 1.0
    (ours, ours_exact), (theirs, theirs_exact) = _searched(source, queries), _searched(target, queries)
    agreement = float(np.mean([_agreement(*pair) for pair in zip(ours, theirs, strict=True)]))
    if agreement < 1 and ours_exact and theirs_exact:
        raise StorageError(
            f"Exact searches of {source.address} and {target.address} do not agree: {agreement:.3f} of the "
            f"{_NEAREST} nearest are the same. Its index or metric is not what it says: samespace verify."
        )
    return len(queries), agreement


def _searched(store: Store, queries: Matrix) -> tuple[list[list[Hit]], bool]:
    """The answers, and whether every vector was compared."""
    if "exact" not in store.lacks:
        try:
            return store.nearest(queries, _NEAREST, effort=EXACT), True
        except Unsupported:
            pass  # some engines compare with every vector of a small collection only
    return store.nearest(queries, _NEAREST), False


def _agreement(ours: list[Hit], theirs: list[Hit]) -> float:
    """The share of our hits that the other side has too; of hits that score as the last one, any will do."""
    last = ours[-1].score
    slack = _CLOSE * max(1.0, abs(last))
    scores = {hit.id: hit.score for hit in ours}
    good = sum(
        abs(scores[hit.id] - hit.score) <= slack if hit.id in scores else abs(hit.score - last) <= slack
        for hit in theirs
    )
    return min(good, len(ours)) / len(ours)


def _sampled(source: Store) -> Matrix:
    """Vectors of the first rows, spread over them."""
    for block, _ in source.scan():
        return block.vectors[:: max(1, len(block) // _SAMPLED)][:_SAMPLED]
    return np.empty((0, source.space.dimension), np.float32)
