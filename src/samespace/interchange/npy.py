"""NumPy: a ``.npy`` of the vectors, and the rows beside it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib import format as npy

from samespace.errors import InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange.beside import Numbers, VectorFile, sidecar, source_of, write_rows
from samespace.interchange.blocks import Progress, chunks, drafts
from samespace.interchange.formats import Place
from samespace.interchange.header import Header
from samespace.interchange.source import Columns, Source
from samespace.vectors import Matrix

__all__ = ["read", "write"]


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write the vectors and the rows beside them; return how many there were."""
    written = 0
    shape = (0, header.space.dimension)
    with (
        drafts(place.path, sidecar(place.path)) as (vectors, beside),
        vectors.open("wb") as file,
        beside.open("w", encoding="utf-8") as lines,
    ):
        lines.write(header.to_json() + "\n")
        # How many rows come is known at the end: numpy leaves room for that number where it may grow.
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in chunks(rows):
            file.write(write_rows(lines, block, written, header.space).astype("<f4", copy=False).tobytes())
            written += len(block)
            progress(len(block))
        file.seek(0)
        shape = (written, header.space.dimension)
        npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open an array of floats of shape (n, dimension), which is mapped and not read."""
    if not place.path.is_file():
        raise NotFound(f"There is no file {place}.")
    try:
        array = np.load(place.path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        hint = (
            "It holds Python objects, which can run any code when they are read. Save an array of floats."
            if pickled
            else ""
        )
        raise InvalidInput(f"{place} is not an array of numpy that can be read ({error}). {hint}".rstrip()) from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InvalidInput(f"{place}: expected an array of floats of shape (n, dimension), got {found}.")

    def take(positions: Numbers) -> Matrix:
        # A range is read as one piece.
        ranged = (
            len(positions) and positions[-1] - positions[0] + 1 == len(positions) and (np.diff(positions) > 0).all()
        )
        part = array[positions[0] : positions[-1] + 1] if ranged else array[positions]
        with np.errstate(over="ignore"):  # infinity is reported with its row
            return np.ascontiguousarray(part, np.float32)

    return source_of(VectorFile(len(array), take), place, columns)
