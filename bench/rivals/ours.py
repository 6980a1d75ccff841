"""samespace itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import samespace
from rivals.system import Found, Setting, System, Vector
from samespace import Space, Vectors


class Samespace(System):
    package = "samespace"
    build = "defaults"
    settings = (
        Setting("defaults"),
        Setting("where digit = 3 (a tenth)", {"where": {"digit": 3}}, truth="digit"),
    )

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:
        self._space = Space("the corpus", dimension, normalized=True)
        self._rows = samespace.open(folder / "rows.ss", space=self._space, threads=threads)

    @classmethod
    def version(cls) -> str:
        """From the package itself, which need not be installed."""
        return str(samespace.__version__)

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        self._rows.add(texts, ids=ids, metadata=metadata, vectors=Vectors(vectors, self._space, "document"))

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        query = Vectors(vector[None, :], self._space, "query")
        return [(hit.id, hit.content or "") for hit in self._rows.search(query, k, **arguments)]

    def close(self) -> None:
        self._rows.close()
