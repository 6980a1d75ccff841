"""A collection by way of the official client: on a server, or in the client's own local mode."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from samespace.errors import CollectionClosed, StorageError
from samespace.stores.base import EXACT
from samespace.stores.qdrant.failures import Failures
from samespace.stores.qdrant_core.engine import VECTOR, Clock, Engine, Kind, Point, PointId, State
from samespace.stores.qdrant_core.points import SEQUENCE
from samespace.vectors import Matrix

__all__ = ["ClientEngine", "ClientWords"]

T = TypeVar("T")

_SCHEMAS: dict[Kind, models.PayloadSchemaType] = {
    "integer": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "keyword": models.PayloadSchemaType.KEYWORD,
    "bool": models.PayloadSchemaType.BOOL,
}
# Twice as many candidates by the codes, ranked again by the vectors; where there are no codes, it means nothing.
_RESCORED = models.QuantizationSearchParams(rescore=True, oversampling=2.0)
_UNCODED = models.QuantizationSearchParams(ignore=True)
_DEFAULT_M, _THRESHOLD = 16, 10_000  # Qdrant's own; segments below so many kB are searched exactly
_LOOK_AGAIN = 0.2  # seconds between looks at an index that is being built


class ClientWords:
    """Filters as the client's models."""

    def match(self, path: str, value: str | int | bool) -> Any:
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))

    def match_any(self, path: str, values: Sequence[str] | Sequence[int]) -> Any:
        return models.FieldCondition(key=path, match=models.MatchAny(any=list(values)))  # type: ignore[arg-type]

    def range(self, path: str, **bounds: float) -> Any:
        return models.FieldCondition(key=path, range=models.Range(**bounds))

    def is_null(self, path: str) -> Any:
        return models.IsNullCondition(is_null=models.PayloadField(key=path))

    def is_empty(self, path: str) -> Any:
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        return models.Filter(must=list(must) or None, should=list(should) or None, must_not=list(must_not) or None)


class ClientEngine(Engine):
    """One collection of a client.

    Args:
        client: which may serve other collections too.
        name: of the collection, or an alias of it.
        release: gives the client back, once.
        local: the client is its own local mode, which takes one caller at a time, and has no indexes.
    """

    words = ClientWords()

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        errors: Failures,
        release: Callable[[], None],
        *,
        local: threading.RLock | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.shared = self.wants_indexes = local is None
        self.name = name
        self._client = client
        self._errors = errors
        self._release: Callable[[], None] | None = release
        self._local = local
        self._known_sign: int | None = None

    def _call(self, act: Callable[[], T]) -> T:
        if self._release is None:
            raise CollectionClosed(f"The collection {self.name} was closed. Open it again with samespace.open().")
        if self._local is None:
            return self._errors(act)
        with self._local, _quiet():
            return self._errors(act)

    def upsert(
        self, ids: Sequence[str], vectors: Matrix | None, payloads: Sequence[dict[str, Any]], *, insert: bool = False
    ) -> None:
        named: list[Any] = [{}] * len(ids) if vectors is None else [{VECTOR: row} for row in vectors.tolist()]
        # Models made without validation: the rows were checked, and it would take as long as all the rest.
        points = [
            models.PointStruct.model_construct(id=name, vector=vector, payload=payload)
            for name, vector, payload in zip(ids, named, payloads, strict=True)
        ]
        mode = models.UpdateMode.INSERT_ONLY if insert else None
        self._call(lambda: self._client.upsert(self.name, points, wait=True, update_mode=mode))

    def retrieve(self, ids: Sequence[PointId], *, payload: bool | list[str], vectors: bool = False) -> list[Point]:
        if not ids:
            return []
        named = [VECTOR] if vectors else False
        return _points(self._call(lambda: self._client.retrieve(self.name, list(ids), payload, named)))

    def ordered(self, filter: Any, start: int | None, limit: int, *, last: bool = False) -> list[Point]:  # noqa: A002
        order = models.OrderBy(
            key=SEQUENCE, direction=models.Direction.DESC if last else models.Direction.ASC, start_from=start
        )
        found, _ = self._call(lambda: self._client.scroll(self.name, filter, limit, order_by=order, with_payload=False))
        return [Point(_text(one.id), {}, None, one.order_value or 0) for one in found]

    def scroll(self, filter: Any, start: PointId | None, limit: int) -> list[Point]:  # noqa: A002
        found, _ = self._call(
            lambda: self._client.scroll(self.name, filter, limit, offset=start, with_vectors=[VECTOR])
        )
        return _points(found)

    def query(self, vectors: Matrix, limit: int, filter: Any, effort: int | None) -> list[list[Point]]:  # noqa: A002
        params = self._params(effort)
        if len(vectors) == 1:
            # By itself a query is an array to the client, and not a model that it copies number by number.
            answers = [
                self._call(
                    lambda: self._client.query_points(
                        self.name,
                        vectors[0],
                        using=VECTOR,
                        query_filter=filter,
                        search_params=params,
                        limit=limit,
                        with_payload=True,
                    )
                )
            ]
        else:
            asked = [
                models.QueryRequest.model_construct(
                    query=models.NearestQuery.model_construct(nearest=row),
                    using=VECTOR,
                    filter=filter,
                    params=params,
                    limit=limit,
                    with_payload=True,
                )
                for row in vectors.tolist()
            ]
            answers = self._call(lambda: self._client.query_batch_points(self.name, asked))
        sign = self._sign
        return [
            [Point(_text(one.id), one.payload or {}, None, sign * one.score) for one in answer.points]
            for answer in answers
        ]

    def _params(self, effort: int | None) -> models.SearchParams | None:
        if self._local is not None:
            return None  # it compares with every vector, and says so each time
        if effort == EXACT:
            return models.SearchParams(exact=True, quantization=_UNCODED)
        return models.SearchParams(hnsw_ef=effort, quantization=_RESCORED)

    def count(self, filter: Any) -> int:  # noqa: A002
        return self._call(lambda: self._client.count(self.name, filter, exact=True)).count

    def delete(self, ids: Sequence[PointId]) -> None:
        self._call(lambda: self._client.delete(self.name, models.PointIdsList(points=list(ids)), wait=True))

    def delete_matching(self, filter: Any) -> None:  # noqa: A002
        self._call(lambda: self._client.delete(self.name, models.FilterSelector(filter=filter), wait=True))

    def index(self, path: str, kind: Kind) -> None:
        if self._local is None:
            self._call(lambda: self._client.create_payload_index(self.name, path, _SCHEMAS[kind], wait=True))

    def info(self) -> models.CollectionInfo:
        """What the server says of the collection.

        Raises:
            NotFound: it is not there.
        """
        return self._call(lambda: self._client.get_collection(self.name))

    def create(self, dimension: int, distance: str, quantized: bool, record: dict[str, Any]) -> None:
        """Make the collection, with its record, in one request."""
        codes = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        vectors = {VECTOR: models.VectorParams(size=dimension, distance=models.Distance(distance))}
        self._call(
            lambda: self._client.create_collection(
                self.name,
                vectors,
                quantization_config=models.ScalarQuantization(scalar=codes) if quantized else None,
                metadata=record,
            )
        )

    @property
    def _sign(self) -> int:
        # Looked up once: distances are better when they are smaller.
        if self._known_sign is None:
            self._known_sign = -1 if self.state().distance == "Euclid" else 1
        return self._known_sign

    def state(self) -> State:
        info = self.info()
        vectors = info.config.params.vectors
        ours = vectors.get(VECTOR) if isinstance(vectors, dict) else None
        hnsw = info.config.hnsw_config.m if ours is None or ours.hnsw_config is None else ours.hnsw_config.m
        error = getattr(info.optimizer_status, "error", None)
        complaint = f"the optimizer stopped: {error}" if error else ""
        if info.status == models.CollectionStatus.RED:
            complaint = complaint or "a shard has failed"
        return State(
            dimension=None if ours is None else ours.size,
            distance="none" if ours is None else ours.distance.value,
            exact=self._local is not None or hnsw == 0,
            indexed=info.indexed_vectors_count or 0,
            schema={path: found.data_type.value for path, found in info.payload_schema.items()},
            complaint=complaint,
        )

    def build(self, exact: bool) -> None:
        # m = 0 is Qdrant's way to have no graph.
        diff = models.HnswConfigDiff(m=0 if exact else _DEFAULT_M)
        self._call(
            lambda: self._client.update_collection(
                self.name,
                vectors_config={VECTOR: models.VectorParamsDiff(hnsw_config=diff)},
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=_THRESHOLD),
            )
        )
        # The optimizer begins a moment later; it is done when the status was green twice in a row.
        greens = 0
        while greens < 2:
            time.sleep(_LOOK_AGAIN)
            info = self.info()
            if info.status == models.CollectionStatus.RED:
                raise StorageError(f"The optimizer of {self.name} failed: {info.optimizer_status}.")
            greens = greens + 1 if info.status == models.CollectionStatus.GREEN else 0

    def drop(self) -> None:
        # An alias is only a name: what it stands for is what goes.
        aliases = self._call(lambda: self._client.get_aliases()).aliases
        real = next((one.collection_name for one in aliases if one.alias_name == self.name), self.name)
        self._call(lambda: self._client.delete_collection(real))
        self.close()

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    def snapshot(self) -> str:
        """Make a snapshot on the server, and return its name."""
        made = self._call(lambda: self._client.create_snapshot(self.name, wait=True))
        if made is None:
            raise StorageError(f"The server made no snapshot of {self.name}. Look into its log.")
        return made.name

    def switch_alias(self, alias: str) -> None:
        """Let an alias stand for this collection, in one step, whatever it stood for before."""
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        make = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=self.name, alias_name=alias))
        self._call(lambda: self._client.update_collection_aliases([drop, make]))


def _points(found: Sequence[models.Record]) -> list[Point]:
    return [
        Point(_text(one.id), one.payload or {}, one.vector.get(VECTOR) if isinstance(one.vector, dict) else None)  # type: ignore[arg-type]
        for one in found
    ]


def _text(found: Any) -> PointId:
    return found if isinstance(found, int) else str(found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the local mode's advice to use a server, which is the user's to decide."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Local mode is not recommended", UserWarning)
        yield
