"""Search engines behind one protocol, and the choice among them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from samespace.errors import NotFound
from samespace.indexes.base import Index, Mask, Neighbours
from samespace.space import Metric

__all__ = ["ENGINES", "Engine", "Index", "Mask", "Neighbours", "choose", "engine"]

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
        keeps: it has a file that is worth keeping.
        summary: one line for people who choose.
    """

    name: str
    module: str
    attribute: str
    library: str | None
    keeps: bool
    summary: str

    @property
    def available(self) -> bool:
        """Its library is installed."""
        return self.library is None or importlib.util.find_spec(self.library) is not None

    def load(self) -> type[Index]:
        """Import its class."""
        cls: type[Index] = getattr(importlib.import_module(self.module), self.attribute)
        return cls


ENGINES: Mapping[str, Engine] = {
    row.name: row
    for row in (
        Engine(
            "exact",
            "samespace.indexes.exact",
            "ExactIndex",
            None,
            False,
            "compares with every vector; the oracle, and fastest while there are few",
        ),
        Engine(
            "scan",
            "samespace.indexes.scan",
            "ScanIndex",
            "turbovec",
            True,
            "reads 4-bit codes of all vectors and scores the best exactly; filters cost no recall",
        ),
    )
}


def engine(name: str) -> type[Index]:
    """Find the class of an engine.

    Raises:
        NotFound: there is no engine of that name.
        MissingExtra: when an index of it is made, and its library is not installed.
    """
    if name not in ENGINES:
        raise NotFound(f"There is no engine {name!r}; the engines are {', '.join(ENGINES)}.")
    return ENGINES[name].load()


def choose(count: int, metric: Metric, dimension: int) -> str:
    """Name the engine for ``count`` vectors: what answers soonest at full recall, and is installed."""
    if count * dimension * 4 <= _SMALL:
        return "exact"
    if not ENGINES["scan"].available:
        log.warning("turbovec is not installed; %d vectors are searched exactly, which is slower.", count)
        return "exact"
    return "scan" if metric in engine("scan").metrics else "exact"
