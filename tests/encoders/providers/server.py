"""A server that speaks the providers' protocols, with real vectors behind it, and misbehaves on order.

It knows OpenAI's interface, which those of Voyage, Mistral and Jina are written after, Cohere's second one, and
Google's. What it was asked for is checked as a provider would: an unknown task or dimension is refused.

What it bills. A provider bills a text when it has computed it, whatever happens to the answer. So a text is
counted in one of two places: ``delivered`` when the whole of a right answer was handed to the connection, which
a client must keep and never ask for again; ``spoiled`` when it was computed and the answer was broken, late or
wrong, which nobody can keep. "None paid twice" means that no text is in ``delivered`` more than once.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from samespace.testing.encoder import CharacterEncoder

DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "embed-v4.0": 1536,
    "embed-english-light-v3.0": 384,
    "voyage-4-lite": 1024,
    "gemini-embedding-001": 3072,
    "mistral-embed": 1024,
    "jina-embeddings-v3": 1024,
    "local-model": 96,
    "loud-model": 96,  # whose vectors have a length of 3
    "local/Model-GGUF": 96,
}
ALIASES = {"local/Model-GGUF": "local-model"}
TASKS = {
    "input_type": {"search_document", "search_query", "document", "query"},
    "task": {"retrieval.passage", "retrieval.query"},
    "taskType": {"RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"},
}
WORST = (
    *("429", "429 in seconds", "429 at a date", "500", "503", "late", "half", "hang up", "not json"),
    *("count", "more", "order", "dimension", "nan", "zeros", "other model", "other name", "null", "huge"),
)

_characters = CharacterEncoder(256, metric="dot", prompts={})


@lru_cache(maxsize=64)
def _projection(model: str, dimension: int) -> np.ndarray:
    return (
        np.random.default_rng(zlib.crc32(ALIASES.get(model, model).encode()))
        .standard_normal((256, dimension))
        .astype(np.float32)
    )


def vectors(texts: list[str], model: str, task: str | None = None, dimension: int | None = None) -> np.ndarray:
    """What the server's models make of texts: of unit length, and when shortened not of unit length any more."""
    counts, _ = _characters._encode([f"{task or ''}{text}" for text in texts], "document", lambda _done: None)
    array = counts @ _projection(model, DIMENSIONS[model])
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array[:, :dimension] * (3 if model == "loud-model" else 1)


def tokens(text: str) -> int:
    return 1 + len(text.encode()) // 5


class Server:
    """Runs in threads of this process until it is closed.

    Attributes:
        trouble: called with the number of the request, from 0; the name of what to do wrong, or None.
        key: that requests must show; None for no key.
        delivered, spoiled: how often each text was billed, see above.
        requests: the bodies that came, and ``headers`` their headers.
        late: seconds that a late answer takes.
        base64: numbers may be asked for as base64.
        limit: tokens of a text beyond which a request is refused; None for none.
    """

    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        self.trouble: Callable[[int], str | None] = lambda _number: None
        self.key: str | None = None
        self.delivered: Counter[str] = Counter()
        self.spoiled: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.troubles: Counter[str] = Counter()
        self.late, self.delay = 1.0, 0.0
        self.base64, self.limit, self.numbers = True, None, 0

    def misbehave(self, rate: float, seed: int = 0, kinds: tuple[str, ...] = WORST) -> None:
        """Do something wrong in a part of the requests, always the same for a seed and a request's number."""
        self.trouble = lambda n: (lambda r: r.choice(kinds) if r.random() < rate else None)(
            random.Random(seed * 7919 + n)
        )

    def first(self, *kinds: str | None) -> None:
        """Do these wrong, one a request, and then nothing."""
        self.trouble = lambda number: kinds[number] if number < len(kinds) else None

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client left
                self._answer()

        def _answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                number, server.numbers = server.numbers, server.numbers + 1
                server.requests.append(body)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.paths.append(self.path)
                trouble = server.trouble(number)
                server.troubles[trouble or "none"] += 1
            shown = self.headers.get("x-goog-api-key") or (self.headers.get("Authorization") or "").removeprefix(
                "Bearer "
            )
            if (server.key is not None and shown != server.key) or trouble == "401":
                return self._send(401, {"error": {"message": f"Incorrect API key provided: {shown}. {self.headers}"}})
            if trouble and self._refuse(trouble, shown):
                return None
            try:
                question = _question(self.path, body)
            except (KeyError, ValueError) as error:
                return self._send(400, {"error": {"message": f"bad request: {error}"}})
            if server.limit and (longest := max(map(tokens, question.texts))) > server.limit:
                return self._send(
                    400, {"error": {"message": f"a text has {longest} tokens, the most is {server.limit}"}}
                )
            if question.encoding == "base64" and not server.base64:
                return self._send(422, {"error": {"message": "encoding_format must be 'float'"}})
            time.sleep(server.delay)
            answer = question.answer(trouble)
            whole = json.dumps(answer).encode()
            spoiled = trouble not in (None, "shuffled", "slow")
            with server.lock:
                (server.spoiled if spoiled else server.delivered).update(question.texts)
            if trouble in ("late", "slow"):
                time.sleep(server.late)
            if trouble == "half":
                self._raw(200, whole[: len(whole) // 2], len(whole))
                self.close_connection = True
                return self.connection.close()
            if trouble == "not json":
                return self._raw(200, b"<html>welcome to the proxy</html>")
            return self._raw(200, whole)

        def _refuse(self, trouble: str, shown: str) -> bool:
            """Answer as the trouble says, if it is one before any vector is made."""
            headers: dict[str, str] = {}
            if trouble == "hang up":
                self.close_connection = True
                self.connection.close()
                return True
            kind, _, rest = trouble.partition(" ")
            if not kind.isdigit():
                return False
            if rest == "in seconds":
                headers = {"Retry-After": "0.05"}
            elif rest == "at a date":
                headers = {"Retry-After": formatdate(time.time() + 1, usegmt=True)}
            elif rest.startswith("in "):
                headers = {"Retry-After": rest.removeprefix("in ")}
            elif rest == "elsewhere":
                headers = {"Location": f"{server.url}/elsewhere{self.path}"}
            body: dict[str, Any] = {
                "error": {"message": f"trouble {kind}, your key is {shown}", "type": "server_error"}
            }
            if rest == "quota":
                body["error"]["code"] = "insufficient_quota"
            if self.path.endswith("/embed"):
                body = {"message": body["error"]["message"]}
            self._send(int(kind), body, {**headers, "X-Echo": shown})
            return True

        def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
            self._raw(status, json.dumps(body).encode(), None, headers)

        def _raw(
            self, status: int, body: bytes, length: int | None = None, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self._headers_buffer.append(b"\r\n" + body)  # with the head in one packet
            self.flush_headers()
            self.wfile.flush()

    return Handler


class _Question:
    """A request in any of the protocols, and the answer in the same."""

    def __init__(self, kind: str, texts: list[str], model: str, task: str | None, dimension: int | None, encoding: Any):
        self.kind, self.texts, self.model, self.task = kind, texts, model, task
        self.dimension, self.encoding = dimension, encoding

    def answer(self, trouble: str | None) -> dict[str, Any]:
        array, model, order = self._vectors(trouble), self.model, list(range(len(self.texts)))
        if trouble == "count":
            array = array[:-1]
        elif trouble == "more":
            array = np.concatenate([array, array[:1]])
        elif trouble == "order":  # and it says that it is the right one
            array = array[::-1]
        elif trouble == "dimension":
            array = array[:, : array.shape[1] // 2]
        elif trouble in ("nan", "zeros"):
            array = array.copy()
            array[len(array) // 2] = np.nan if trouble == "nan" else 0
        elif trouble == "other name":
            model = f"{model}-v2"
        elif trouble == "twice":
            order = [0] * len(order)
        lists: list[Any] = array.tolist()
        coded: list[Any] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in array]
        if trouble == "huge":
            lists[-1] = [1e60] * len(lists[0])
            coded[-1] = base64.b64encode(np.full(len(lists[0]), np.inf, "<f4").tobytes()).decode()
        if trouble == "null":
            lists[-1], coded[-1] = [None] * len(lists[0]), None
        count = sum(map(tokens, self.texts))
        if self.kind == "google":
            return {"embeddings": [{"values": numbers} for numbers in lists]}
        if self.kind == "cohere":
            made: dict[str, Any] = {}
            for kind in self.encoding:
                if kind == "int8":
                    made[kind] = np.clip(np.round(array / 0.2 * 127), -128, 127).astype(int).tolist()
                else:
                    made[kind] = lists if kind == "float" else coded
            made = {kind: made[kind] for kind in self.encoding}
            meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": count}}
            return {
                "id": "1",
                "embeddings": made,
                "texts": self.texts,
                "meta": meta,
                "response_type": "embeddings_by_type",
            }
        rows = [
            {
                "object": "embedding",
                "index": order[place % len(order)] if trouble != "more" else place,
                "embedding": row,
            }
            for place, row in enumerate(coded if self.encoding == "base64" else lists)
        ]
        if trouble == "shuffled":
            random.Random(1).shuffle(rows)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "data": rows, "model": model, "usage": usage}

    def _vectors(self, trouble: str | None) -> np.ndarray:
        array = vectors(self.texts, self.model, self.task, self.dimension)
        if trouble == "other model":
            size = DIMENSIONS[self.model]
            array = np.roll(vectors(self.texts, self.model, self.task), size // 3, axis=1)[:, : self.dimension]
        return array


def _question(path: str, body: dict[str, Any]) -> _Question:
    if path.endswith(":batchEmbedContents"):
        model = path.rsplit("/", 1)[1].partition(":")[0]
        parts = body["requests"]
        assert all(part["model"] == f"models/{model}" for part in parts)
        texts = [part["content"]["parts"][0]["text"] for part in parts]
        task, dimension = parts[0].get("taskType"), parts[0].get("outputDimensionality")
        question = _Question("google", texts, model, task, dimension, None)
        most, names = 100, "taskType"
    elif path.endswith("/v2/embed"):
        encodings = body["embedding_types"]
        task = body["input_type"]
        question = _Question("cohere", body["texts"], body["model"], task, body.get("output_dimension"), encodings)
        most, names = 96, "input_type"
    elif path.endswith("/v1/embeddings"):
        dimension = body.get("dimensions") or body.get("output_dimension")
        task = body.get("input_type") or body.get("task")
        names = "task" if "task" in body else "input_type"
        question = _Question(
            "openai", body["input"], body["model"], task, dimension, body.get("encoding_format", "float")
        )
        most = 2048
    else:
        raise ValueError(f"no such path: {path}")
    if question.model not in DIMENSIONS:
        raise ValueError(f"no such model: {question.model}")
    if question.task is not None and question.task not in TASKS[names]:
        raise ValueError(f"no such task: {question.task}")
    if not 1 <= len(question.texts) <= most or not all(isinstance(text, str) and text for text in question.texts):
        raise ValueError(f"1 to {most} texts, got {len(question.texts)}")
    if question.dimension is not None and not 1 <= question.dimension <= DIMENSIONS[question.model]:
        raise ValueError(f"no such dimension: {question.dimension}")
    return question
