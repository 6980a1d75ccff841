"""Qdrant: servers, keys, names and folders that will not do, rows and filters that it cannot hold or say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qdrant_client import models

from bad_encoders.case import Case
from samespace.errors import (
    AccessDenied,
    CollectionBusy,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SpaceMismatch,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)
from samespace.stores import connect
from samespace.stores.base import Store
from samespace.testing.store_contract import block_of, space_of
from samespace.where import parse
from stores.qdrant_server import Fault, Server

__all__ = ["CASES"]


def _local(act: Callable[[Store], object]) -> Callable[[Path], object]:
    """Do something with a collection of the local mode."""

    def run(tmp: Path) -> object:
        with closing(connect(f"qdrant-local:{tmp / 'qdrant'}?collection=notes", space_of())) as store:
            return act(store)

    return run


def _served(act: Callable[[Server], object], key: bool = False) -> Callable[[Path], object]:
    """Do something at a server."""

    def run(_: Path) -> object:
        server = Server(key=key)
        try:
            with patch.dict(os.environ), warnings.catch_warnings():
                os.environ.pop("QDRANT_API_KEY", None)
                warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
                return act(server)
        finally:
            server.close()

    return run


def _wrong(server: Server, on: str, status: int, said: str, act: Callable[[Store], object]) -> object:
    with closing(connect(server.url(), space_of(), timeout=1)) as store:
        server.fault = Fault(on, status, said)
        return act(store)


def _nobody(_: Path) -> object:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return connect(f"qdrant://127.0.0.1:{taken.getsockname()[1]}/notes", timeout=0.2)


def _theirs(server: Server) -> object:
    vectors = {"embedding": models.VectorParams(size=8, distance=models.Distance.DOT)}
    server.backend.client.create_collection("notes", vectors)
    return connect(server.url(), space_of())


def _newer(server: Server) -> object:
    server.backend.client.create_collection("notes", {}, metadata={"samespace": {"format": 7}})
    return connect(server.url())


def _old(server: Server) -> object:
    server.backend.keeps_metadata = False
    return connect(server.url(), space_of())


def _other_space(server: Server) -> object:
    with closing(connect(server.url(), space_of(8))) as store:
        return space_of(16).require(store.space, "write to this collection")


def _second_process(scheme: str) -> Callable[[Path], object]:
    def run(tmp: Path) -> object:
        place = f"{scheme}:{tmp / 'taken'}"
        program = (
            "import sys, samespace.stores as s\nfrom samespace.testing.store_contract import space_of\n"
            f"store = s.connect({place!r}, space_of())\nprint('open', flush=True)\nsys.stdin.read()\nstore.close()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            return connect(place, space_of())

    return run


def _folder_with_files(scheme: str) -> Callable[[Path], object]:
    def run(tmp: Path) -> object:
        (tmp / "letter.txt").write_text("Dear all")
        return connect(f"{scheme}:{tmp}", space_of())

    return run


def _torn_shard(tmp: Path) -> object:
    connect(f"qdrant-edge:{tmp / 'notes'}", space_of()).close()
    (tmp / "notes" / "edge_config.json").write_text("{")
    return connect(f"qdrant-edge:{tmp / 'notes'}")


def _write(fields: dict[str, Any]) -> Callable[[Store], object]:
    return lambda store: store.write(block_of(1, metadata=[fields]))


def _count(where: dict[str, Any]) -> Callable[[Store], object]:
    return lambda store: store.count(parse(where))


_OPEN = 'open("qdrant://…/notes")'

CASES = [
    Case("Qdrant: no server", _OPEN, _nobody, StoreUnavailable, "Cannot reach .*Is Qdrant running there"),
    Case(
        "Qdrant: no key, or a wrong one",
        _OPEN,
        _served(lambda server: connect(server.url()), key=True),
        AccessDenied,
        "Set QDRANT_API_KEY",
    ),
    Case(
        "Qdrant: a key that may only read",
        "notes.add(…)",
        _served(
            lambda server: _wrong(
                server,
                "PUT .*/points",
                403,
                '{"status": {"error": "Forbidden: Write access to collection notes is required"}}',
                lambda store: store.write(block_of(1)),
            )
        ),
        AccessDenied,
        "Write access to collection notes is required",
    ),
    Case(
        "Qdrant: the server hangs",
        "notes.search(…)",
        _served(lambda server: _wrong(server, "points", -1, "", lambda store: store.count())),
        StoreUnavailable,
        "did not answer within 1 s",
    ),
    Case(
        "Qdrant: the server's disk is full",
        "notes.add(…)",
        _served(
            lambda server: _wrong(server, "PUT", 500, "No space left on device", lambda store: store.write(block_of(1)))
        ),
        StorageFull,
        "No space left on the disk",
    ),
    Case(
        "Qdrant: something else answers",
        _OPEN,
        _served(lambda server: _wrong(server, "count", 200, "<html>", lambda store: store.count())),
        StorageError,
        "Is it another server",
    ),
    Case(
        "Qdrant: a collection that is not there",
        _OPEN,
        _served(lambda server: connect(server.url())),
        NotFound,
        "There is no collection at",
    ),
    Case(
        "Qdrant: a collection that is not ours", _OPEN, _served(_theirs), InvalidInput, "not a collection of samespace"
    ),
    Case("Qdrant: a newer format", _OPEN, _served(_newer), CollectionCorrupt, "Upgrade samespace"),
    Case("Qdrant: a server that is too old", _OPEN, _served(_old), Unsupported, r"Qdrant 1\.16 or newer"),
    Case("Qdrant: another space", _OPEN, _served(_other_space), SpaceMismatch, "dimension: 16 against 8"),
    Case(
        "Qdrant: a name that it does not take",
        'open("qdrant://host/a%2Fb")',
        lambda _: connect("qdrant://host/a%2Fb", space_of()),
        InvalidInput,
        "cannot name a collection of Qdrant",
    ),
    Case(
        "Qdrant: an option that there is not",
        'open("qdrant://host/notes?gprc=true")',
        lambda _: connect("qdrant://host/notes?gprc=true"),
        InvalidInput,
        "no option 'gprc'",
    ),
    Case(
        "Qdrant: a whole number beyond 64 bits",
        'notes.add(…, metadata=[{"n": 2**70}])',
        _local(_write({"n": 2**70})),
        InvalidInput,
        "row '0' has .*whole numbers of 64 bits",
    ),
    Case(
        "Qdrant: an order of texts",
        'notes.search(…, where={"day": {"$gte": "2024-05-01"}})',
        _local(_count({"day": {"$gte": "2024-05-01"}})),
        Unsupported,
        "does not order texts.*timestamp",
    ),
    Case(
        "Qdrant: a field with a quotation mark",
        "notes.search(…, where={'5\"': 1})",
        _local(_count({'5"': 1})),
        Unsupported,
        "cannot filter by the field .*Rename",
    ),
    Case(
        "Qdrant: equal to a number whose last digit it loses",
        'notes.search(…, where={"score": 2.8147405050834954e-08})',
        _local(_count({"score": 2.8147405050834954e-08})),
        Unsupported,
        "last digit.*Use a range",
    ),
    Case(
        "Qdrant's local mode: a folder that another process has open",
        'open("qdrant-local:folder")',
        _second_process("qdrant-local"),
        CollectionBusy,
        "Another process has",
    ),
    Case(
        "Qdrant Edge: a folder that another process has open",
        'open("qdrant-edge:folder")',
        _second_process("qdrant-edge"),
        CollectionBusy,
        "Another process has",
    ),
    Case(
        "Qdrant Edge: a folder with other files",
        'open("qdrant-edge:folder")',
        _folder_with_files("qdrant-edge"),
        InvalidInput,
        "no shard of Qdrant Edge",
    ),
    Case(
        "Qdrant Edge: a torn folder", 'open("qdrant-edge:folder")', _torn_shard, CollectionCorrupt, "Restore the folder"
    ),
]
