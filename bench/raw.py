"""The libraries that ``engines.py`` compares, as rows of a table: how each builds, opens and asks its index.

All are given unit vectors and answer with the numbers of rows; Euclid and cosine order them alike. ``build``
returns what ``save`` writes; ``load`` returns a function of one query, of shape (1, dimension), and an effort.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truth import K, Rows

Ask = Callable[[Rows, Any], NDArray[Any]]


@dataclass(frozen=True)
class Library:
    """A row of the table.

    Attributes:
        label: what is shown.
        package: the distribution whose version is noted.
        build: from vectors and a number of threads to an index.
        save, load: to a file, and from there, given the vectors, to a function that asks.
        efforts: settings of the search, rising; (None,) where there is none.
    """

    label: str
    package: str
    build: Callable[[Rows, int], Any]
    save: Callable[[Any, Path], None]
    load: Callable[[Path, Rows], Ask]
    efforts: tuple[Any, ...]

    @property
    def version(self) -> str:
        """Of the installed package."""
        return version(self.package)


# Ours


def ours_build(engine: str, rows: Rows, threads: int) -> Any:
    from samespace.indexes import ENGINES

    index = ENGINES[engine].load()(rows.shape[1], "cosine")
    index.extend(rows, threads=threads)
    return index


def ours_save(index: Any, path: Path) -> None:
    index.save(path)


def ours_load(engine: str, path: Path, rows: Rows) -> Ask:
    from samespace.indexes import ENGINES

    index: Any = ENGINES[engine].load().load(path, rows, "cosine")
    return lambda query, effort: index.search(query, K, effort=effort).positions


def collection_build(rows: Rows, _threads: int) -> Any:
    import tempfile

    from rows import add, opened

    folder = Path(tempfile.mkdtemp(), "rows.ss")
    with opened(folder, rows.shape[1]) as collection:
        add(collection, [f"text {row}" for row in range(len(rows))], rows)
        collection.tune(recall=0.98)
    return folder


def collection_save(folder: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    shutil.move(folder, path)


def collection_load(path: Path, rows: Rows) -> Ask:
    from rows import opened, settle
    from samespace import Vectors

    collection = opened(path, rows.shape[1], remember_queries=False)
    settle(collection, rows[:1])

    def ask(query: Rows, effort: float) -> NDArray[Any]:
        ids = collection.nearest(Vectors(query, collection.space, "query"), K, recall=effort).ids
        return np.array([[int(name[4:]) for name in ids[0]]])  # row-N

    return ask


# Faiss


def faiss_build(recipe: Callable[[int, int], str], rows: Rows, threads: int) -> Any:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.index_factory(rows.shape[1], recipe(*rows.shape))
    if recipe is HNSW:
        index.hnsw.efConstruction = 200
    index.train(rows)
    index.add(rows)
    return index


def faiss_save(index: Any, path: Path) -> None:
    import faiss

    faiss.write_index(index, str(path))


def faiss_load(knob: str, path: Path, _: Rows) -> Ask:
    import faiss

    index = faiss.read_index(str(path))
    faiss.omp_set_num_threads(1)
    holder = faiss.downcast_index(index)
    holder = holder.hnsw if knob == "efSearch" else holder

    def ask(query: Rows, effort: int) -> NDArray[Any]:
        setattr(holder, knob, effort)
        found: NDArray[Any] = index.search(query, K)[1]
        return found

    return ask


def HNSW(_count: int, _dimension: int) -> str:  # noqa: N802 - a recipe is named as Faiss names it
    return "HNSW32,Flat"


def ivf(codes: str, count: int, _dimension: int) -> str:
    return f"IVF{round(4 * math.sqrt(count))},{codes}"


# hnswlib, usearch


def hnswlib_build(rows: Rows, threads: int) -> Any:
    import hnswlib

    index = hnswlib.Index("l2", rows.shape[1])
    index.init_index(len(rows), M=32, ef_construction=200)
    index.set_num_threads(threads)
    index.add_items(rows)
    return index


def hnswlib_save(index: Any, path: Path) -> None:
    index.save_index(str(path))


def hnswlib_load(path: Path, rows: Rows) -> Ask:
    import hnswlib

    index = hnswlib.Index("l2", rows.shape[1])
    index.load_index(str(path))
    index.set_num_threads(1)

    def ask(query: Rows, effort: int) -> NDArray[Any]:
        index.set_ef(effort)
        found: NDArray[Any] = index.knn_query(query, K)[0]
        return found

    return ask


def usearch_build(rows: Rows, threads: int) -> Any:
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="ip", dtype="f32", connectivity=32, expansion_add=200)
    index.add(np.arange(len(rows)), rows, threads=threads)
    return index


def usearch_save(index: Any, path: Path) -> None:
    index.save(str(path))


def usearch_load(path: Path, _: Rows) -> Ask:
    from usearch.index import Index

    index: Any = Index.restore(str(path))

    def ask(query: Rows, effort: int) -> NDArray[Any]:
        index.expansion_search = effort
        found: NDArray[Any] = index.search(query[0], K, threads=1).keys
        return found[None, :]

    return ask


# rabitqlib, turbovec


def rabitq_build(degree: int, rows: Rows, threads: int) -> Any:
    from rabitqlib import SymqgIndex

    index = SymqgIndex(rows.shape[1], degree, "l2")
    index.build(rows, 200, threads)
    return index


def rabitq_save(index: Any, path: Path) -> None:
    index.save(str(path))


def rabitq_load(path: Path, _: Rows) -> Ask:
    from rabitqlib import SymqgIndex

    index: Any = SymqgIndex.load(str(path))
    return lambda query, effort: np.asarray(index.search(query, K, effort)[0])


def wide(rows: Rows) -> Rows:
    """Padded with zeros to a multiple of 8, as turbovec wants it."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))


def turbovec_build(rows: Rows, _threads: int) -> Any:
    from turbovec import TurboQuantIndex

    index = TurboQuantIndex(rows.shape[1] + -rows.shape[1] % 8, 4)
    for start in range(0, len(rows), 16_384):
        index.add(wide(rows[start : start + 16_384]))
    index.prepare()
    return index


def turbovec_save(index: Any, path: Path) -> None:
    path.write_bytes(index.to_bytes())


def turbovec_load(path: Path, rows: Rows) -> Ask:
    from turbovec import TurboQuantIndex

    index: Any = TurboQuantIndex.from_bytes(path.read_bytes())
    index.prepare()
    if rows.shape[1] % 8 == 0:
        return lambda query, _: index.search(query, K)[1]
    return lambda query, _: index.search(wide(query), K)[1]


_EF = (10, 16, 24, 32, 48, 64, 96, 128, 200, 300, 500, 800, 1_200)
_GRAPH = (10, 16, 24, 32, 48, 64, 96, 128, 200, 300, 500, 800, 1_200)
_PROBES = (2, 4, 8, 16, 32, 64, 128, 256, 512)

LIBRARIES = {
    "scan": Library(
        "samespace scan",
        "samespace",
        partial(ours_build, "scan"),
        ours_save,
        partial(ours_load, "scan"),
        (None,),
    ),
    "graph": Library(
        "samespace graph",
        "samespace",
        partial(ours_build, "graph"),
        ours_save,
        partial(ours_load, "graph"),
        _GRAPH,
    ),
    "collection": Library(
        "samespace, nearest() with recall=",
        "samespace",
        collection_build,
        collection_save,
        collection_load,
        (0.9, 0.95, 0.98, 0.99, 0.995, 0.999),
    ),
    "turbovec": Library("turbovec 4-bit, bare", "turbovec", turbovec_build, turbovec_save, turbovec_load, (None,)),
    "rabitqlib": Library(
        "rabitqlib SymqgIndex degree 32, bare",
        "rabitqlib",
        partial(rabitq_build, 32),
        rabitq_save,
        rabitq_load,
        _GRAPH,
    ),
    "faiss-hnsw": Library(
        "Faiss HNSW32, efConstruction 200",
        "faiss-cpu",
        partial(faiss_build, HNSW),
        faiss_save,
        partial(faiss_load, "efSearch"),
        _EF,
    ),
    "faiss-ivf": Library(
        "Faiss IVF flat, nlist 4√n",
        "faiss-cpu",
        partial(faiss_build, partial(ivf, "Flat")),
        faiss_save,
        partial(faiss_load, "nprobe"),
        _PROBES,
    ),
    "faiss-ivf-sq8": Library(
        "Faiss IVF SQ8, nlist 4√n",
        "faiss-cpu",
        partial(faiss_build, partial(ivf, "SQ8")),
        faiss_save,
        partial(faiss_load, "nprobe"),
        _PROBES,
    ),
    "hnswlib": Library("hnswlib M 32, ef_construction 200", "hnswlib", hnswlib_build, hnswlib_save, hnswlib_load, _EF),
    "usearch": Library(
        "usearch connectivity 32, expansion_add 200", "usearch", usearch_build, usearch_save, usearch_load, _EF
    ),
}
