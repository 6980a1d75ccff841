"""What of the shards is in a collection: kept with it, so that the next run goes on from there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable

from samespace.scale.files import Shard
from samespace.scale.shards import Extent, Fields, Part
from samespace.stores.base import Store

__all__ = ["Ledger"]

_KEPT_EVERY = 5.0  # seconds

Range = tuple[int, int]


class Ledger:
    """Ranges of shards that are done, by the shard's path, size and time: a shard that was written anew is not done.

    It is a note of the collection, one for each choice of columns. Losing what is in it costs time and nothing
    else: rows that are there unchanged are not embedded again.

    Args:
        store: of the collection.
        fields: what the columns are.
        again: forget what was done.
    """

    def __init__(self, store: Store, fields: Fields, *, again: bool = False) -> None:
        metadata = None if fields.metadata is None else list(fields.metadata)
        columns = json.dumps([fields.text, fields.id, metadata])
        self._store, self._name = store, f"embed:{_digest(columns)}"
        self._done: dict[str, list[Range]] = {} if again else self._kept()
        self._again = again
        self._is_kept = True
        self._last = time.monotonic()

    def missing(self, extent: Extent) -> list[Range]:
        """The ranges of a shard that are still to be done, ascending."""
        gaps, position = [], 0
        for begin, end in self._done.get(_digest(extent.shard.key), []):
            if position < begin:
                gaps.append((position, begin))
            position = max(position, end)
        return [*gaps, (position, extent.size)] if position < extent.size else gaps

    def add(self, shard: Shard, part: Part) -> None:
        """A part is done. Kept now and then."""
        key = _digest(shard.key)
        self._done[key] = _joined([*self._done.get(key, []), (part.begin, part.end)])
        self._is_kept = False
        if time.monotonic() - self._last > _KEPT_EVERY:
            self.keep()

    def keep(self) -> None:
        """Keep what is done, beside what another run did meanwhile."""
        if self._is_kept:
            return
        if not self._again:
            for key, ranges in self._kept().items():
                self._done[key] = _joined([*self._done.get(key, []), *ranges])
        self._store.keep_note(self._name, json.dumps(self._done, separators=(",", ":")).encode())
        self._is_kept, self._last = True, time.monotonic()

    def _kept(self) -> dict[str, list[Range]]:
        note = self._store.note(self._name)
        return {} if note is None else {key: [(b, e) for b, e in ranges] for key, ranges in json.loads(note).items()}


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for begin, end in sorted(ranges):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
