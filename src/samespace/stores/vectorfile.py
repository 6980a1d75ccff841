"""Vectors on disk: one slot after another, little-endian float32, no header, memory-mapped for reading.

``numpy.fromfile(path, "<f4").reshape(-1, dimension)`` reads it without this library.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

import numpy as np

from samespace.errors import CollectionCorrupt
from samespace.vectors import Matrix

__all__ = ["checksum", "map_vectors", "sync_folder", "write_vectors"]

_CHECK_BLOCK = 16_384  # rows whose checksum is computed at once, to keep a check of a large file in bounded memory


def write_vectors(path: Path, position: int, vectors: Matrix) -> None:
    """Write ``vectors`` from slot ``position`` on and return when they are on stable storage.

    What stands there already can only be left from a writer that died before its commit.

    Raises:
        OSError: the disk refused; what was committed before is untouched.
    """
    data = np.ascontiguousarray(vectors, dtype="<f4").data.cast("B")
    offset = position * vectors.shape[1] * 4
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        while data:
            data = data[os.write(descriptor, data) :]
        _sync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def map_vectors(path: Path, count: int, dimension: int) -> Matrix:
    """Map the first ``count`` slots, read-only, shape ``(count, dimension)``.

    Raises:
        CollectionCorrupt: the file is missing or shorter than that.
    """
    if count == 0:
        return np.empty((0, dimension), np.float32)
    needed = count * dimension * 4
    size = path.stat().st_size if path.exists() else -1
    if size < needed:
        found = "is missing" if size < 0 else f"has {size:,} bytes"
        raise CollectionCorrupt(
            f"{path} {found}, but the catalogue names {count:,} vectors of dimension {dimension} "
            f"({needed:,} bytes). Restore the file from a backup, or index the content again."
        )
    mapped = np.memmap(path, dtype="<f4", mode="r", shape=(count, dimension))
    # A plain view: slicing a memmap object costs microseconds in Python, slicing an array does not.
    return mapped.view(np.ndarray)


def checksum(vectors: Matrix) -> int:
    """CRC-32 of the vectors' bytes as they are on disk."""
    crc = 0
    for start in range(0, len(vectors), _CHECK_BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _CHECK_BLOCK], dtype="<f4")
        crc = zlib.crc32(block.data.cast("B"), crc)
    return crc


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on stable storage, where the platform has a way to."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone leaves the data in the drive's cache
    else:
        os.fsync(descriptor)
