"""Pinecone: keys, URLs and indexes that will not do, rows and filters that it cannot hold or say."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from bad_encoders.case import Case
from samespace.errors import AccessDenied, InvalidInput, NotFound, SpaceMismatch, StoreUnavailable, Unsupported
from samespace.stores import connect
from samespace.stores.base import Store
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.pinecone.server import Server, serving

__all__ = ["CASES"]


def _at(
    url: str, key: str | None = None, prepare: Callable[[Server], object] | None = None
) -> Callable[[Path], object]:
    """Open a URL of the server's project."""

    def act(_tmp: Path) -> object:
        with serving() as server:
            if prepare is not None:
                prepare(server)
            with patch.dict(os.environ, {"PINECONE_API_KEY": server.key if key is None else key}):
                option = "" if "host=" in url else f"{'&' if '?' in url else '?'}host={server.url}"
                with closing(connect(url + option, space_of(), timeout=1)) as store:
                    return store

    return act


def _open(use: Callable[[Store], object]) -> Callable[[Path], object]:
    """Use a collection of three rows."""

    def act(_tmp: Path) -> object:
        with serving() as server, patch.dict(os.environ, {"PINECONE_API_KEY": server.key}):
            server.add("index")
            with closing(connect(f"pinecone://index?host={server.url}", space_of())) as store:
                store.write(block_of(3))
                return use(store)

    return act


def _foreign(server: Server) -> None:
    record = {"id": "a", "values": [1.0] * 8}
    server.add("index").call("POST", "/vectors/upsert", {"vectors": [record], "namespace": "notes"}, 0)


CASES = [
    Case("no key", 'open("pinecone://index")', _at("pinecone://index", ""), AccessDenied, "PINECONE_API_KEY"),
    Case("a wrong key", 'open("pinecone://index")', _at("pinecone://index", "wrong"), AccessDenied, "does not know"),
    Case(
        "a key in the URL",
        'open("pinecone://key@index")',
        _at("pinecone://pcsk_1@index"),
        InvalidInput,
        "does not belong into a URL",
    ),
    Case("no such index", 'open("pinecone://index")', _at("pinecone://index"), NotFound, "add &cloud=aws"),
    Case(
        "nobody answers",
        'open("pinecone://index?host=…")',
        _at("pinecone://index?host=http://127.0.0.1:9"),
        StoreUnavailable,
        "cannot be reached",
    ),
    Case(
        "an index of another dimension",
        'open("pinecone://index")',
        _at("pinecone://index", prepare=lambda server: server.add("index", 9)),
        SpaceMismatch,
        "dimension 9",
    ),
    Case(
        "a namespace of something else",
        'open("pinecone://index?namespace=notes")',
        _at("pinecone://index?namespace=notes", prepare=_foreign),
        InvalidInput,
        "not a collection of samespace",
    ),
    Case(
        "a namespace of notes",
        'open("pinecone://index?namespace=a.samespace")',
        _at("pinecone://index?namespace=a.samespace"),
        InvalidInput,
        "keep their notes",
    ),
    Case(
        "a cloud without a region",
        'open("pinecone://index?cloud=aws")',
        _at("pinecone://index?cloud=aws"),
        InvalidInput,
        "one is missing",
    ),
    Case(
        "an index's name in capitals with a dot",
        'open("pinecone://My.Index")',
        _at("pinecone://My.Index"),
        InvalidInput,
        "small letters",
    ),
    Case(
        "a row over 40 KB",
        'add(["word " * 9000])',
        _open(lambda store: store.write(block_of(1, contents=["word " * 9_000]))),
        InvalidInput,
        "cut them into passages",
    ),
    Case(
        "texts compared by order",
        'search(…, where={"lang": {"$gt": "en"}})',
        _open(lambda store: store.count(parse({"lang": {"$gt": "en"}}))),
        Unsupported,
        "texts by order",
    ),
    Case(
        "more than 10,000 values in a filter",
        'search(…, where={"n": {"$in": range(20_000)}})',
        _open(lambda store: store.count(parse({"n": {"$in": list(range(20_000))}}))),
        Unsupported,
        "in several parts",
    ),
    Case(
        "search by words",
        'search("a", mode="text")',
        _open(lambda store: store.match_text("a", 1)),
        Unsupported,
        "text",
    ),
]
