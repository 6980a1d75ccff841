"""Qdrant by way of its official client: ``qdrant://host:6333/notes``, and ``qdrant-local:folder?collection=notes``."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import portalocker
from qdrant_client import QdrantClient

from samespace.errors import CollectionBusy, InvalidInput, NotFound, Unsupported
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.base import Feature
from samespace.stores.qdrant.client import ClientEngine
from samespace.stores.qdrant.failures import Failures
from samespace.stores.qdrant_core.engine import Clock
from samespace.stores.qdrant_core.record import MARK, distance_of, read_record, record_of
from samespace.stores.qdrant_core.store import QdrantStore

__all__ = ["QdrantLocalStore", "QdrantServerStore", "connect"]

_CODES = {"none": False, "int8": True}
_FORBIDDEN = set('<>:"/\\|?*\0\x1f')


class QdrantServerStore(QdrantStore):
    """A collection on a server."""

    engine: ClientEngine

    def snapshot(self) -> str:
        """Make a snapshot on the server, and return its name there."""
        return self.engine.snapshot()

    def switch_alias(self, alias: str) -> None:
        """Let an alias stand for this collection, in one step, whatever it stood for before."""
        self.engine.switch_alias(alias)


class QdrantLocalStore(QdrantStore):
    """A collection of the client's local mode."""

    lacks: ClassVar[Mapping[Feature, str]] = {
        **QdrantStore.lacks,
        "tuning": "the local mode of Qdrant's client has no index; it compares with every vector",
    }
    engines: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    engine: ClientEngine

    def switch_alias(self, alias: str) -> None:
        """Let an alias stand for this collection, in one step, whatever it stood for before."""
        self.engine.switch_alias(alias)


def connect(address: Address, space: Space | None, *, encoder: str | None, timeout: float) -> QdrantStore:
    """Open a collection on a server or in a folder of the local mode; see :func:`samespace.stores.connect`."""
    return (_local if address.scheme == "qdrant-local" else _remote)(address, space, encoder, timeout)


def _remote(address: Address, space: Space | None, encoder: str | None, timeout: float) -> QdrantStore:
    address.only("grpc", "grpc_port", "https", "prefix", "quantization")
    if not address.host:
        raise InvalidInput(f"{address} has no host. Write qdrant://host:6333/name.")
    grpc = address.take("grpc", _yes, False)
    key = address.password or os.environ.get("QDRANT_API_KEY") or None
    name = _named(address.path, address)
    client = QdrantClient(
        host=address.host,
        port=address.port or 6333,
        grpc_port=address.take("grpc_port", int, 6334),
        prefer_grpc=grpc,
        https=address.take("https", _yes, False),
        api_key=key,
        prefix=address.take("prefix", str, "") or None,
        timeout=max(1, round(timeout)),
        # It would ask the server on a thread of its own, and warn of what only matters where a request fails.
        check_compatibility=False,
    )
    engine = ClientEngine(client, name, Failures(str(address), timeout), client.close)
    try:
        space, encoder = _opened(engine, address, space, encoder)
        return QdrantServerStore(engine, str(address), space, encoder)
    except BaseException:
        engine.close()
        raise


def _opened(
    engine: ClientEngine, address: Address, space: Space | None, encoder: str | None
) -> tuple[Space, str | None]:
    """Space and encoder of the collection that is there, or that is made."""
    quantized = address.take("quantization", _CODES.__getitem__, False)
    is_new = False
    try:
        info = engine.info()
    except NotFound:
        if space is None:
            raise NotFound(f"There is no collection at {address}.") from None
        try:
            engine.create(space.dimension, distance_of(space), quantized, {MARK: record_of(space, encoder)})
            is_new = True
        except InvalidInput as error:
            # Another process may have made it in between; then it is there now.
            try:
                info = engine.info()
            except NotFound:
                raise error from None
        else:
            info = engine.info()
    metadata = info.config.metadata or {}
    if is_new and MARK not in metadata:
        engine.drop()
        raise Unsupported(f"{address}: the server keeps no metadata of collections. It needs Qdrant 1.16 or newer.")
    return read_record(metadata.get(MARK), str(address))


@dataclass
class _Folder:
    """A client in local mode, which all stores of this process share: it locks its folder.

    Attributes:
        users: stores that have it open.
    """

    client: QdrantClient
    lock: threading.RLock = field(default_factory=threading.RLock)
    clocks: dict[str, Clock] = field(default_factory=dict)
    users: int = 0


_folders: dict[Path, _Folder] = {}
_folders_lock = threading.Lock()


def _local(address: Address, space: Space | None, encoder: str | None, timeout: float) -> QdrantStore:
    address.only("collection")
    name = _named(address.take("collection", str, "samespace"), address)
    if not address.path:
        raise InvalidInput(f"{address} names no folder. Write qdrant-local:folder?collection=name.")
    path = Path(address.path).absolute()
    index = path / "meta.json"
    if not index.exists():
        if space is None:
            raise NotFound(f"There is no collection at {address}.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InvalidInput(f"{path} holds other files, and no collections of Qdrant's client. Choose a new folder.")
    errors = Failures(str(address), timeout, local=True)
    with _folders_lock:
        folder = _folders.get(path)
        if folder is None:
            folder = _folders[path] = _Folder(errors(lambda: _opened_client(path)))
        folder.users += 1

    def release() -> None:
        with _folders_lock:
            folder.users -= 1
            if not folder.users:
                del _folders[path]
                folder.client.close()

    clock = folder.clocks.setdefault(name, Clock())
    engine = ClientEngine(folder.client, name, errors, release, local=folder.lock, clock=clock)
    try:
        space, encoder = _opened(engine, address, space, encoder)
        return QdrantLocalStore(engine, str(address), space, encoder)
    except BaseException:
        engine.close()
        raise


def _opened_client(path: Path) -> QdrantClient:
    lock = path / ".lock"
    if lock.exists():
        # The client tries too, but leaves the file open where another process has locked it.
        with lock.open("r+") as file:
            try:
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            except portalocker.LockException:
                raise CollectionBusy(
                    f"Another process has {path} open; the local mode takes one. Close it there first."
                ) from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Local mode is not recommended", UserWarning)
        # Our lock keeps threads apart, so SQLite need not.
        return QdrantClient(path=str(path), force_disable_check_same_thread=True)


def _named(name: str, address: Address) -> str:
    """A collection's name, if Qdrant takes it."""
    if not name or _FORBIDDEN & set(name) or name in (".", "..") or len(name.encode()) > 255:
        raise InvalidInput(
            f"{address}: {name!r} cannot name a collection of Qdrant. A name has up to 255 bytes, and none of "
            '< > : " / \\ | ? *.'
        )
    return name


def _yes(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
