"""Weaviate: names, servers and keys that will not do, classes of others, and filters and searches that it cannot do."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from bad_encoders.case import Case
from samespace.errors import (
    AccessDenied,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    StorageError,
    StoreUnavailable,
    Unsupported,
)
from samespace.space import Space
from samespace.stores import connect
from samespace.stores.base import Store
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.weaviate.engine import Class
from stores.weaviate.server import Server, serving

__all__ = ["CASES"]


def _open(
    name: str = "Notes",
    *,
    key: str = "",
    space: Space | None = space_of(),  # noqa: B008 - frozen
    prepare: Callable[[Server], object] | None = None,
) -> Callable[[Path], object]:
    """Open a collection of the server."""

    def act(_tmp: Path) -> object:
        with serving() as server, patch.dict(os.environ, {"WEAVIATE_API_KEY": key}):
            if prepare is not None:
                prepare(server)
            with closing(connect(server.url(name), space, timeout=1)) as store:
                return store

    return act


def _use(use: Callable[[Store, Server], object]) -> Callable[[Path], object]:
    """Use a collection of three rows."""

    def act(_tmp: Path) -> object:
        with (
            serving() as server,
            patch.dict(os.environ, {"WEAVIATE_API_KEY": ""}),
            closing(connect(server.url(), space_of(), timeout=5)) as store,
        ):
            store.write(block_of(3))
            return use(store, server)

    return act


def _no_server(_tmp: Path) -> object:
    return connect("weaviate://127.0.0.1:9/Notes", space_of(), timeout=1)


def _foreign(server: Server) -> None:
    vector = {"default": {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}}
    server.classes["Notes"] = Class({"class": "Notes", "vectorConfig": vector})


def _long_content(store: Store, server: Server) -> object:
    return store.write(block_of(2, contents=["short", "x" * server.largest]))


def _refused(store: Store, server: Server) -> object:
    server.refuse_object = lambda row: "no luck" if row["row_id"] == "4" else None
    return store.write(block_of(6))


CASES = [
    Case("no Weaviate there", 'open("weaviate://127.0.0.1:9/Notes")', _no_server, StoreUnavailable, "Cannot reach"),
    Case(
        "a name for Weaviate that begins small",
        'open("weaviate://host/notes")',
        _open("notes"),
        InvalidInput,
        "begins with a capital letter",
    ),
    Case(
        "a key that Weaviate does not know",
        'WEAVIATE_API_KEY=wrong; open("weaviate://host/Notes")',
        _open(key="wrong", prepare=lambda server: setattr(server, "key", "right")),
        AccessDenied,
        "WEAVIATE_API_KEY",
    ),
    Case(
        "a key of Weaviate that may only read",
        "store.write(rows)",
        _open(key="reader", prepare=lambda server: server.__dict__.update(key="right", reader="reader")),
        AccessDenied,
        "forbidden",
    ),
    Case(
        "a collection of Weaviate that is not ours",
        'open("weaviate://host/Notes")',
        _open(prepare=_foreign),
        CollectionCorrupt,
        "not a collection of samespace",
    ),
    Case(
        "a collection that is not in Weaviate",
        'connect("weaviate://host/Notes")',
        _open(space=None),
        NotFound,
        "no coll",
    ),
    Case(
        "a Weaviate that is too old",
        'open("weaviate://host/Notes")',
        _open(prepare=lambda server: setattr(server, "version", "1.30.0")),
        Unsupported,
        r"need 1\.33 or newer",
    ),
    Case(
        "REST and gRPC of Weaviate on one port",
        'open("weaviate://host:8080/Notes?grpc=8080")',
        lambda _tmp: connect("weaviate://localhost:8080/Notes?grpc=8080", space_of()),
        InvalidInput,
        "a port each",
    ),
    Case(
        "a content beyond a message of Weaviate",
        "store.write(rows)",
        _use(_long_content),
        InvalidInput,
        "Row '1' takes about",
    ),
    Case(
        "a range in Weaviate with a long bound",
        'search(where={"title": {"$gt": "x" * 80}})',
        _use(lambda store, _: store.count(parse({"title": {"$gt": "x" * 80}}))),
        Unsupported,
        r"where\.title\.\$gt",
    ),
    Case(
        "an effort that Weaviate does not take",
        "search(effort=64)",
        _use(lambda store, _: store.nearest(block_of(1).vectors, 3, effort=64)),
        Unsupported,
        "one effort",
    ),
    Case("rows that Weaviate refuses", "store.write(rows)", _use(_refused), StorageError, "row '4' was not written"),
]
