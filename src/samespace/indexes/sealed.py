"""A file that knows whether it is what was written: a header with its digest, a payload with its own.

magic     16 bytes  "samespace index" and a line feed
length     4 bytes  of the header, unsigned, little-endian
digest    32 bytes  SHA-256 of the header
header              JSON, UTF-8; "payload" holds the payload's size in bytes and its SHA-256
payload             to the end of the file
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samespace.errors import CollectionCorrupt, StorageError, StorageFull

__all__ = ["REMEDY", "read", "write"]

_MAGIC = b"samespace index\n"
_PREFIX = struct.Struct("<16sI32s")
REMEDY = "Delete it; an index can be made again from the vectors."


def write(path: Path, header: Mapping[str, Any], payload: bytes) -> None:
    """Put the file in its place whole, or leave what was there.

    It is not synced to the disk: after a power cut it may be torn, which :func:`read` finds out.

    Raises:
        StorageFull: no space left.
        StorageError: the disk refused.
    """
    seal = {**header, "payload": {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}}
    text = json.dumps(seal, sort_keys=True).encode()
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with beside.open("wb") as file:
            file.write(_PREFIX.pack(_MAGIC, len(text), hashlib.sha256(text).digest()))
            file.write(text)
            file.write(payload)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No space left to write {path}.") from error
        raise StorageError(f"Cannot write {path}: {error}.") from error


def read(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Read the header and the payload.

    Raises:
        CollectionCorrupt: the file is missing, torn, changed, or never was one of these.
    """
    try:
        data = memoryview(path.read_bytes())
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
