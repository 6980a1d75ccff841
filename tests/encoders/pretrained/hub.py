"""A server that speaks the hub's protocol, as far as fetching a model needs it, and notes what is asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What is published, and what was asked for.

    Attributes:
        url: of the server.
        commits: folders by commit.
        refs: commits by branch or tag.
        asked: files that were fetched.
    """

    url: str = ""
    commits: dict[str, Path] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, folder: Path, *refs: str) -> str:
        """Publish a folder under branches and tags; returns its commit."""
        content = hashlib.sha1(usedforsecurity=False)
        for file in sorted(folder.rglob("*")):
            content.update(file.read_bytes() if file.is_file() else b"")
        commit = content.hexdigest()
        self.commits[commit] = folder
        self.refs |= dict.fromkeys(refs, commit)
        return commit


@contextmanager
def serve(model: str) -> Iterator[Hub]:
    """Run a hub with one model."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.answer()

        def answer(self):
            path = unquote(urlsplit(self.path).path).strip("/")
            for prefix, act in ((f"api/models/{model}/", self.api), (f"{model}/resolve/", self.file)):
                if path.startswith(prefix):
                    return act(*path.removeprefix(prefix).split("/", 1))
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})

        def api(self, kind, ref="main"):
            commit = hub.refs.get(ref, ref)
            if commit not in hub.commits:
                return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            files = [f for f in sorted(hub.commits[commit].rglob("*")) if f.is_file()]
            names = [(f.relative_to(hub.commits[commit]).as_posix(), f.stat().st_size) for f in files]
            if kind == "tree":
                tree = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in names]
                return self.send(200, json.dumps(tree).encode())
            siblings = [{"rfilename": name} for name, _ in names]
            return self.send(200, json.dumps({"id": model, "sha": commit, "siblings": siblings}).encode())

        def file(self, commit, name):
            commit = hub.refs.get(commit, commit)
            content = (hub.commits[commit] / name).read_bytes()
            if self.command == "GET":
                hub.asked.append(name)
            etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

        def send(self, status, content, headers=None):
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
