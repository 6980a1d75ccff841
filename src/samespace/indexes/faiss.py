"""Faiss's graphs and inverted lists (Douze et al., "The Faiss library", arXiv 2401.08281).

A class is a row: a name, a factory string, and what to ask for.
"""

from __future__ import annotations

import concurrent.futures
import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import MissingExtra
from samespace.indexes.candidates import CandidateIndex, Rows
from samespace.vectors import Matrix

__all__ = ["HnswIndex", "HnswSq8Index", "IvfIndex", "IvfPqIndex", "IvfSq8Index"]

_CONSTRUCTION = 200  # width of the search that chooses neighbours
_LINKS = 32  # of a node on each level; twice as many on the lowest
_TRAINING = 64  # rows for each list that its centre is learnt from
_SHORT = 128  # width up to which a code of 4 bits for two numbers tells too little
_FEWEST = 39  # below so many, Faiss warns


class FaissIndex(CandidateIndex):
    """A structure that Faiss's factory makes.

    A search of one query runs in the thread that asks; a batch takes as many threads as OpenMP is set to there.
    """

    description: ClassVar[str]
    """For ``faiss.index_factory``; ``{lists}`` and ``{parts}`` are filled in."""

    def _build(self, rows: Rows, threads: int | None) -> Any:
        # OpenMP's number of threads belongs to the thread that sets it; in one of our own it touches nobody's.
        with concurrent.futures.ThreadPoolExecutor(1) as own:
            return own.submit(self._build_here, rows, threads).result()

    def _build_here(self, rows: Rows, threads: int | None) -> Any:
        faiss = self._library()
        if threads is not None:
            faiss.omp_set_num_threads(threads)
        width = rows.layout.width
        lists = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // _FEWEST))
        structure = faiss.index_factory(width, self.description.format(lists=lists, parts=_parts(width)))
        self._set(structure)
        if not structure.is_trained:
            # Evenly spaced rows, because those that were added together are often alike.
            step = max(1, len(rows) // (_TRAINING * lists))
            structure.train(np.concatenate([block[::step] for block in rows.blocks()]))
        for block in rows.blocks():
            structure.add(block)
        return structure

    def _set(self, structure: Any) -> None:
        """Set what the factory cannot."""

    def _candidates(self, structure: Any, queries: Matrix, m: int, effort: int) -> NDArray[np.integer[Any]]:
        found: NDArray[np.integer[Any]] = structure.search(queries, m, params=self._parameters(effort, m))[1]
        return found

    def _parameters(self, effort: int, m: int) -> Any:
        """The settings of one search, of the class that this structure knows: Faiss ignores all others."""
        raise NotImplementedError

    def _dump(self, structure: Any, path: Path) -> None:
        self._library().write_index(structure, str(path))

    def _restore(self, path: Path) -> Any:
        return self._library().read_index(str(path))

    @classmethod
    def _library(cls) -> Any:
        return _faiss(cls.engine)

    @classmethod
    def _library_version(cls) -> str:
        return f"faiss {cls._library().__version__}, {cls.description}"


class HnswIndex(FaissIndex):
    """A hierarchical graph (Malkov and Yashunin 2016, arXiv 1603.09320). Its effort is efSearch."""

    engine: ClassVar[str] = "hnsw"
    description: ClassVar[str] = f"HNSW{_LINKS},Flat"
    efforts: ClassVar[tuple[int, ...]] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
    spare: ClassVar[tuple[float, int]] = (1.0, 6)

    def _set(self, structure: Any) -> None:
        structure.hnsw.efConstruction = _CONSTRUCTION

    def _parameters(self, effort: int, m: int) -> Any:
        return _hnsw_parameters(max(effort, m))

    def _usual(self, m: int, structure: Any) -> int:  # noqa: ARG002
        return max(256, 8 * m)

    def _bytes(self, structure: Any) -> int:
        graph = structure.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return int(links + structure.ntotal * _code_size(structure))


class HnswSq8Index(HnswIndex):
    """The same over vectors in 8 bits a number: less memory, a little less recall for an effort."""

    engine: ClassVar[str] = "hnsw-sq8"
    description: ClassVar[str] = f"HNSW{_LINKS},SQ8"
    spare: ClassVar[tuple[float, int]] = (1.5, 8)


class IvfIndex(FaissIndex):
    """Lists of the vectors near each of many centres. Its effort is the number of lists read (nprobe)."""

    engine: ClassVar[str] = "ivf"
    description: ClassVar[str] = "IVF{lists},Flat"
    efforts: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
    spare: ClassVar[tuple[float, int]] = (1.0, 6)

    def _parameters(self, effort: int, m: int) -> Any:  # noqa: ARG002
        return _ivf_parameters(effort)

    def _usual(self, m: int, structure: Any) -> int:
        lists, rows = int(structure.nlist), int(structure.ntotal)
        return max(32, lists // 6, m * lists // rows)

    def _bytes(self, structure: Any) -> int:
        return int(structure.ntotal * (structure.code_size + 8) + structure.nlist * structure.d * 4)


class IvfSq8Index(IvfIndex):
    """The same over vectors in 8 bits a number."""

    engine: ClassVar[str] = "ivf-sq8"
    description: ClassVar[str] = "IVF{lists},SQ8"
    spare: ClassVar[tuple[float, int]] = (1.5, 8)


class IvfPqIndex(IvfIndex):
    """The same over product codes, 4 bits for one or two numbers, read from registers (André et al. 2017)."""

    engine: ClassVar[str] = "ivf-pq"
    description: ClassVar[str] = "IVF{lists},PQ{parts}x4fs"
    multiple: ClassVar[int] = 4
    shortest: ClassVar[int] = 8
    spare: ClassVar[tuple[float, int]] = (8.0, 120)

    def _set(self, structure: Any) -> None:
        structure.pq.cp.niter = 10  # for centres of two numbers, 25 are no better


def _code_size(structure: Any) -> int:
    """Bytes of a vector in the storage of an HNSW structure."""
    return int(_faiss("hnsw").downcast_index(structure.storage).code_size)


def _parts(width: int) -> int:
    """Parts of a row that get a code each: of two numbers; of one if it is short; no more than 1,024 to train."""
    parts = width // 2 if width > _SHORT else width
    while parts > 1_024 and parts % 2 == 0:
        parts //= 2
    return parts


# Made once for each setting, because making one takes as long as a short search. Nobody changes them.


@functools.lru_cache(256)  # a filter asks for an effort of its own
def _hnsw_parameters(ef: int) -> Any:
    return _faiss("hnsw").SearchParametersHNSW(efSearch=ef)


@functools.lru_cache(256)  # a filter asks for an effort of its own
def _ivf_parameters(lists: int) -> Any:
    return _faiss("ivf").SearchParametersIVF(nprobe=lists)


def _faiss(engine: str) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra(f"The engine {engine!r}", "faiss") from error
    return faiss
