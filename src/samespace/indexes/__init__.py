"""Search engines behind one protocol, and the choice among them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from samespace.errors import MissingExtra, NotFound
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.space import Metric

__all__ = ["ENGINES", "Engine", "Index", "Mask", "Neighbours", "accelerator", "choose", "engine", "require"]

log = logging.getLogger("samespace.indexes")

# Bytes of vectors up to which reading all of them is as fast as reading codes (bench/scan.py).
_SMALL = 12 << 20


@dataclass(frozen=True, slots=True)
class Engine:
    """A row of the catalogue.

    Attributes:
        name: what users call it.
        module: where its class is.
        attribute: the name of its class.
        library: the module that it needs besides numpy.
        extra: of samespace, that brings the library.
        keeps: it has a file that is worth keeping.
        builds: it is made once over many vectors, which takes long; covering more of them is making it anew.
        summary: one line for people who choose.
    """

    name: str
    module: str
    attribute: str
    library: str | None
    extra: str | None
    keeps: bool
    builds: bool
    summary: str

    @property
    def available(self) -> bool:
        """Its library is installed."""
        return self.library is None or importlib.util.find_spec(self.library) is not None

    def load(self) -> type[Index]:
        """Import its class."""
        cls: type[Index] = getattr(importlib.import_module(self.module), self.attribute)
        return cls


_HERE = "samespace.indexes."

ENGINES: Mapping[str, Engine] = {
    row.name: row
    for row in (
        Engine(
            "exact", _HERE + "exact", "ExactIndex", None, None, False, False,
            "compares with every vector; the oracle, and fastest while there are few",
        ),
        Engine(
            "scan", _HERE + "scan", "ScanIndex", "turbovec", "scan", True, False,
            "reads 4-bit codes of all vectors and scores the best exactly; filters cost no recall",
        ),
        Engine(
            "graph", _HERE + "graph", "GraphIndex", "rabitqlib", "graph", True, True,
            "a graph of quantised neighbourhoods (SymphonyQG); the fastest for many vectors that seldom change",
        ),
        Engine(
            "hnsw", _HERE + "faiss", "HnswIndex", "faiss", "faiss", True, True,
            "a hierarchical graph over whole vectors",
        ),
        Engine(
            "hnsw-sq8", _HERE + "faiss", "HnswSq8Index", "faiss", "faiss", True, True,
            "a hierarchical graph over vectors of 8 bits a number",
        ),
        Engine(
            "ivf", _HERE + "faiss", "IvfIndex", "faiss", "faiss", True, True,
            "lists of the vectors near each of many centres; quickly built",
        ),
        Engine(
            "ivf-sq8", _HERE + "faiss", "IvfSq8Index", "faiss", "faiss", True, True,
            "such lists of vectors of 8 bits a number",
        ),
        Engine(
            "ivf-pq", _HERE + "faiss", "IvfPqIndex", "faiss", "faiss", True, True,
            "such lists of product codes; the least memory",
        ),
    )
}  # fmt: skip


def engine(name: str) -> type[Index]:
    """Find the class of an engine.

    Raises:
        NotFound: there is no engine of that name.
        MissingExtra: when an index of it is made, and its library is not installed.
    """
    if name not in ENGINES:
        raise NotFound(f"There is no engine {name!r}; the engines are {', '.join(ENGINES)}.")
    return ENGINES[name].load()


def require(name: str) -> Engine:
    """Find an engine that can be used here.

    Raises:
        NotFound: there is no engine of that name.
        MissingExtra: its library is not installed.
    """
    engine(name)
    row = ENGINES[name]
    if not row.available:
        raise MissingExtra(f"The engine {name!r}", row.extra or name)
    return row


def choose(count: int, metric: Metric, dimension: int) -> str:
    """Name the engine for ``count`` vectors: what answers soonest at full recall, and is installed."""
    if count * dimension * 4 <= _SMALL:
        return "exact"
    if not ENGINES["scan"].available:
        log.warning("turbovec is not installed; %d vectors are searched exactly, which is slower.", count)
        return "exact"
    return "scan" if metric in engine("scan").metrics else "exact"


def accelerator() -> str | None:
    """Name the best engine that is built over many vectors, and installed."""
    return next((name for name in ("graph", "hnsw") if ENGINES[name].available), None)
