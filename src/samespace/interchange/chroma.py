"""Chroma: a collection in its folder, with the header among the collection's metadata."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings
from chromadb.errors import ChromaError

from samespace.errors import CollectionBusy, InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange.blocks import BLOCK, Block, Progress, chunks, matrix, seals
from samespace.interchange.failures import Failures
from samespace.interchange.formats import Place
from samespace.interchange.header import KEY, Header
from samespace.interchange.recorded import Recorded, recorded
from samespace.interchange.rows import plain
from samespace.interchange.source import Columns, Source
from samespace.space import Metric

__all__ = ["read", "write"]

_FILE = "chroma.sqlite3"
_METRICS: dict[str, Metric] = {"cosine": "cosine", "ip": "dot", "l2": "euclidean"}
_SCALARS = (str, bool, int, float)
_LARGEST = 2**63


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write a collection, which takes its name when it is whole; return how many rows there were.

    Raises:
        InvalidInput: there is a collection of that name that samespace did not export.
    """
    if place.table is None:
        raise InvalidInput(f"Name the collection: chroma:FOLDER?collection=NAME, got {place}.")
    # Chroma would bring vectors to unit length once more under cosine, and change their last bits.
    kind = "l2" if header.space.metric == "euclidean" else "ip"
    name, draft, written = place.table, f"{place.table}.samespace-draft", 0
    if (place.path / _FILE).exists():
        _check(place, writes=True)
    with _client(place, writes=True) as client:
        names = [each.name for each in client.list_collections()]
        if name in names and KEY not in (client.get_collection(name, embedding_function=None).metadata or {}):
            raise InvalidInput(
                f"{place} is a collection that samespace did not export, and it stays as it is. Give another name."
            )
        if draft in names:  # of an export that was killed
            client.delete_collection(draft)
        target = client.create_collection(
            draft,
            configuration={"hnsw": {"space": kind}},
            metadata={KEY: header.to_json()},
            embedding_function=None,  # the default one would fetch a model
        )
        try:
            for block in chunks(rows, min(BLOCK, client.get_max_batch_size())):
                ids, contents = [row.id for row in block], [row.content for row in block]
                vectors = matrix(block, header.space)
                made = seals(header.space, ids, contents, vectors)
                target.add(
                    ids=ids,
                    embeddings=vectors,
                    documents=contents,
                    metadatas=[_metadata(row, seal) for row, seal in zip(block, made, strict=True)],
                )
                written += len(block)
                progress(len(block))
            if name in names:
                client.delete_collection(name)
            target.modify(name=name)
        except BaseException:
            with contextlib.suppress(Exception):
                client.delete_collection(draft)
            raise
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open a collection in a folder of Chroma.

    Raises:
        NotFound: there is no such folder or collection.
        InvalidInput: it is not one that can be read.
    """
    if (columns.id, columns.content, columns.vector, columns.rows) != (None,) * 4:
        raise InvalidInput(
            "Chroma has one place for ids, texts and vectors; leave --id, --content, --vector and --rows out."
        )
    _check(place)
    stack = contextlib.ExitStack()
    with contextlib.ExitStack() as opening:
        client = opening.enter_context(_client(place))
        names = [each.name for each in client.list_collections()]
        name = place.named(names)
        if name not in names:
            there = ", ".join(map(repr, sorted(names))) or "none"
            raise NotFound(f"{place.path} has no collection {name!r}. It has {there}.")
        collection = client.get_collection(name, embedding_function=None)
        about = dict(collection.metadata or {})
        header = Header.from_json(about[KEY], place.text) if KEY in about else None
        known = Recorded() if header else _recorded(collection, about)
        count = collection.count()
        stack = opening.pop_all()

    def blocks() -> Iterator[Block]:
        with Failures(place, ChromaError):
            for start in range(0, count, BLOCK):
                found = collection.get(limit=BLOCK, offset=start, include=["embeddings", "documents", "metadatas"])
                if found["ids"]:
                    yield _block(found, ours=header is not None)

    return Source(place.text, blocks, header, known, count, shared=True, finish=stack.close)


def _check(place: Place, *, writes: bool = False) -> None:
    """Raise unless the folder is one of Chroma's, which would make its tables in whatever it finds.

    Raises:
        CollectionBusy: another program holds it, for which Chroma itself would wait without end.
    """
    if not place.path.is_dir():
        raise NotFound(f"There is no folder {place.path}.")
    file = place.path / _FILE
    if not file.is_file():
        raise InvalidInput(f"{place.path} is not a folder of Chroma: it has no {_FILE}.")
    if _is_open(place):
        return
    mode = "rw" if writes else "ro"
    try:
        catalog = sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, timeout=5, isolation_level=None)
        with contextlib.closing(catalog):
            tables = {name for (name,) in catalog.execute("SELECT name FROM sqlite_master")}
            if writes:
                catalog.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise CollectionBusy(f"Another program holds {place}. Close it, and try again.") from None
        raise InvalidInput(f"{file} is damaged, or is no file of Chroma ({error}).") from None
    if not {"collections", "embeddings", "migrations"} <= tables:
        raise InvalidInput(f"{place.path} is not a folder of Chroma: {_FILE} has not its tables.")


def _is_open(place: Place) -> bool:
    """Whether a client in this process has the folder open: closing a file of it would then give up its locks."""
    systems = getattr(SharedSystemClient, "_identifier_to_system", {})
    return any(Path(name).resolve() == place.path.resolve() for name in systems)


@contextmanager
def _client(place: Place, *, writes: bool = False) -> Iterator[Any]:
    with Failures(place, ChromaError, writes=writes):
        client: Any = chromadb.PersistentClient(place.path, settings=Settings(anonymized_telemetry=False))
        try:
            yield client
        finally:
            client.close()


def _recorded(collection: Any, about: Mapping[str, Any]) -> Recorded:
    """What Chroma keeps of the embedder and the index; the embedder itself is not opened."""
    settings = collection.configuration_json
    index = settings.get("hnsw") or settings.get("spann") or {}
    metric = _METRICS.get(str(index.get("space") or about.get("hnsw:space")))
    embedder = settings.get("embedding_function") or {}
    if not embedder.get("name"):
        return Recorded(metric=metric)
    return recorded("Chroma", str(embedder["name"]), embedder.get("config") or {}, metric)


def _metadata(row: Row, seal: str) -> dict[str, Any]:
    """Metadata as Chroma can hold and filter it; under our own key what it cannot, and the rest of the row."""
    natural = {key: value for key, value in row.metadata.items() if _is_natural(key, value)}
    rest = {key: value for key, value in row.metadata.items() if key not in natural}
    ours = {"seal": seal, "seen": row.tokens_seen, "total": row.tokens_total, "metadata": rest}
    natural[KEY] = json.dumps({key: value for key, value in ours.items() if value}, ensure_ascii=False)
    return natural


def _is_natural(key: str, value: Any) -> bool:
    if not key or key == KEY or key.startswith(("chroma:", "#", "$")):
        return False
    if isinstance(value, list):
        alike = len({type(each) for each in value}) == 1
        return alike and all(type(each) in _SCALARS and _is_natural(key, each) for each in value)
    return type(value) in _SCALARS and not (type(value) is int and not -_LARGEST <= value < _LARGEST)


def _block(found: Mapping[str, Any], *, ours: bool) -> Block:
    metadata, seen, total, sealed = [], [], [], []
    for fields in found["metadatas"]:
        values = {key: now for key, value in (fields or {}).items() if (now := plain(value)) is not None}
        hidden = _hidden(values.pop(KEY, None)) if ours else {}
        metadata.append(values | hidden.get("metadata", {}))
        seen.append(hidden.get("seen", 0))
        total.append(hidden.get("total", 0))
        sealed.append(hidden.get("seal"))
    array = np.asarray(found["embeddings"], np.float32)
    return Block(found["ids"], found["documents"], metadata, array, seen, total, sealed if ours else None)


def _hidden(text: Any) -> dict[str, Any]:
    """What samespace added to a row's metadata; nothing if another program wrote the row."""
    with contextlib.suppress(ValueError, TypeError):
        values = json.loads(text)
        if isinstance(values, dict) and isinstance(values.get("metadata", {}), dict):
            return values
    return {}
