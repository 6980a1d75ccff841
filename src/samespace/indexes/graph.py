"""A graph of quantised neighbourhoods: SymphonyQG, by rabitqlib.

Each node keeps one-bit codes of its neighbours in place, so that a step estimates all their distances at once
(Gou, Gao, Xu and Long, "SymphonyQG: towards symphonious integration of quantization and graph for approximate
nearest neighbor search", SIGMOD 2025; codes: Gao and Long, "RaBitQ", SIGMOD 2024). The node's own vector is
kept in 8 bits; exact scores are the index's.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from samespace.errors import MissingExtra
from samespace.indexes.candidates import CandidateIndex, Rows
from samespace.vectors import Matrix

__all__ = ["GraphIndex"]

_DEGREE = 32  # 64 takes 1.8 times the memory and 1.2 times the build for the same speed at .98 to .99
_BITS = 8  # 4 saves 8 % of memory and costs a fifth of the speed; 32 takes 1.5 times as much and is slower
_CONSTRUCTION = 128  # width of the search that chooses neighbours; more finds no better ones


class GraphIndex(CandidateIndex):
    """A SymphonyQG graph. Its effort is the number of nodes that a search keeps open (ef)."""

    engine: ClassVar[str] = "graph"
    efforts: ClassVar[tuple[int, ...]] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
    least: ClassVar[int] = 64
    spare: ClassVar[tuple[float, int]] = (1.2, 4)

    def _build(self, rows: Rows, threads: int | None) -> Any:
        graph = self._library().SymqgIndex(rows.layout.width, _DEGREE, "l2", _BITS)
        graph.build(rows.whole(), _CONSTRUCTION, threads or os.cpu_count() or 1, "pipnn")
        return graph

    def _candidates(self, structure: Any, queries: Matrix, m: int, effort: int) -> NDArray[np.integer[Any]]:
        m = min(m, structure.num_points)
        ef = effort if effort > m else m
        if len(queries) == 1:
            found: NDArray[np.integer[Any]] = structure.search(queries, m, ef)[0]
        else:
            found = structure.search(queries, m, ef, os.cpu_count() or 1)[0]
        return found

    def _usual(self, m: int, structure: Any) -> int:  # noqa: ARG002
        return max(256, 6 * m)

    def _dump(self, structure: Any, path: Path) -> None:
        structure.save(str(path))

    def _restore(self, path: Path) -> Any:
        return self._library().SymqgIndex.load(str(path))

    def _bytes(self, structure: Any) -> int:
        # A node: its vector and two factors; for each neighbour, a bit a number, two factors, and its name.
        width: int = -(-structure.dim // 32) * 32
        node = width * _BITS // 8 + 8 + _DEGREE * (width // 8 + 12)
        return int(structure.num_points) * node

    @classmethod
    def _library(cls) -> Any:
        try:
            import rabitqlib
        except ImportError as error:
            raise MissingExtra("The engine 'graph'", "graph") from error
        return rabitqlib

    @classmethod
    def _library_version(cls) -> str:
        return f"rabitqlib {importlib.metadata.version('rabitqlib')}, degree {_DEGREE}, {_BITS} bits"
