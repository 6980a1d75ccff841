"""A file that knows whether it is what was written: a header with its digest, a payload with its own.

magic     16 bytes  "samespace index" and a line feed
length     4 bytes  of the header, unsigned, little-endian
digest    32 bytes  SHA-256 of the header
header              JSON, UTF-8; "payload" holds the payload's size in bytes and its SHA-256
payload             to the end of the file

A payload may be as large as memory: it is written part by part, and read as a map of the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from samespace.errors import CollectionCorrupt, StorageError, StorageFull
from samespace.vectors import Stored

__all__ = ["REMEDY", "Part", "beside", "expect", "fingerprint", "read", "write", "write_text"]

Part = bytes | memoryview | Path

_MAGIC = b"samespace index\n"
_PREFIX = struct.Struct("<16sI32s")
_CHUNK = 4 << 20
REMEDY = "Delete it; an index can be made again from the vectors."


def write(path: Path, header: Mapping[str, Any], *parts: Part) -> None:
    """Put the file in its place whole, or leave what was there.

    It is not synced to the disk: after a power cut it may be torn, which :func:`read` finds out.

    Args:
        path: its place.
        header: what JSON can hold.
        parts: of the payload, one after the other; a path stands for the content of that file.

    Raises:
        StorageFull: no space left.
        StorageError: the disk refused.
    """
    draft = beside(path)
    try:
        with draft.open("wb") as file:
            digest = hashlib.sha256()
            size = sum(_size(part) for part in parts)
            _write_header(file, header, size, digest.hexdigest())  # the digest is known at the end; its size is now
            for chunk in _chunks(parts):
                digest.update(chunk)
                file.write(chunk)
            file.seek(0)
            _write_header(file, header, size, digest.hexdigest())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No space left to write {path}.") from error
        raise StorageError(f"Cannot write {path}: {error}.") from error


def read(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Read the header, and map the payload. Let go of the map before the file is to be replaced or deleted.

    Raises:
        CollectionCorrupt: the file is missing, torn, changed, or never was one of these.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise CollectionCorrupt(f"Cannot read the index {path}: {error}. {REMEDY}") from error
    if len(data) < _PREFIX.size:
        raise CollectionCorrupt(f"{path} has {len(data)} bytes, too few for an index. {REMEDY}")
    magic, length, digest = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise CollectionCorrupt(f"{path} is not an index of samespace: it begins with {magic!r}. {REMEDY}")
    text, payload = data[_PREFIX.size :][:length], data[_PREFIX.size + length :]
    if hashlib.sha256(text).digest() != digest:
        raise CollectionCorrupt(f"The header of {path} is not what was written. {REMEDY}")
    header: dict[str, Any] = json.loads(bytes(text))
    seal = header.pop("payload")
    if len(payload) != seal["bytes"]:
        raise CollectionCorrupt(f"{path} holds {len(payload):,} bytes of an index of {seal['bytes']:,}. {REMEDY}")
    if hashlib.sha256(payload).hexdigest() != seal["sha256"]:
        raise CollectionCorrupt(f"The content of {path} is not what was written. {REMEDY}")
    return header, payload


def expect(path: Path, header: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare a header with what the reader needs.

    Raises:
        CollectionCorrupt: they differ; names the first difference.
    """
    for name, value in expected.items():
        if header.get(name) != value:
            raise CollectionCorrupt(
                f"{path} was written for other vectors or by another version: its {name} is "
                f"{header.get(name)!r}, expected {value!r}. {REMEDY}"
            )


def fingerprint(vectors: Stored) -> str:
    """Name an array by a few of its rows: enough to notice that a file belongs to another."""
    rows = vectors[np.linspace(0, len(vectors) - 1, 16).astype(int)] if len(vectors) else vectors
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:32]


def beside(path: Path) -> Path:
    """A name in the same folder that no other thread or process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


def write_text(path: Path, text: str) -> None:
    """Put a small text in its place whole, or leave what was there.

    Raises:
        OSError: the disk refused.
    """
    draft = beside(path)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _write_header(file: IO[bytes], header: Mapping[str, Any], size: int, digest: str) -> None:
    text = json.dumps({**header, "payload": {"bytes": size, "sha256": digest}}, sort_keys=True).encode()
    file.write(_PREFIX.pack(_MAGIC, len(text), hashlib.sha256(text).digest()) + text)


def _size(part: Part) -> int:
    return part.stat().st_size if isinstance(part, Path) else memoryview(part).nbytes


def _chunks(parts: tuple[Part, ...]) -> Iterator[bytes | memoryview]:
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        elif _size(part):
            yield memoryview(part).cast("B")
