"""samespace itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import samespace
from rivals.system import Found, Setting, System, Vector
from samespace import Space, Vectors


class Samespace(System):
    """As it is without a build: the scan answers."""

    package = "samespace"
    build = "engine='scan'"
    engine = "scan"
    settings = (
        Setting("engine='scan'"),
        Setting("where digit = 3 (a tenth)", {"where": {"digit": 3}}, truth="digit"),
    )

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:
        self._space = Space("the corpus", dimension, normalized=True)
        self._rows = samespace.open(folder / "rows.ss", space=self._space, engine=self.engine, threads=threads)

    @classmethod
    def version(cls) -> str:
        """From the package itself, which need not be installed."""
        return str(samespace.__version__)

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        self._rows.add(texts, ids=ids, metadata=metadata, vectors=Vectors(vectors, self._space, "document"))

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        query = Vectors(vector[None, :], self._space, "query")
        return [(hit.id, hit.content or "", hit.metadata) for hit in self._rows.search(query, k, **arguments)]

    def close(self) -> None:
        self._rows.close()


class TunedSamespace(Samespace):
    """With a graph, built and measured at once."""

    build = "tune(recall=.98)"
    engine = "auto"
    settings = (
        *(Setting(f"recall={recall:g}", {"recall": recall}) for recall in (0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 0.999)),
        Setting("recall=0.98, where digit = 3 (a tenth)", {"recall": 0.98, "where": {"digit": 3}}, truth="digit"),
    )

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        super().add(ids, texts, metadata, vectors)
        self._rows.tune(recall=0.98)

    def settle(self) -> None:
        query = Vectors(np.ones((1, self._space.dimension)) / self._space.dimension**0.5, self._space, "query")
        tuning = self._rows.info().tuning
        while tuning is None or self._rows.info().engine != tuning.engine:
            for _ in range(50):  # what was built is taken over when searches come
                self._rows.search(query)
            time.sleep(0.05)
            tuning = self._rows.info().tuning
