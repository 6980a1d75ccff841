"""A shard of Qdrant Edge as an engine of a store."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import qdrant_edge as edge

from samespace.errors import (
    CollectionBusy,
    CollectionClosed,
    CollectionCorrupt,
    InvalidInput,
    SamespaceError,
    StorageError,
    StorageFull,
)
from samespace.stores.base import EXACT
from samespace.stores.qdrant_core.engine import VECTOR, Clock, Engine, Kind, Point, PointId, State
from samespace.stores.qdrant_core.points import SEQUENCE, note_id
from samespace.vectors import Matrix

__all__ = ["CONFIG", "RECORD", "SCHEMAS", "EdgeEngine", "mapped", "shard_config"]

T = TypeVar("T")

CONFIG = "edge_config.json"  # by which a folder is known as a shard
RECORD = note_id("samespace.record")
SCHEMAS = {
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "keyword": edge.PayloadSchemaType.Keyword,
    "bool": edge.PayloadSchemaType.Bool,
}
_STEP = 256  # points made at once; Python's collector of garbage looks at all that are alive, again and again
_EXACTLY = edge.SearchParams(exact=True, quantization=edge.QuantizationSearchParams(ignore=True))
# Twice as many candidates by the codes, ranked again by the vectors; where there are no codes, it means nothing.
_RESCORED = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)


class EdgeWords:
    """Filters as Edge's own values."""

    def match(self, path: str, value: str | int | bool) -> Any:
        # Edge 0.9 takes Python's True for the number 1, and numpy's for what it is.
        word: Any = np.bool_(value) if isinstance(value, bool) else value
        return edge.FieldCondition(path, match=edge.MatchValue(word))

    def match_any(self, path: str, values: Sequence[str] | Sequence[int]) -> Any:
        return edge.FieldCondition(path, match=edge.MatchAny(list(values)))  # type: ignore[arg-type]

    def range(self, path: str, **bounds: float) -> Any:
        return edge.FieldCondition(path, range=edge.RangeFloat(**bounds))

    def is_null(self, path: str) -> Any:
        return edge.IsNullCondition(path)

    def is_empty(self, path: str) -> Any:
        return edge.IsEmptyCondition(path)

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        return edge.Filter(must=list(must) or None, should=list(should) or None, must_not=list(must_not) or None)


class _Shard:
    """A shard that all stores of this process share: it locks its folder.

    Attributes:
        shard: None while it is loaded anew, and after the last user closed it.
        lock: of who writes or loads; searches take none.
        users: stores that have it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.clock = Clock()
        self.users = 0
        self.shard: edge.EdgeShard = _load(path)


_shards: dict[Path, _Shard] = {}
_shards_lock = threading.Lock()


class EdgeEngine(Engine):
    """A shard as a collection.

    Args:
        path: its folder.

    Raises:
        CollectionBusy: another process has it open.
        CollectionCorrupt: it cannot be loaded.
    """

    shared = False
    wants_indexes = True
    words = EdgeWords()
    batch_bytes = 128 << 20  # nothing is sent; one sync for each batch

    def __init__(self, path: Path) -> None:
        with _shards_lock:
            shared = _shards.get(path)
            if shared is None:
                shared = _shards[path] = _Shard(path)
            shared.users += 1
        self.clock = shared.clock
        self._shared: _Shard | None = shared
        self._path = path
        try:
            self._sign = -1 if self.state().distance == "Euclid" else 1
        except BaseException:
            self.close()
            raise

    def _open(self) -> _Shard:
        if self._shared is None:
            raise CollectionClosed(f"The collection {self._path} was closed. Open it again with samespace.open().")
        return self._shared

    def _read(self, act: Callable[[edge.EdgeShard], T]) -> T:
        shared = self._open()
        shard = shared.shard
        try:
            return act(shard)
        except BaseException as error:
            with shared.lock:  # perhaps it was loaded anew just now
                if shared.shard is not shard and self._shared is not None:
                    return mapped(self._path, lambda: act(shared.shard))
            raise _error(self._path, error) from error

    def _update(self, *operations: Callable[[], edge.UpdateOperation]) -> None:
        shared = self._open()

        def act() -> None:
            for operation in operations:
                shared.shard.update(operation())
            shared.shard.flush()

        with shared.lock:
            mapped(self._path, act)

    def upsert(
        self, ids: Sequence[str], vectors: Matrix | None, payloads: Sequence[dict[str, Any]], *, insert: bool = False
    ) -> None:
        mode = edge.UpdateMode.InsertOnly if insert else edge.UpdateMode.Upsert

        def operation(part: slice) -> edge.UpdateOperation:
            named: Any = [{VECTOR: row} for row in vectors[part].tolist()] if vectors is not None else [{}]
            points = [edge.Point(*columns) for columns in zip(ids[part], named, payloads[part], strict=True)]
            return edge.UpdateOperation.upsert_points(points, update_mode=mode)

        self._update(
            *(partial(operation, slice(start, start + _STEP)) for start in range(0, len(ids), _STEP)),
        )

    def retrieve(self, ids: Sequence[PointId], *, payload: bool | list[str], vectors: bool = False) -> list[Point]:
        found = self._read(lambda shard: shard.retrieve(list(ids), payload, [VECTOR] if vectors else False))
        return [_point(one) for one in found]

    def ordered(self, filter: Any, start: int | None, limit: int, *, last: bool = False) -> list[Point]:  # noqa: A002
        order = edge.OrderBy(SEQUENCE, edge.Direction.Desc if last else edge.Direction.Asc, start)
        request = edge.ScrollRequest(limit=limit, filter=filter, order_by=order, with_payload=False)
        found, _ = self._read(lambda shard: shard.scroll(request))
        return [Point(_text(one.id), {}, None, one.order_value) for one in found]  # type: ignore[arg-type]

    def scroll(self, filter: Any, start: PointId | None, limit: int) -> list[Point]:  # noqa: A002
        request = edge.ScrollRequest(start, limit, filter, with_payload=True, with_vector=[VECTOR])
        return [_point(one) for one in self._read(lambda shard: shard.scroll(request))[0]]

    def query(self, vectors: Matrix, limit: int, filter: Any, effort: int | None) -> list[list[Point]]:  # noqa: A002
        params = _EXACTLY if effort == EXACT else edge.SearchParams(hnsw_ef=effort, quantization=_RESCORED)
        asked = [
            edge.QueryRequest(
                limit, query=edge.Query.Nearest(row, VECTOR), with_payload=True, filter=filter, params=params
            )
            for row in vectors.tolist()
        ]
        if len(asked) == 1:
            answers = [self._read(lambda shard: shard.query(asked[0]))]
        else:
            answers = self._read(lambda shard: shard.query_batch(edge.QueryBatchRequest(asked)))
        sign = self._sign
        return [
            [Point(_text(one.id), one.payload or {}, None, sign * one.score) for one in answer] for answer in answers
        ]

    def count(self, filter: Any) -> int:  # noqa: A002
        return self._read(lambda shard: shard.count(edge.CountRequest(exact=True, filter=filter)))

    def delete(self, ids: Sequence[PointId]) -> None:
        self._update(lambda: edge.UpdateOperation.delete_points(list(ids)))

    def delete_matching(self, filter: Any) -> None:  # noqa: A002
        self._update(lambda: edge.UpdateOperation.delete_points_by_filter(filter))

    def index(self, path: str, kind: Kind) -> None:
        self._update(lambda: edge.UpdateOperation.create_field_index(path, SCHEMAS[kind]))

    def record(self) -> Any:
        """The record of the collection; None if it has none."""
        for point in self.retrieve([RECORD], payload=True):
            return point.payload.get("samespace", {}).get("record", {})
        return None

    def state(self) -> State:
        config = _config(self._path)
        ours = config.get("vectors", {}).get(VECTOR, {})
        info = self._read(lambda shard: shard.info())
        kinds = {path: str(found.data_type).rpartition(".")[2] for path, found in info.payload_schema.items()}
        hnsw = ours.get("hnsw_config") or config.get("hnsw_config") or {}
        return State(
            dimension=ours.get("size"),
            distance=ours.get("distance", "none"),
            exact=hnsw.get("m") == 0 or not info.indexed_vectors_count,
            indexed=0 if hnsw.get("m") == 0 else info.indexed_vectors_count,
            schema={path: kind.lower() for path, kind in kinds.items()},
            size=sum(file.stat().st_blocks * 512 for file in self._path.rglob("*") if file.is_file()),
        )

    def build(self, exact: bool) -> None:
        # A shard takes its configuration when it is loaded; m = 0 is Qdrant's way to have no graph.
        shared, state = self._open(), self.state()
        distance = getattr(edge.Distance, state.distance)
        config = shard_config(state.dimension or 1, distance, 0 if exact else 16)

        def reload() -> None:
            shared.shard.close()
            shared.shard = edge.EdgeShard.load(str(self._path), config)
            shared.shard.optimize()
            shared.shard.flush()

        with shared.lock:
            mapped(self._path, reload)

    def compact(self) -> None:
        shared = self._open()

        def act() -> None:
            shared.shard.optimize()
            shared.shard.flush()

        with shared.lock:
            mapped(self._path, act)

    def drop(self) -> None:
        shared = self._open()
        with shared.lock, _shards_lock:
            _shards.pop(self._path, None)  # whoever else has it open finds it closed; who comes next makes it anew
            mapped(self._path, shared.shard.close)
            mapped(self._path, lambda: shutil.rmtree(self._path))
        self._shared = None

    def close(self) -> None:
        shared, self._shared = self._shared, None
        if shared is None:
            return
        with _shards_lock:
            shared.users -= 1
            if not shared.users and _shards.get(self._path) is shared:
                del _shards[self._path]
                mapped(self._path, shared.shard.close)


def shard_config(dimension: int, distance: edge.Distance, m: int, codes: Any = None) -> edge.EdgeConfig:
    """The configuration of a shard with a graph of ``m`` edges a point; what is None stays as the shard has it."""
    return edge.EdgeConfig(
        vectors={VECTOR: edge.EdgeVectorParams(dimension, distance)},
        hnsw_config=edge.HnswIndexConfig(m=m, ef_construct=100, full_scan_threshold=10_000),
        quantization_config=codes,
        # Segments are rewritten when the user asks for it, and then whatever their size.
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1),
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CollectionCorrupt(f"{path / CONFIG} cannot be read ({error}). Restore the folder.") from error
    if not isinstance(config, dict):
        raise CollectionCorrupt(f"{path / CONFIG} is not the configuration of a shard. Restore the folder.")
    return config


def _load(path: Path) -> edge.EdgeShard:
    _config(path)
    try:
        return edge.EdgeShard.load(str(path))
    except BaseException as error:
        found = _error(path, error)
        if type(found) is StorageError:
            found = CollectionCorrupt(f"The shard in {path} cannot be loaded ({error}). Restore the folder.")
        raise found from error


def mapped(path: Path, act: Callable[[], T]) -> T:
    """The result of ``act``, or an error of the tree."""
    try:
        return act()
    except BaseException as error:
        raise _error(path, error) from error


def _error(path: Path, error: BaseException) -> BaseException:
    """What Edge means, which raises ``Exception`` with a sentence, and where it panics a class of its own."""
    said = str(error)
    if isinstance(error, SamespaceError | KeyboardInterrupt | SystemExit):
        return error
    if "WouldBlock" in said:
        return CollectionBusy(f"Another process has {path} open; a shard takes one. Close it there first.")
    if "not initialized" in said:
        return CollectionClosed(f"The collection {path} was closed. Open it again with samespace.open().")
    if re.search(r"no space left|disk (is )?full|out of disk", said, re.IGNORECASE):
        return StorageFull(f"No space left on the disk of {path}.")
    if isinstance(error, ValueError | TypeError | OverflowError) or "Wrong input" in said:
        return InvalidInput(f"Qdrant Edge does not take this for {path}: {said.rstrip('.')}.")
    return StorageError(f"Cannot use {path}: {said.rstrip('.')}.")


def _text(found: Any) -> PointId:
    """Edge gives UUIDs as Python's."""
    return found if isinstance(found, int) else str(found)


def _point(record: edge.Record) -> Point:
    vector = record.vector.get(VECTOR) if isinstance(record.vector, dict) else None
    return Point(_text(record.id), record.payload or {}, vector)  # type: ignore[arg-type]
