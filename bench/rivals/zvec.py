"""zvec: HNSW over int8 codes, its candidates ranked again by the vectors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import zvec

from rivals.system import FIELDS, Found, Setting, System, Vector

_BATCH = 1_024  # the most that one call takes


class Zvec(System):
    """As a graph that is quickly built."""

    package = "zvec"
    build = "HNSW m 16, ef_construction 100, int8, optimize()"
    edges, effort = 16, 100
    settings = tuple(Setting(f"ef {ef}, refined", {"ef": ef}) for ef in (32, 64, 100, 200, 300))

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        zvec.init(query_threads=threads, optimize_threads=cores, log_level=zvec.LogLevel.ERROR)
        path = str(folder / "rows")
        if (folder / "rows").exists():
            self._rows = zvec.open(path, zvec.CollectionOption(read_only=True))
            return
        index = zvec.HnswIndexParam(
            metric_type=zvec.MetricType.COSINE,
            m=self.edges,
            ef_construction=self.effort,
            quantize_type=zvec.QuantizeType.INT8,
        )
        schema = zvec.CollectionSchema(
            name="rows",
            fields=[
                zvec.FieldSchema("text", zvec.DataType.STRING),
                *(zvec.FieldSchema(name, zvec.DataType.INT64) for name in FIELDS),
            ],
            vectors=[zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, dimension, index)],
        )
        self._rows = zvec.create_and_open(path, schema)

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        for start in range(0, len(ids), _BATCH):
            rows = range(start, min(start + _BATCH, len(ids)))
            done = self._rows.insert(
                [
                    zvec.Doc(
                        ids[row],
                        vectors={"vector": vectors[row]},
                        fields={"text": texts[row], **metadata[row]},
                    )
                    for row in rows
                ]
            )
            if not all(status.ok() for status in done):
                raise RuntimeError(f"zvec refused rows from {start} on: {done[0]}")
        self._rows.flush()
        self._rows.optimize()

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        query = zvec.Query(
            "vector", vector=vector, param=zvec.HnswQueryParam(ef=arguments["ef"], is_using_refiner=True)
        )
        rows = self._rows.query(query, topk=k, output_fields=["text", *FIELDS])
        return [(row.id, row.field("text"), {name: row.field(name) for name in FIELDS}) for row in rows]

    def close(self) -> None:
        self._rows.close()


class DenseZvec(Zvec):
    """As a graph that is better to search, and takes longer to build."""

    build = "HNSW m 32, ef_construction 200, int8, optimize()"
    edges, effort = 32, 200
