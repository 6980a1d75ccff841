"""A small server that speaks Weaviate's protocol over real sockets: REST for schemas, gRPC for the rest.

The messages are those that the official client was generated from, so what the client sends is read as Weaviate reads
it. Calls can be made to fail, to wait, or to be cut off in the middle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from uuid import UUID

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

from stores.weaviate.engine import Class, Refused

__all__ = ["Server", "serving"]

_SEARCHES = {"near_vector", "bm25_search"}
_SEARCH = _SEARCHES | {
    "collection", "properties", "metadata", "limit", "offset", "after", "sort_by", "filters",
    "uses_123_api", "uses_125_api", "uses_127_api",
}  # fmt: skip
_WRITES = ("BatchObjects", "BatchDelete", "POST", "DELETE")


@dataclass
class Fault:
    """What happens to the next calls of a method.

    Attributes:
        method: of gRPC or HTTP.
        code: of gRPC's status, or the HTTP status.
        seconds: to wait before the answer.
        cut: write half of the batch, and drop every connection.
    """

    method: str
    code: Any = None
    message: str = "injected"
    seconds: float = 0.0
    cut: bool = False
    times: int = 1


class Server(weaviate_pb2_grpc.WeaviateServicer):
    """Both halves.

    Attributes:
        key: an API key that calls must have; ``reader`` may only read.
        largest: bytes of a message.
        maximum: QUERY_MAXIMUM_RESULTS.
        refuse_object: what is wrong with an object's properties, in the middle of a batch.
        auth_code: with which gRPC refuses a key.
    """

    def __init__(self) -> None:
        self.key = self.reader = ""
        self.version = "1.34.10"
        self.largest = 10 * 2**20
        self.maximum = 10_000
        self.auth_code = grpc.StatusCode.UNAUTHENTICATED
        self.refuse_object: Callable[[dict[str, Any]], str | None] = lambda _properties: None
        self.classes: dict[str, Class] = {}
        self.calls: list[str] = []
        self._faults: list[Fault] = []
        self._lock = Lock()
        self.grpc_port = 0
        self.start_grpc()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def url(self, name: str = "Notes", options: str = "") -> str:
        return f"weaviate://127.0.0.1:{self.port}/{name}?grpc={self.grpc_port}{options}"

    def fail(self, method: str, **how: Any) -> None:
        self._faults.append(Fault(method, **how))

    def start_grpc(self) -> None:
        limits = [("grpc.max_receive_message_length", self.largest), ("grpc.max_send_message_length", -1)]
        self._grpc = grpc.server(ThreadPoolExecutor(16), options=[*limits, ("grpc.so_reuseport", 0)])
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(self, self._grpc)
        check = grpc.unary_unary_rpc_method_handler(
            lambda _request, _context: health_weaviate_pb2.WeaviateHealthCheckResponse(status="SERVING"),
            request_deserializer=health_weaviate_pb2.WeaviateHealthCheckRequest.FromString,
            response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
        )
        self._grpc.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})]
        )
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()

    def stop_grpc(self) -> None:
        self._grpc.stop(None).wait()

    def stop(self) -> None:
        self.stop_grpc()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def admit(self, method: str, key: str) -> Fault | None:
        """Take note of a call; the fault that it shall have.

        Raises:
            PermissionError: with whether the key is known at all.
        """
        with self._lock:
            self.calls.append(method)
            if self.key and key not in (f"Bearer {self.key}", f"Bearer {self.reader}"):
                raise PermissionError(False)
            if self.key and key != f"Bearer {self.key}" and method in _WRITES:
                raise PermissionError(True)
            for fault in self._faults:
                if fault.method == method:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                    return fault
        return None

    def class_of(self, name: str) -> Class:
        if name not in self.classes:
            raise Refused(f"could not find class {name} in schema")
        return self.classes[name]

    # gRPC

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the service says
        return self._answer("Search", self._search, request, context)

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("Aggregate", self._aggregate, request, context)

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("BatchObjects", self._batch, request, context)

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("BatchDelete", self._delete, request, context)

    def _answer(self, method: str, answer: Callable[[Any], Any], request: Any, context: Any) -> Any:
        key = dict(context.invocation_metadata()).get("authorization", "")
        try:
            fault = self.admit(method, key)
        except PermissionError as error:
            if error.args[0]:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "rbac: forbidden action")
            context.abort(self.auth_code, "extract auth: unauthorized: invalid api key")
        if fault is not None:
            if fault.cut:
                del request.objects[len(request.objects) // 2 :]
                answer(request)
                self._grpc.stop(None)
            time.sleep(fault.seconds)
            if fault.code is not None:
                context.abort(fault.code, fault.message)
        try:
            return answer(request)
        except Refused as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))

    def _search(self, request: Any) -> Any:
        asked = {field.name for field, _ in request.ListFields()}
        if unknown := asked - _SEARCH:
            raise Refused(f"this server does not know {', '.join(unknown)}")
        found = self.class_of(request.collection)
        limit, offset = request.limit or 10, request.offset
        if limit + offset > self.maximum:
            raise Refused("query maximum results exceeded")
        if request.after and asked & {"filters", "sort_by", "offset", *_SEARCHES}:
            raise Refused("cursor api: invalid 'after' parameter: combined with filters, sort, offset or a search")
        with found.lock:
            numbers = found.matching(request.filters) if "filters" in asked else None
            scores: dict[int, float] = {}
            if "near_vector" in asked:
                scores = dict(found.nearest(_query_of(request.near_vector, found), numbers, limit + offset))
                order = list(scores)
            elif "bm25_search" in asked:
                names = list(request.bm25_search.properties)
                scores = dict(found.by_words(request.bm25_search.query, names, numbers, limit + offset))
                order = list(scores)
            else:
                order = self._listed(found, numbers, request)
            reply = search_get_pb2.SearchReply()
            for number in order[offset : offset + limit]:
                self._fill(reply.results.add(), found, number, scores.get(number), request)
        return reply

    @staticmethod
    def _listed(found: Class, numbers: set[int] | None, request: Any) -> list[int]:
        order = found.alive(numbers)
        if request.after or not (request.sort_by or numbers is not None):
            order.sort(key=lambda number: found.documents[number].uuid)
            after = request.after or ""
            return [number for number in order if found.documents[number].uuid > after]
        for each in reversed(request.sort_by):
            (name,) = each.path
            found.property(name)

            def key(number: int, name: str = name) -> Any:
                value = found.documents[number].properties.get(name)
                return (value is not None, value)

            order.sort(key=key, reverse=not each.ascending)
        return order

    @staticmethod
    def _fill(result: Any, found: Class, number: int, score: float | None, request: Any) -> None:
        document, metadata = found.documents[number], request.metadata
        result.metadata.id = document.uuid
        result.metadata.id_as_bytes = UUID(document.uuid).bytes
        if metadata.vector and document.vector is not None:
            result.metadata.vectors.add(
                name=found.vector_name,
                vector_bytes=document.vector.tobytes(),
                type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
            )
        if metadata.creation_time_unix:
            result.metadata.creation_time_unix, result.metadata.creation_time_unix_present = document.created, True
        if metadata.last_update_time_unix:
            result.metadata.last_update_time_unix = document.created
            result.metadata.last_update_time_unix_present = True
        if score is not None and metadata.distance:
            result.metadata.distance, result.metadata.distance_present = score, True
        if score is not None and metadata.score:
            result.metadata.score, result.metadata.score_present = score, True
        result.properties.target_collection = found.name
        names = list(request.properties.non_ref_properties)
        if request.properties.return_all_nonref_properties or not request.HasField("properties"):
            names = [name for name, each in found.properties.items() if each["dataType"] != ["blob"]]
        for name in names:
            kind = found.property(name)["dataType"][0]
            value = document.properties.get(name)
            target = result.properties.non_ref_props.fields[name]
            if value is None:
                target.null_value = 0
            elif kind == "text[]":
                target.list_value.text_values.CopyFrom(properties_pb2.TextValues(values=value))
            else:
                field = {"text": "text_value", "int": "int_value", "number": "number_value", "boolean": "bool_value"}
                setattr(target, field.get(kind, "blob_value"), value)

    def _aggregate(self, request: Any) -> Any:
        if {field.name for field, _ in request.ListFields()} - {"collection", "objects_count", "filters"}:
            raise Refused("this server counts, and aggregates nothing else")
        found = self.class_of(request.collection)
        with found.lock:
            n = len(found.matching(request.filters)) if request.HasField("filters") else len(found.numbers)
        return aggregate_pb2.AggregateReply(single_result=aggregate_pb2.AggregateReply.Single(objects_count=n))

    def _batch(self, request: Any) -> Any:
        reply = batch_pb2.BatchObjectsReply()
        for index, one in enumerate(request.objects):
            try:
                self._put(one)
            except Refused as error:
                reply.errors.add(index=index, error=str(error))
        return reply

    def _put(self, one: Any) -> None:
        found = self.class_of(one.collection)
        given = one.properties
        asked = {field.name for field, _ in given.ListFields()}
        if unknown := asked - {"non_ref_properties", "text_array_properties", "empty_list_props"}:
            raise Refused(f"this server does not know {', '.join(unknown)}")
        properties = MessageToDict(given.non_ref_properties)
        properties.update((each.prop_name, list(each.values)) for each in given.text_array_properties)
        properties.update((name, []) for name in given.empty_list_props)
        if one.vector_bytes or one.vector:
            raise Refused("class has a named vector, and a vector without a name was given")
        vectors = {each.name: np.frombuffer(each.vector_bytes, "<f4") for each in one.vectors}
        if set(vectors) - {found.vector_name}:
            raise Refused(f"class does not have configuration for vector {set(vectors)}")
        if said := self.refuse_object(properties):
            raise Refused(said)
        found.put(one.uuid, properties, vectors.get(found.vector_name))

    def _delete(self, request: Any) -> Any:
        if not request.HasField("filters"):
            raise Refused("no filters in batch delete request")
        found = self.class_of(request.collection)
        with found.lock:
            uuids = [
                found.documents[number].uuid for number in found.alive(found.matching(request.filters))[: self.maximum]
            ]
            if not request.dry_run:
                for uuid in uuids:
                    found.delete(uuid)
        return batch_delete_pb2.BatchDeleteReply(successful=len(uuids), matches=len(uuids))

    # REST

    def rest(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match [method, *path.strip("/").split("/")]:
            case ["GET", "v1", "meta"]:
                return 200, {
                    "version": self.version,
                    "hostname": "http://[::]:8080",
                    "grpcMaxMessageSize": self.largest,
                }
            case ["GET", "v1", ".well-known", "ready"]:
                return 200, None
            case ["GET", "v1", "schema", name]:
                return (200, self.classes[name].schema) if name in self.classes else (404, None)
            case ["DELETE", "v1", "schema", name]:
                self.classes.pop(name, None)
                return 200, None
            case ["POST", "v1", "schema"]:
                with self._lock:
                    if body["class"] in self.classes:
                        raise Refused(f"class name {body['class']} already exists")
                    made = self.classes[body["class"]] = Class(body)
                return 200, made.schema
            case ["POST", "v1", "objects"]:
                found = self.class_of(body["class"])
                with found.lock:
                    if body["id"] in found.numbers:
                        raise Refused(f"id '{body['id']}' already exists")
                    found.put(body["id"], body["properties"], None)
                return 200, body
        return 405, _error(f"this server has no {method} {path}")


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        server = self.server_of
        text = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            fault = server.admit(self.command, self.headers.get("authorization", ""))
            if fault is not None:
                time.sleep(fault.seconds)
            if fault is not None and fault.code is not None:
                answer: tuple[int, Any] = fault.code, _error(fault.message)
            else:
                path = self.path.partition("?")[0]
                answer = server.rest(self.command, path, json.loads(text) if text not in (b"", b"null") else None)
        except PermissionError as error:
            answer = (
                (403, _error("rbac: forbidden")) if error.args[0] else (401, _error("unauthorized: invalid api key"))
            )
        except Refused as error:
            answer = 422, _error(str(error))
        status, value = answer
        payload = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = _do  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def _error(message: str) -> dict[str, Any]:
    return {"error": [{"message": message}]}


def _query_of(near: Any, found: Class) -> np.ndarray:
    """The vector of a search, however this client packs it."""
    names = list(near.targets.target_vectors) or list(near.target_vectors)
    if names and names != [found.vector_name]:
        raise Refused(f"class does not have named vector {names}")
    packed = near.vector_bytes or next((each.vector_bytes for each in near.vectors), b"")
    packed = packed or next((each.vector_bytes for each in near.vector_for_targets), b"")
    if not packed or near.HasField("distance") or near.HasField("certainty"):
        raise Refused("near_vector: expected a vector, without distance or certainty")
    return np.frombuffer(packed, "<f4")


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":  # for measurements: a process of its own, until its standard input ends
    import sys

    with serving() as running:
        print(running.port, running.grpc_port, flush=True)  # noqa: T201
        sys.stdin.read()
