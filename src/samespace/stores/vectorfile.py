"""Vectors on disk: one slot after another, little-endian float32 or float16, no header, memory-mapped for reading.

``numpy.fromfile(path, "<f4").reshape(-1, dimension)`` reads a file of float32 without this library, and ``"<f2"`` one
of float16.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from samespace.errors import CollectionCorrupt
from samespace.vectors import Stored

__all__ = [
    "Precision",
    "as_stored",
    "beyond",
    "checksum",
    "map_vectors",
    "sync_folder",
    "vector_file",
    "vector_files",
    "write_vectors",
]

Precision = Literal["float32", "float16"]

_SUFFIXES: dict[Precision, str] = {"float32": ".f32", "float16": ".f16"}
_OVERFLOW = 65_520.0  # rounds to infinity in float16, as does all beyond it; the largest number there is 65,504
_CHECK_BLOCK = 16_384  # rows whose checksum is computed at once, to keep a check of a large file in bounded memory


def vector_file(folder: Path, first_slot: int, precision: Precision) -> Path:
    """The file of the vectors from slot ``first_slot`` on."""
    return folder / f"vectors-{first_slot}{_SUFFIXES[precision]}"


def vector_files(folder: Path) -> list[Path]:
    """All files of vectors in a folder, of either precision."""
    return [file for suffix in _SUFFIXES.values() for file in folder.glob(f"vectors-*{suffix}")]


def as_stored(vectors: Stored, precision: Precision) -> Stored:
    """The vectors as they are on disk, each number rounded to the nearest; copied only if it must be."""
    return np.ascontiguousarray(vectors, dtype=_disk_type(precision))


def beyond(vectors: Stored, precision: Precision) -> int | None:
    """The first row with a number that the precision cannot hold."""
    if precision == "float32" or vectors.itemsize == 2:
        return None
    # Two passes for the extremes are quicker than an array of absolute values or of rounded numbers.
    if max(vectors.max(initial=0), -vectors.min(initial=0)) < _OVERFLOW:
        return None
    return int(np.flatnonzero((np.abs(vectors) >= _OVERFLOW).any(axis=1))[0])


def write_vectors(path: Path, position: int, vectors: Stored) -> None:
    """Write ``vectors``, as they are to be on disk, from slot ``position`` on.

    They are on stable storage when it returns. What stands there already can only be left from a writer that died
    before its commit.

    Raises:
        OSError: the disk refused; what was committed before is untouched.
    """
    data = _raw(vectors)
    offset = position * vectors.shape[1] * vectors.itemsize
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


def map_vectors(path: Path, count: int, dimension: int, precision: Precision) -> Stored:
    """Map the first ``count`` slots, read-only, shape ``(count, dimension)``.

    Raises:
        CollectionCorrupt: the file is missing or shorter than that.
    """
    kind = _disk_type(precision)
    if count == 0:
        return np.empty((0, dimension), kind)
    needed = count * dimension * kind.itemsize
    size = path.stat().st_size if path.exists() else -1
    if size < needed:
        found = "is missing" if size < 0 else f"has {size:,} bytes"
        raise CollectionCorrupt(
            f"{path} {found}, but the catalogue names {count:,} vectors of dimension {dimension} "
            f"({needed:,} bytes). Restore the file from a backup, or index the content again."
        )
    mapped = np.memmap(path, dtype=kind, mode="r", shape=(count, dimension))
    # A plain view: slicing a memmap object costs microseconds in Python, slicing an array does not.
    return mapped.view(np.ndarray)


def checksum(vectors: Stored) -> int:
    """CRC-32 of the bytes of vectors as they are on disk."""
    crc = 0
    for start in range(0, len(vectors), _CHECK_BLOCK):
        crc = zlib.crc32(_raw(vectors[start : start + _CHECK_BLOCK]), crc)
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


def _disk_type(precision: Precision) -> np.dtype[np.float32 | np.float16]:
    return np.dtype(precision).newbyteorder("<")


def _raw(vectors: Stored) -> memoryview:
    return np.ascontiguousarray(vectors).reshape(-1).view(np.uint8).data


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone leaves the data in the drive's cache
    else:
        os.fsync(descriptor)
