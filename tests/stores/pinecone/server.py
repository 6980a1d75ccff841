"""A server that speaks Pinecone's REST API over real sockets: a control plane, and a data plane for each index.

Each index has a port of its own, as in Pinecone Local. What is not in the API is refused; and so is what is over its
limits. Faults are injected on order.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from stores.pinecone.filtering import Refused
from stores.pinecone.records import Index

API_VERSION = "2026-07"
_METRICS = ("cosine", "dotproduct", "euclidean")


@dataclass
class Fault:
    """What goes wrong with requests.

    Attributes:
        path: pattern of theirs.
        status: of the answer; 0 hangs up without one.
        cut: the answer breaks off in its middle.
        wait: seconds before the answer.
        body: instead of an error's.
        after: requests that go well before.
        times: how many go wrong.
    """

    path: str
    status: int = 503
    cut: bool = False
    wait: float = 0.0
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    times: int = 1


class Server:
    """The control plane, and what it made.

    Attributes:
        indexes: by name.
        faults: to come.
        key: that requests must carry.
        not_ready: how often an index that was made is told as initializing.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.indexes: dict[str, Index] = {}
        self.faults: list[Fault] = []
        self.made: list[dict[str, Any]] = []
        self.not_ready = 0
        self.pods = False
        self._lock = threading.RLock()
        self._ports: dict[str, _Listener] = {}
        self._control = _Listener(self, None)
        self.url = f"http://127.0.0.1:{self._control.server_port}"

    def add(self, name: str, dimension: int = 8, metric: str = "dotproduct") -> Index:
        with self._lock:
            self.indexes[name] = Index(name, dimension, metric)
            self._ports[name] = _Listener(self, self.indexes[name])
            return self.indexes[name]

    def close(self) -> None:
        for listener in (self._control, *self._ports.values()):
            listener.stop()

    def fault(self, path: str) -> Fault | None:
        with self._lock:
            for each in self.faults:
                if re.search(each.path, path):
                    if each.after:
                        each.after -= 1
                        continue
                    each.times -= 1
                    if not each.times:
                        self.faults.remove(each)
                    return each
        return None

    def control(self, method: str, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        with self._lock:
            if method == "POST" and path == "/indexes":
                return 201, self._create(asked)
            found = re.fullmatch(r"/indexes(?:/([^/]+))?", path)
            if found is None or method not in ("GET", "DELETE") or (method == "DELETE" and not found[1]):
                raise Refused(f"no such operation: {method} {path}", 404)
            if found[1] is None:
                return 200, {"indexes": [self._model(name) for name in self.indexes]}
            if found[1] not in self.indexes:
                raise Refused(f"Resource {found[1]} not found", 404)
            if method == "GET":
                return 200, self._model(found[1])
            del self.indexes[found[1]]
            self._ports.pop(found[1]).stop()
            return 202, None

    def _create(self, asked: dict[str, Any]) -> Any:
        if unknown := asked.keys() - {"name", "schema", "deployment", "deletion_protection", "tags"}:
            raise Refused(f"Invalid request: unknown fields {sorted(unknown)}")
        name, (wanted,) = asked["name"], asked["schema"]["fields"].values()
        if name in self.indexes:
            raise Refused("Resource already exists", 409)
        if not 1 <= wanted["dimension"] <= 20_000 or wanted["metric"] not in _METRICS:
            raise Refused(f"Invalid request: {wanted}")
        if asked["deployment"].get("region") != "us-east-1":
            raise Refused(f"Resource cloud: aws region: {asked['deployment'].get('region')} not found", 404)
        self.made.append(asked)
        self.add(name, wanted["dimension"], wanted["metric"])
        return self._model(name)

    def _model(self, name: str) -> Any:
        index = self.indexes[name]
        ready, self.not_ready = not self.not_ready, max(0, self.not_ready - 1)
        managed = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
        pods = {"deployment_type": "pod", "environment": "e", "pod_type": "p1.x1", "replicas": 1, "shards": 1}
        return {
            "name": name,
            "host": f"127.0.0.1:{self._ports[name].server_port}",
            "status": {"ready": ready, "state": "Ready" if ready else "Initializing"},
            "schema": {
                "fields": {"_values": {"type": "dense_vector", "dimension": index.dimension, "metric": index.metric}}
            },
            "deployment": pods if self.pods else managed,
            "deletion_protection": "disabled",
        }


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, server: Server, index: Index | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server, self.index = server, index
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def process_request(self, request: Any, address: Any) -> None:
        self._open.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that hangs up is no event."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        server, index = self.server.server, self.server.index
        fault = server.fault(f"{self.command} {url.path}")
        if fault is not None:
            time.sleep(fault.wait)
            if fault.status == 0:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if not fault.cut and fault.status >= 300:
                said = orjson.dumps({"code": 13, "message": "injected", "details": []})
                self._send(fault.status, said if fault.body is None else fault.body, fault.headers)
                return
        headers: dict[str, str] = {}
        if self.headers.get("Api-Key") != server.key:
            self._send(401, b"Invalid API Key", {"Content-Type": "text/plain"})
            return
        try:
            _check_version(self.headers.get("X-Pinecone-Api-Version"))
            asked = orjson.loads(body or b"{}")
            asked |= {key: values if key == "ids" else values[0] for key, values in parse_qs(url.query).items()}
            if index is None:
                status, answer = server.control(self.command, url.path, asked)
            else:
                status, (answer, headers) = 200, index.call(self.command, url.path, asked, len(body))
        except Refused as error:
            status = error.status
            answer = {"code": error.code, "message": str(error), "details": []}
            if index is None:
                answer = {"status": status, "error": {"code": "INVALID_ARGUMENT", "message": str(error)}}
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"code": 3, "message": f"Invalid request: {error!r}", "details": []}
        said = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY) if answer is not None else b""
        if fault is not None and fault.body is not None:
            said = fault.body
        self._send(status, said, headers, cut=fault is not None and fault.cut)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


def _check_version(version: str | None) -> None:
    if version != API_VERSION:
        raise Refused(f"Invalid request: API version {version}")


@contextlib.contextmanager
def serving(key: str = "pcsk_test_secret") -> Iterator[Server]:
    """A server for the time of a ``with`` block."""
    server = Server(key)
    try:
        yield server
    finally:
        server.close()
