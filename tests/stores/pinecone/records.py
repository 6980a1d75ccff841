"""What an index of Pinecone does with its records: the data plane, with exact vectors.

Built to Pinecone's OpenAPI 2026-07, its pages of limits, and the texts of its errors as people report them.
"""

from __future__ import annotations

import base64
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import orjson

from stores.pinecone.filtering import Refused, compiled

MOST_METADATA = 40_960
MOST_UPSERT = 2 * 1024**2
MOST_RESULT = 4 * 1000**2
NOT_FOUND = 5


class Record(NamedTuple):
    values: np.ndarray
    metadata: dict[str, Any]


class Namespace:
    """Records, of which reads see those writes that have had the time to settle."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.lsn = 0
        self.shown = 0
        self._waiting: list[tuple[float, Callable[[dict[str, Record]], None]]] = []
        self._matrix: tuple[int, list[str], np.ndarray, np.ndarray] | None = None

    def write(self, change: Callable[[dict[str, Record]], None], lag: float) -> int:
        self.lsn += 1
        self._waiting.append((time.monotonic() + lag, change))
        return self.lsn

    def settle(self) -> dict[str, Record]:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.pop(0)[1](self.records)
            self.shown += 1
        return self.records

    def matrix(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Ids, vectors, and an order for equal scores, which stand as they happen to."""
        if self._matrix is None or self._matrix[0] != self.shown:
            names, rows = list(self.records), [each.values for each in self.records.values()]
            ties = np.array([zlib.crc32(name.encode()) for name in names])
            self._matrix = (self.shown, names, np.stack(rows) if rows else np.empty((0, 0), np.float32), ties)
        return self._matrix[1:]


class Index:
    """One index. ``call`` answers a request with a JSON value and headers.

    Attributes:
        lag: seconds until reads see a write.
        tells_lsn: answers carry log sequence numbers, as serverless indexes do.
        tells_namespaces: requests of a namespace that is not there are 404.
        missing: ``$ne`` and ``$nin`` match records without the field.
        calls: paths of the requests so far.
    """

    def __init__(self, name: str, dimension: int, metric: str) -> None:
        self.name, self.dimension, self.metric = name, dimension, metric
        self.lag, self.tells_lsn, self.tells_namespaces, self.missing = 0.0, True, False, False
        self.calls: list[str] = []
        self.namespaces: dict[str, Namespace] = {}
        self._lock = threading.RLock()
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], tuple[Any, dict[str, str]]]] = {
            ("POST", "/vectors/upsert"): self._upsert,
            ("POST", "/vectors/delete"): self._delete,
            ("POST", "/vectors/update"): self._update,
            ("POST", "/vectors/fetch_by_metadata"): self._fetch_by_metadata,
            ("POST", "/query"): self._query,
            ("POST", "/describe_index_stats"): self._stats,
            ("GET", "/vectors/fetch"): self._fetch,
            ("GET", "/vectors/list"): self._list,
        }

    def call(self, method: str, path: str, asked: dict[str, Any], size: int) -> tuple[Any, dict[str, str]]:
        with self._lock:
            self.calls.append(path)
            if path == "/vectors/upsert" and size > MOST_UPSERT:
                raise Refused(f"message length too large: found {size} bytes, the limit is: {MOST_UPSERT} bytes", 413)
            if path.startswith("/namespaces/") and method in ("GET", "DELETE"):
                _known(asked)
                return self._one_namespace(method, unquote(path.removeprefix("/namespaces/")))
            if (method, path) not in self._routes:
                raise Refused(f"no such operation: {method} {path}", 404, NOT_FOUND)
            return self._routes[method, path](asked)

    def _at(self, asked: dict[str, Any]) -> Namespace:
        name = asked.get("namespace") or "__default__"
        if self.tells_namespaces and name not in self.namespaces:
            raise Refused("Namespace not found", 404, NOT_FOUND)
        return self.namespaces.get(name, Namespace())

    def _written(self, space: Namespace, change: Callable[[dict[str, Record]], None]) -> dict[str, str]:
        number = space.write(change, self.lag)
        return {"x-pinecone-request-lsn": str(number)} if self.tells_lsn else {}

    def _matching(self, asked: dict[str, Any]) -> list[str]:
        test = compiled(asked["filter"], self.missing)
        return [name for name, record in self._at(asked).settle().items() if test(record.metadata)]

    def _upsert(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "vectors", "namespace")
        vectors = asked["vectors"]
        if not 1 <= len(vectors) <= 1_000:
            raise Refused(f"Invalid request: vectors must have 1 to 1000 items, got {len(vectors)}")
        records = {}
        for vector in vectors:
            _known(vector, "id", "values", "metadata")
            _check_id(vector["id"])
            values = np.array(vector["values"], np.float32)
            if values.shape != (self.dimension,):
                raise Refused(
                    f"Vector dimension {len(values)} does not match the dimension of the index {self.dimension}"
                )
            if not values.any():
                raise Refused(
                    "Dense vectors must contain at least one non-zero value. "
                    f"Vector ID {vector['id']} contains only zeros."
                )
            records[vector["id"]] = Record(values, _checked(vector.get("metadata", {})))
        space = self.namespaces.setdefault(asked.get("namespace") or "__default__", Namespace())
        return {"upsertedCount": len(vectors)}, self._written(space, lambda kept: kept.update(records))

    def _delete(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "ids", "filter", "namespace", "deleteAll")
        space = self._at(asked)
        if "filter" in asked:
            names = self._matching(asked)
        else:
            names = asked["ids"] if not asked.get("deleteAll") else list(space.records)
            if not asked.get("deleteAll") and not 1 <= len(names) <= 1_000:
                raise Refused(f"Invalid request: ids must have 1 to 1000 items, got {len(names)}")

        def change(kept: dict[str, Record]) -> None:
            for name in names:
                kept.pop(name, None)

        return {}, self._written(space, change)

    def _update(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "id", "filter", "namespace", "setMetadata", "values", "dryRun")
        names = self._matching(asked) if "filter" in asked else [asked["id"]]
        if asked.get("dryRun"):
            return {"matchedRecords": len(names)}, {}
        added = _checked(asked.get("setMetadata", {}))

        def change(kept: dict[str, Record]) -> None:
            for name in (name for name in names if name in kept):
                values = np.array(asked["values"], np.float32) if "values" in asked else kept[name].values
                kept[name] = Record(values, {**kept[name].metadata, **added})

        return {"matchedRecords": len(names)}, self._written(self._at(asked), change)

    def _query(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "topK", "vector", "namespace", "filter", "includeValues", "includeMetadata")
        if not 1 <= asked["topK"] <= 10_000:
            raise Refused(f"Invalid request: topK must be between 1 and 10000, got {asked['topK']}")
        vector = np.array(asked["vector"], np.float32)
        if vector.shape != (self.dimension,):
            raise Refused(
                f"Query vector dimension {len(vector)} does not match the dimension of the index {self.dimension}"
            )
        space = self._at(asked)
        records = space.settle()
        names, matrix, ties = space.matrix()
        if "filter" in asked:
            allowed = set(self._matching(asked))
            chosen = [at for at, name in enumerate(names) if name in allowed]
            names, matrix, ties = [names[at] for at in chosen], matrix[chosen], ties[chosen]
        scores = _scores(matrix, vector, self.metric) if names else np.empty(0, np.float32)
        order = np.lexsort((ties, scores if self.metric == "euclidean" else -scores))[: asked["topK"]]
        matches = []
        for at in order.tolist():
            match = {"id": names[at], "score": float(scores[at])}
            if asked.get("includeValues"):
                match["values"] = records[names[at]].values
            if asked.get("includeMetadata"):
                match["metadata"] = records[names[at]].metadata
            matches.append(match)
        answer = {"matches": matches, "namespace": asked.get("namespace", ""), "usage": {"readUnits": 1}}
        size = len(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
        if size > MOST_RESULT:
            raise Refused(f"Query result of {size} bytes exceeds the limit of {MOST_RESULT} bytes; lower topK")
        return answer, {"x-pinecone-max-indexed-lsn": str(space.shown)} if self.tells_lsn else {}

    def _fetch(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "ids", "namespace")
        ids = asked["ids"] if isinstance(asked["ids"], list) else [asked["ids"]]
        if len(ids) > 1_000:
            raise Refused(f"Invalid request: ids must have 1 to 1000 items, got {len(ids)}")
        for name in ids:
            _check_id(name)
        records = self._at(asked).settle()
        return {"vectors": {name: _shown(name, records[name]) for name in ids if name in records}}, {}

    def _fetch_by_metadata(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "filter", "namespace", "limit", "paginationToken")
        names = sorted(self._matching(asked), key=lambda name: (zlib.crc32(name.encode()), name))
        part, pagination = _page(names, asked, 10_000)
        records = self._at(asked).records
        return {"vectors": {name: _shown(name, records[name]) for name in part}, **pagination}, {}

    def _list(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked, "namespace", "prefix", "limit", "paginationToken")
        found = sorted(name for name in self._at(asked).settle() if name.startswith(asked.get("prefix", "")))
        part, pagination = _page(found, asked, 100)
        return {"vectors": [{"id": name} for name in part], **pagination}, {}

    def _stats(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        _known(asked)  # a filter is for pods only
        counts = {name: {"vectorCount": len(space.settle())} for name, space in self.namespaces.items()}
        total = sum(each["vectorCount"] for each in counts.values())
        return {"namespaces": counts, "dimension": self.dimension, "totalVectorCount": total}, {}

    def _one_namespace(self, method: str, name: str) -> tuple[Any, dict[str, str]]:
        if name not in self.namespaces:
            raise Refused(f"Namespace not found: {name}", 404, NOT_FOUND)
        if method == "GET":
            records = self.namespaces[name].settle()
            size = sum(each.values.nbytes + len(orjson.dumps(each.metadata)) for each in records.values())
            return {"name": name, "record_count": str(len(records)), "size_bytes": str(size)}, {}
        del self.namespaces[name]
        return {}, {}


def _known(asked: dict[str, Any], *names: str) -> None:
    if unknown := asked.keys() - set(names):
        raise Refused(f"Invalid request: unknown fields {sorted(unknown)}")


def _check_id(name: Any) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= 512 or not name.isascii() or "\0" in name:
        raise Refused(f"Vector ID must be ASCII of 1 to 512 characters, got {name!r}")


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    for key, value in metadata.items():
        if key.startswith("$"):
            raise Refused(f"Metadata field names may not begin with $: {key!r}")
        is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if not isinstance(value, str | bool | int | float) and not is_list:
            raise Refused(
                "Metadata value must be a string, number, boolean or list of strings, "
                f"got {orjson.dumps(value).decode()!r} for field {key!r}"
            )
    # All numbers are float64, and come back so.
    kept = {
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in metadata.items()
    }
    if (size := len(orjson.dumps(kept))) > MOST_METADATA:
        raise Refused(f"Metadata size is {size} bytes, which exceeds the limit of {MOST_METADATA} bytes per vector")
    return kept


def _scores(matrix: np.ndarray, vector: np.ndarray, metric: str) -> np.ndarray:
    if metric == "euclidean":
        return ((matrix - vector) ** 2).sum(1)
    products = np.vecdot(matrix, vector)  # row by row, so that equal rows score the same
    if metric == "cosine":
        products = products / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector))
    return products


def _shown(name: str, record: Record) -> dict[str, Any]:
    return {"id": name, "values": record.values, "metadata": record.metadata}


def _page(names: list[str], asked: dict[str, Any], most: int) -> tuple[list[str], dict[str, Any]]:
    limit = int(asked.get("limit", 100))
    if not 1 <= limit <= most:
        raise Refused(f"Invalid request: limit must be between 1 and {most}, got {limit}")
    try:
        start = int(base64.b64decode(asked["paginationToken"])) if "paginationToken" in asked else 0
    except ValueError:
        raise Refused("Invalid pagination token") from None
    if start + limit >= len(names):
        return names[start:], {}
    return names[start : start + limit], {"pagination": {"next": base64.b64encode(b"%d" % (start + limit)).decode()}}
