"""A server that speaks Qdrant's REST and gRPC over real sockets, with the client's own local mode behind them.

Requests and answers go through the client's published models, protobuf definitions and conversions, in both directions.
What it is not: Qdrant's engine. It tells whether what we send is understood and what comes back is read; payload
indexes and the graph are only remembered.
"""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as proto
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc

_KEY = "the right key"


@dataclass
class Fault:
    """What goes wrong instead of an answer.

    Attributes:
        on: a pattern of ``METHOD /path``.
        status: of the answer; 0 hangs up in its middle, -1 never answers.
        times: that it goes wrong.
    """

    on: str
    status: int
    said: str = ""
    times: int = 1_000_000
    seen: list[str] = field(default_factory=list)


class Backend:
    """Collections, by what the engine would do for a request."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.lock = threading.RLock()
        self.schema: dict[str, dict[str, str]] = {}
        self.m: dict[str, int] = {}
        self.keeps_metadata = True

    def quietly(self, act: Callable[[], Any]) -> Any:
        with self.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return act()

    def info(self, name: str) -> models.CollectionInfo:
        info = self.client.get_collection(name)
        info.payload_schema = {
            path: models.PayloadIndexInfo(data_type=kind, points=0) for path, kind in self.schema.get(name, {}).items()
        }
        info.config.hnsw_config.m = self.m.get(name, 16)
        info.indexed_vectors_count = info.points_count if info.config.hnsw_config.m else 0
        if not self.keeps_metadata:
            info.config.metadata = None
        return info

    def create(self, name: str, asked: models.CreateCollection) -> bool:
        self.schema.pop(name, None)
        self.m.pop(name, None)
        return self.client.create_collection(name, asked.vectors, metadata=asked.metadata)

    def change(self, name: str, vectors: Any) -> bool:
        self.m[name] = vectors["embedding"].hnsw_config.m
        return True


class Server:
    """Both protocols on ports of their own."""

    def __init__(self, *, key: bool = False) -> None:
        self.backend = Backend()
        self.key = _KEY if key else None
        self.fault: Fault | None = None
        self.requests: list[tuple[str, Any]] = []
        self._rest = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": self}))
        self._rest.daemon_threads = True
        self._thread = threading.Thread(target=self._rest.serve_forever, args=(0.05,))
        self._thread.start()
        self._grpc = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        points_service_pb2_grpc.add_PointsServicer_to_server(_Points(self), self._grpc)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(_Collections(self), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.port = self._rest.server_port

    def url(self, name: str = "notes", options: str = "") -> str:
        return f"qdrant://127.0.0.1:{self.port}/{name}{options}"

    def close(self) -> None:
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._thread.join()
        self._rest.server_close()
        self.backend.client.close()


class _Handler(BaseHTTPRequestHandler):
    server_state: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        state = self.server_state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        what = f"{self.command} {unquote(urlsplit(self.path).path)}"
        fault = state.fault
        if fault is not None and len(fault.seen) < fault.times and re.search(fault.on, what):
            fault.seen.append(what)
            if fault.status == -1:
                time.sleep(2)
                self.close_connection = True
                return
            if fault.status == 0:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"result": [{"id"')
                self.close_connection = True
                return
            self._answer(fault.status, fault.said.encode())
            return
        if state.key is not None and self.headers.get("api-key") != state.key:
            self._answer(401, b"Must provide an API key or an Authorization bearer token")
            return
        asked = json.loads(body) if body else None
        state.requests.append((what, asked))
        try:
            result = state.backend.quietly(lambda: _rest(state.backend, what, asked))
        except ValueError as error:
            status = 404 if "not found" in str(error) else 409 if "already exists" in str(error) else 400
            self._answer(status, json.dumps({"status": {"error": str(error)}, "time": 0}).encode())
            return
        self._answer(200, json.dumps({"result": result, "status": "ok", "time": 0}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names of http.server


def _rest(backend: Backend, what: str, asked: Any) -> Any:
    """The answer to a request, as JSON."""
    client = backend.client
    found = re.fullmatch(r"(\w+) /(?:collections/([^/]+))?(.*)", what)
    assert found is not None
    method, name, rest = found.groups()
    match method, rest:
        case "GET", "":
            return _json(backend.info(name))
        case "PUT", "":
            return backend.create(name, models.CreateCollection(**asked))
        case "PATCH", "":
            return backend.change(name, models.UpdateCollection(**asked).vectors)
        case "DELETE", "":
            return client.delete_collection(name)
        case "GET", "aliases":
            return _json(client.get_aliases())
        case "POST", "" if name == "aliases":
            return client.update_collection_aliases(models.ChangeAliasesOperation(**asked).actions)
        case "PUT", "/index":
            backend.schema.setdefault(name, {})[asked["field_name"]] = asked["field_schema"]
            return _DONE
        case "PUT", "/points":
            points = models.PointsList(**asked)
            client.upsert(name, points.points, update_mode=points.update_mode)
            return _DONE
        case "POST", "/points":
            get = models.PointRequest(**asked)
            return [_json(one) for one in client.retrieve(name, get.ids, get.with_payload, get.with_vector)]
        case "POST", "/points/scroll":
            page = models.ScrollRequest(**asked)
            records, after = client.scroll(
                name, page.filter, page.limit, page.order_by, page.offset, page.with_payload, page.with_vector
            )
            return {"points": [_json(one) for one in records], "next_page_offset": after}
        case "POST", "/points/query":
            return _json(client.query_batch_points(name, [models.QueryRequest(**asked)])[0])
        case "POST", "/points/query/batch":
            batch = models.QueryRequestBatch(**asked)
            return [_json(one) for one in client.query_batch_points(name, batch.searches)]
        case "POST", "/points/count":
            return _json(client.count(name, models.CountRequest(**asked).filter))
        case "POST", "/points/delete":
            chosen = models.FilterSelector(**asked) if "filter" in asked else models.PointIdsList(**asked)
            client.delete(name, chosen)
            return _DONE
    raise ValueError(f"this server knows no {what}")


_DONE = {"operation_id": 0, "status": "completed"}


def _json(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True)


def _serving(answer: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a service: checks the key, and turns errors into status codes."""

    def serve(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        state: Server = self.state
        if state.key is not None and dict(context.invocation_metadata()).get("api-key") != state.key:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key")
        fault = state.fault
        if fault is not None and len(fault.seen) < fault.times and re.search(fault.on, answer.__name__):
            fault.seen.append(answer.__name__)
            context.abort(grpc.StatusCode.UNAVAILABLE, fault.said)
        state.requests.append((answer.__name__, request))
        try:
            return state.backend.quietly(lambda: answer(self, request))
        except ValueError as error:
            said = str(error)
            code = grpc.StatusCode.NOT_FOUND if "not found" in said else grpc.StatusCode.INVALID_ARGUMENT
            context.abort(code, said)

    return serve


class _Points(points_service_pb2_grpc.PointsServicer):
    def __init__(self, state: Server) -> None:
        self.state = state
        self.client = state.backend.client

    @_serving
    def Upsert(self, request: Any) -> Any:  # noqa: N802
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        for point in points:
            point.vector = point.vector or {}
        mode = GrpcToRest.convert_update_mode(request.update_mode) if request.HasField("update_mode") else None
        self.client.upsert(request.collection_name, points, update_mode=mode)
        return _done()

    @_serving
    def Get(self, request: Any) -> Any:  # noqa: N802
        payload, vectors = _selectors(request)
        ids = [GrpcToRest.convert_point_id(one) for one in request.ids]
        records = self.client.retrieve(request.collection_name, ids, payload, vectors)
        return proto.GetResponse(result=[_record(one) for one in records])

    @_serving
    def Scroll(self, request: Any) -> Any:  # noqa: N802
        payload, vectors = _selectors(request)
        records, after = self.client.scroll(
            request.collection_name,
            _filter(request),
            request.limit,
            GrpcToRest.convert_order_by(request.order_by) if request.HasField("order_by") else None,
            GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            payload,
            vectors,
        )
        return proto.ScrollResponse(
            result=[_record(one) for one in records],
            next_page_offset=None if after is None else RestToGrpc.convert_extended_point_id(after),
        )

    @_serving
    def Query(self, request: Any) -> Any:  # noqa: N802
        answer = self.client.query_batch_points(request.collection_name, [GrpcToRest.convert_query_points(request)])[0]
        return proto.QueryResponse(result=[RestToGrpc.convert_scored_point(one) for one in answer.points])

    @_serving
    def QueryBatch(self, request: Any) -> Any:  # noqa: N802
        asked = [GrpcToRest.convert_query_points(one) for one in request.query_points]
        answers = self.client.query_batch_points(request.collection_name, asked)
        return proto.QueryBatchResponse(
            result=[
                proto.BatchResult(result=[RestToGrpc.convert_scored_point(one) for one in answer.points])
                for answer in answers
            ]
        )

    @_serving
    def Count(self, request: Any) -> Any:  # noqa: N802
        count = self.client.count(request.collection_name, _filter(request)).count
        return proto.CountResponse(result=proto.CountResult(count=count))

    @_serving
    def Delete(self, request: Any) -> Any:  # noqa: N802
        self.client.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
        return _done()

    @_serving
    def CreateFieldIndex(self, request: Any) -> Any:  # noqa: N802
        kind = proto.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
        self.state.backend.schema.setdefault(request.collection_name, {})[request.field_name] = kind
        return _done()


class _Collections(collections_service_pb2_grpc.CollectionsServicer):
    def __init__(self, state: Server) -> None:
        self.state = state
        self.client = state.backend.client

    @_serving
    def Get(self, request: Any) -> Any:  # noqa: N802
        info = self.state.backend.info(request.collection_name)
        return proto.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    @_serving
    def Create(self, request: Any) -> Any:  # noqa: N802
        asked = models.CreateCollection(
            vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
            metadata=GrpcToRest.convert_payload(request.metadata),
        )
        return proto.CollectionOperationResponse(result=self.state.backend.create(request.collection_name, asked))

    @_serving
    def Update(self, request: Any) -> Any:  # noqa: N802
        vectors = GrpcToRest.convert_vectors_config_diff(request.vectors_config)
        return proto.CollectionOperationResponse(result=self.state.backend.change(request.collection_name, vectors))

    @_serving
    def Delete(self, request: Any) -> Any:  # noqa: N802
        return proto.CollectionOperationResponse(result=self.client.delete_collection(request.collection_name))

    @_serving
    def ListAliases(self, request: Any) -> Any:  # noqa: N802
        found = self.client.get_aliases().aliases
        return proto.ListAliasesResponse(aliases=[RestToGrpc.convert_alias_description(one) for one in found])


def _done() -> Any:
    return proto.PointsOperationResponse(result=proto.UpdateResult(operation_id=0, status=proto.UpdateStatus.Completed))


def _record(record: models.Record) -> Any:
    return RestToGrpc.convert_record(record.model_copy(update={"payload": record.payload or {}}))


def _filter(request: Any) -> Any:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _selectors(request: Any) -> tuple[Any, Any]:
    vectors = GrpcToRest.convert_with_vectors_selector(request.with_vectors)
    return GrpcToRest.convert_with_payload_selector(request.with_payload), vectors or False
