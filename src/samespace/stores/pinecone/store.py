"""The store: rows as records of a namespace."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pinecone import Index, Pinecone
from pinecone.models.vectors.vector import ScoredVector, Vector

from samespace.errors import CollectionClosed, InvalidInput, StorageError, Unsupported
from samespace.hits import Hit
from samespace.space import Space
from samespace.stores.base import EXACT, Block, Feature, Figures, Store, Tokens, Written
from samespace.stores.pinecone import fields
from samespace.stores.pinecone.failures import is_refusal
from samespace.stores.pinecone.fields import SEAL, SEQ, metadata_of, record_id, records, row_id
from samespace.stores.pinecone.filters import Filter, translate
from samespace.stores.pinecone.namespace import MOST_HITS, Namespace, Workers, between, exists
from samespace.stores.pinecone.notes import Notes
from samespace.stores.pinecone.scanning import LAST, foreign, number, ordered
from samespace.vectors import Matrix, score
from samespace.where import Condition

__all__ = ["METRICS", "PineconeStore", "Place"]

METRICS = {"cosine": ("dotproduct", "cosine"), "dot": ("dotproduct",), "euclidean": ("euclidean",)}
"""Of an index that fits a space, by the space's metric, the one to make first. Unit vectors have one order and score
under cosine and dot product, and only the latter promises to leave their numbers alone."""

_MOST_WITH_ROWS = 1_000  # hits that come together with their rows; an answer holds 4 MB
_LATER = 100  # rows that are asked for at once, of those whose number lies in the future


@dataclass(frozen=True, slots=True)
class Place:
    """An index and its clients.

    Attributes:
        name: of the index.
        rows: the namespace of the rows.
        notes: the namespace of what the collection knows of itself.
    """

    client: Pinecone
    index: Index
    name: str
    rows: Namespace
    notes: Notes
    workers: Workers


class PineconeStore(Store):
    """Rows in a namespace of a serverless index of Pinecone."""

    lacks: ClassVar[Mapping[Feature, str]] = {
        "text": "records have no full text beside vectors of one's own; search by words in a local collection",
        "exact": "Pinecone chooses by itself how it searches",
        "tuning": "Pinecone makes and tunes its index by itself",
    }

    def __init__(self, address: str, space: Space, encoder: str | None, place: Place) -> None:
        self.address = address
        self.space = space
        self.encoder = encoder
        self._place = place
        self._records = place.rows
        self._lock = threading.Lock()
        self._last = 0  # the greatest number that was given to a row here
        self._closed = False

    # Rows

    def _write(self, block: Block) -> Written:
        self._check_open()
        self._check_not_zero(block)
        now = self._numbers(len(block))
        sealed: Sequence[bytes | None] = block.seals or [None] * len(block)
        columns = zip(block.ids, block.contents, block.metadata, block.tokens, sealed, strict=True)
        made = [fields.fields_of(*row, now + place) for place, row in enumerate(columns)]
        sizes = [fields.size_of(name, each) for name, each in zip(block.ids, made, strict=True)]
        before = self._found(block.ids)
        names = map(record_id, block.ids)
        reached = self._records.upsert(list(zip(names, block.vectors.tolist(), made, strict=True)), sizes)
        self._records.until_written(reached, range(now, now + len(block)))
        return Written(len(block) - len(before), len(before))

    def _numbers(self, count: int) -> int:
        """Numbers for some rows, above those of all rows: the first one.

        The clock gives them. One that stands behind another machine's, or was set back, must not reorder rows; so rows
        from the future are looked for, of which there are none as a rule.
        """
        now = time.time_ns() // 1_000
        while True:
            with self._lock:
                now = max(now, self._last + 1)
            later = self._records.query(None, _LATER, between(now, LAST), metadata=True).matches
            if not later:
                break
            now = max(number(each) for each in later)
        with self._lock:
            first = max(now, self._last) + 1
            self._last = first + count - 1
            return first

    def _check_not_zero(self, block: Block) -> None:
        zeros = ~block.vectors.any(axis=1)
        if zeros.any():
            name = block.ids[int(zeros.argmax())]
            raise InvalidInput(f"Row {name!r}: its vector is all zeros, which Pinecone does not hold. Leave it out.")

    def _found(self, ids: Sequence[str]) -> dict[str, Vector]:
        """The records of the rows of these ids."""
        found = self._records.fetch(list(dict.fromkeys(record for name in ids for record in records(name))))
        rows = {row_id(record.id, record.metadata or {}): record for record in found.values()}
        return {name: rows[name] for name in ids if name in rows}

    def delete(self, ids: Sequence[str]) -> int:
        self._check_open()
        found = self._found(ids)
        if found:
            self._records.delete([record.id for record in found.values()])
            numbers = [at for at in map(number, found.values()) if at]
            for start in range(0, len(numbers), MOST_HITS):
                self._records.until_gone({SEQ: {"$in": numbers[start : start + MOST_HITS]}})
        return len(found)

    def delete_where(self, condition: Condition) -> int:
        self._check_open()
        # Rows that come meanwhile stay, so that their coming does not look as if nothing had gone.
        chosen: Filter = {"$and": [translate(condition), {SEQ: {"$lt": self._numbers(1)}}]}
        count = self._records.count(chosen)
        if count:
            self._records.delete_where(chosen)
            self._records.until_gone(chosen)
        return count

    def get(self, ids: Sequence[str]) -> Block:
        self._check_open()
        found = self._found(ids)
        return self._block([found[name] for name in ids if name in found])

    def scan(self, condition: Condition | None = None, *, after: str | None = None) -> Iterator[tuple[Block, str]]:
        self._check_open()
        kind, _, at = ("row:0" if after is None else after).partition(":")
        if kind not in ("row", "foreign") or (kind == "row" and not re.fullmatch(r"[0-9]{1,16}", at)):
            raise self._not_a_cursor(after)
        chosen = None if condition is None else translate(condition)
        return self._scan(chosen, int(at) if kind == "row" else None, at if kind == "foreign" else None)

    def _scan(self, chosen: Filter | None, start: int | None, token: str | None) -> Iterator[tuple[Block, str]]:
        if start is not None:
            end, expected = self._numbers(1), self._records.describe().record_count
            for found in ordered(self._records, chosen, start, end, expected):
                yield self._block(found), f"row:{number(found[-1])}"
        # What something else wrote comes at the end. It has no tokens, so no filter selects it.
        if chosen is None and token != "":
            try:
                for found, following in foreign(self._records, token):
                    yield self._block(found), f"foreign:{following}"
            except StorageError as error:
                if token is None or not is_refusal(error):
                    raise
                raise self._not_a_cursor(f"foreign:{token}") from error

    def _not_a_cursor(self, after: str | None) -> InvalidInput:
        return InvalidInput(f"{after!r} is not a cursor of {self.address}. Begin anew, without after=.")

    def count(self, condition: Condition | None = None) -> int:
        self._check_open()
        if condition is None:
            return self._records.describe().record_count
        return self._records.count(translate(condition))

    def _block(self, found: Sequence[Vector]) -> Block:
        vectors = np.zeros((len(found), self.space.dimension), np.float32)
        for place, record in enumerate(found):
            vectors[place] = record.values
        kept = [record.metadata or {} for record in found]
        return Block(
            [row_id(record.id, each) for record, each in zip(found, kept, strict=True)],
            [_content(each) for each in kept],
            [json.dumps(metadata_of(each), ensure_ascii=False) for each in kept],
            vectors,
            [_tokens(each) for each in kept],
            [_seal(each) for each in kept],
        )

    # Searching

    def nearest(
        self, queries: Matrix, k: int, condition: Condition | None = None, *, effort: int | None = None
    ) -> list[list[Hit]]:
        self._check_open()
        if effort is not None:
            feature: Literal["exact", "tuning"] = "exact" if effort == EXACT else "tuning"
            raise self.unsupported(feature, "Choosing how to search")
        chosen = None if condition is None else translate(condition)
        found = self._place.workers.all(lambda query: self._matches(query, k, chosen), queries)
        bare = [match.id for matches in found for match in matches if match.metadata is None]
        rows = self._records.fetch(list(dict.fromkeys(bare)))
        return [self._hits(query, k, matches, rows) for query, matches in zip(queries, found, strict=True)]

    def _matches(self, query: Matrix, k: int, chosen: Filter | None) -> list[ScoredVector]:
        """The best records, and all that score like the last of them: they are ordered by their numbers."""
        wanted, vector = min(k + 1, MOST_HITS), query.tolist()
        with_rows = wanted <= _MOST_WITH_ROWS
        while True:
            try:
                matches = self._records.query(
                    vector, wanted, chosen, metadata=with_rows, values=with_rows and self.space.metric == "euclidean"
                ).matches
            except StorageError as error:
                if not with_rows or not is_refusal(error):
                    raise
                with_rows = False  # the rows are too large to come in one answer
                continue
            if len(matches) < wanted or matches[-1].score != matches[min(k, wanted) - 1].score:
                break
            if wanted == MOST_HITS:
                if k > MOST_HITS:
                    raise Unsupported(
                        f"Pinecone gives at most {MOST_HITS:,} hits a search, got k={k:,}. Read all rows with scan."
                    )
                break
            wanted = min(2 * wanted, MOST_HITS)
            with_rows = with_rows and wanted <= _MOST_WITH_ROWS
        return matches

    def _hits(self, query: Matrix, k: int, matches: Sequence[ScoredVector], rows: Mapping[str, Vector]) -> list[Hit]:
        scored: list[tuple[float, ScoredVector | Vector]] = []
        for match in matches:
            record = match if match.metadata is not None else rows.get(match.id)
            if record is not None:  # it may have gone meanwhile
                scored.append((match.score, record))
        if self.space.metric == "euclidean" and scored:
            # Pinecone gives squared distances, and float32 ones of near neighbours are noise.
            vectors = np.array([record.values for _, record in scored], np.float32)
            distances = score(query[None], vectors, "euclidean")[0].tolist()
            scored = [(distance, record) for distance, (_, record) in zip(distances, scored, strict=True)]
        scored.sort(key=lambda each: (-each[0], number(each[1]), each[1].id))
        hits = []
        for value, record in scored[:k]:
            kept = record.metadata or {}
            hits.append(Hit(row_id(record.id, kept), value, _content(kept), metadata_of(kept)))
        return hits

    # What the collection knows of itself

    def note(self, name: str) -> bytes | None:
        self._check_open()
        return self._place.notes.read(name)

    def keep_note(self, name: str, value: bytes, *, replace: bool = True) -> None:
        self._check_open()
        self._place.notes.keep(name, value, replace=replace)

    def figures(self) -> Figures:
        self._check_open()
        about = self._records.describe()
        truncated = self._records.count({fields.CUT: {"$eq": True}}) if about.record_count else 0
        return Figures("serverless", about.record_count, about.size_bytes or None, truncated)

    def problems(self) -> list[str]:
        self._check_open()
        index = self._records.call(self._place.client.indexes.describe, name=self._place.name)
        found = []
        if index.dimension != self.space.dimension:
            found.append(f"The index has dimension {index.dimension}, and the space {self.space.dimension}.")
        if index.metric not in METRICS[self.space.metric]:
            found.append(f"The index has the metric {index.metric}, which does not fit a {self.space.metric} space.")
        if not index.status.ready:
            found.append(f"The index is not ready: {index.status.state}.")
        return found

    def unsealed(self) -> int:
        self._check_open()
        return self._records.count(exists(SEAL, False))

    def drop(self) -> None:
        self._check_open()
        notes = self._place.notes
        self._records.drop()
        self._records.until(lambda: not self._records.describe().record_count, "Rows were deleted")
        notes.records.drop()
        notes.records.until(lambda: notes.head("space") is None, "Notes were deleted")
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            close(self._place)

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionClosed(f"The collection {self.address} was closed. Open it again with samespace.open().")


def close(place: Place) -> None:
    """Close what an index was reached with."""
    place.workers.close()
    place.index.close()
    place.client.close()


def _content(kept: Mapping[str, Any]) -> str | None:
    content = kept.get(fields.CONTENT)
    return content if isinstance(content, str) else None


def _tokens(kept: Mapping[str, Any]) -> Tokens:
    seen, total = (kept.get(key) for key in (fields.SEEN, fields.TOTAL))
    return (
        int(seen) if isinstance(seen, int | float) else None,
        int(total) if isinstance(total, int | float) else None,
    )


def _seal(kept: Mapping[str, Any]) -> bytes | None:
    try:
        return bytes.fromhex(kept[SEAL])
    except (KeyError, TypeError, ValueError):
        return None
