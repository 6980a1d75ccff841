"""Faiss: a flat index with ids, and the rows beside it. Of other indexes, the vectors that they keep whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from samespace.errors import InvalidInput, NotFound
from samespace.hits import Row
from samespace.interchange.beside import Numbers, VectorFile, sidecar, source_of, write_rows
from samespace.interchange.blocks import Progress, chunks, drafts
from samespace.interchange.formats import Place
from samespace.interchange.header import Header
from samespace.interchange.recorded import Recorded
from samespace.interchange.source import Columns, Source
from samespace.space import Metric

__all__ = ["read", "write"]

_METRICS: dict[int, Metric] = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "euclidean"}
_WHOLE = ("IndexFlat", "IndexFlatIP", "IndexFlatL2", "IndexIVFFlat")
_QUANTISED = ("IndexScalarQuantizer", "IndexIVFScalarQuantizer")
# Roundings that move a vector less than runtimes of one model do; coarser codes are refused.
_ROUNDED = {
    faiss.ScalarQuantizer.QT_fp16: "float16",
    faiss.ScalarQuantizer.QT_bf16: "bfloat16",
    faiss.ScalarQuantizer.QT_8bit: "8 bits a number",
    faiss.ScalarQuantizer.QT_8bit_uniform: "8 bits a number",
}


def write(place: Place, header: Header, rows: Iterator[Row], progress: Progress) -> int:
    """Write the index and the rows beside it; return how many there were. It is held in memory, as Faiss does."""
    dimension, written = header.space.dimension, 0
    flat = faiss.IndexFlatL2(dimension) if header.space.metric == "euclidean" else faiss.IndexFlatIP(dimension)
    index = faiss.IndexIDMap2(flat)
    with drafts(place.path, sidecar(place.path)) as (draft, beside):
        with beside.open("w", encoding="utf-8") as lines:
            lines.write(header.to_json() + "\n")
            for block in chunks(rows):
                vectors = write_rows(lines, block, written, header.space)
                index.add_with_ids(vectors, np.arange(written, written + len(block), dtype=np.int64))
                written += len(block)
                progress(len(block))
        draft.touch()  # fails as any file does; Faiss's own error would not say why
        try:
            faiss.write_index(index, str(draft))
        except RuntimeError as error:
            raise OSError(None, f"Faiss says: {_short(error)}") from error
    return written


def read(place: Place, columns: Columns) -> Source:
    """Open an index that keeps its vectors whole, or nearly so.

    Raises:
        InvalidInput: it is damaged, or keeps codes from which the vectors cannot be had back.
    """
    if not place.path.is_file():
        raise NotFound(f"There is no file {place}.")
    try:
        index = faiss.read_index(str(place.path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    except (RuntimeError, MemoryError) as error:
        raise InvalidInput(f"{place} is not an index of Faiss that can be read ({_short(error)}).") from None
    return source_of(_vectors_of(index, place), place, columns)


def _vectors_of(index: Any, place: Place) -> VectorFile:
    numbers: Numbers | None = None
    inner = index
    if isinstance(inner, faiss.IndexIDMap):
        numbers = faiss.vector_to_array(inner.id_map)
        inner = faiss.downcast_index(inner.index)
    if isinstance(inner, faiss.IndexRefine):  # keeps vectors whole beside the codes
        inner = faiss.downcast_index(inner.refine_index)
    elif hasattr(inner, "storage"):  # HNSW and NSG: a graph over another index
        inner = faiss.downcast_index(inner.storage)
    kind = type(inner).__name__
    if kind not in _WHOLE + _QUANTISED or (kind in _QUANTISED and inner.sq.qtype not in _ROUNDED):
        raise InvalidInput(
            f"{place} is an {kind}, which keeps codes and not the vectors: what can be decoded from it is not what the "
            "model made. Import the vectors from where they are whole (.npy, Parquet), or encode the texts again: "
            "samespace index FILE --text COLUMN."
        )
    if inner.ntotal != index.ntotal or (numbers is not None and len(numbers) != index.ntotal):
        raise InvalidInput(
            f"{place} says that it holds {index.ntotal:,} vectors, but holds {inner.ntotal:,}. It is torn."
        )
    metric = _METRICS.get(index.metric_type)
    remarks = []
    if kind in _QUANTISED:
        rounding = _ROUNDED[inner.sq.qtype]
        remarks.append(f"{place} rounded its vectors to {rounding}; they come as it keeps them.")
    if metric is None:
        remarks.append(f"{place} compares its vectors by Faiss's metric {index.metric_type}, which samespace has not.")
    if isinstance(inner, faiss.IndexIVF):
        keys = _keys(inner)
        if numbers is not None and not np.array_equal(keys, np.arange(len(numbers))):
            raise InvalidInput(f"{place}: the ids of its {kind} are not those of the index around it. It is damaged.")
        own = keys if numbers is None else numbers
        inner.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
        return VectorFile(
            index.ntotal,
            lambda positions: inner.reconstruct_batch(keys[positions]),
            own,
            Recorded(metric=metric),
            remarks,
            index,
        )
    return VectorFile(
        index.ntotal,
        lambda positions: inner.reconstruct_batch(positions.astype(np.int64)),
        numbers,
        Recorded(metric=metric),
        remarks,
        index,
    )


def _keys(index: Any) -> Numbers:
    """The ids in the lists of an IVF, ascending."""
    lists = index.invlists
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
        for number in range(index.nlist)
        if lists.list_size(number)
    ]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _short(error: BaseException) -> str:
    """What Faiss says, without where in its sources."""
    return re.split(r"\.cpp:\d+: (?:Error: )?", str(error))[-1].strip() or type(error).__name__
