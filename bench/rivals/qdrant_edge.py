"""qdrant-edge: Qdrant's engine in the process, its HNSW built by ``optimize()``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import qdrant_edge as qdrant

from rivals.system import FIELDS, Found, Setting, System, Vector

_BATCH = 1_000


class QdrantEdge(System):
    """With the vectors as they are."""

    package = "qdrant-edge-py"
    build = "HNSW m 16, ef_construct 100, optimize()"
    codes: ClassVar[qdrant.ScalarQuantizationConfig | None] = None
    refined: ClassVar[qdrant.QuantizationSearchParams | None] = None
    settings = tuple(Setting(f"ef {ef}", {"ef": ef}) for ef in (64, 128, 200))

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:
        path = folder / "shard"
        config = qdrant.EdgeConfig(
            vectors=qdrant.EdgeVectorParams(dimension, qdrant.Distance.Cosine),
            hnsw_config=qdrant.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
            quantization_config=self.codes,
            optimizers=qdrant.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1_000),
            max_search_threads=threads,
        )
        if path.exists():
            self._shard = qdrant.EdgeShard.load(str(path), config)
        else:
            path.mkdir()
            self._shard = qdrant.EdgeShard.create(str(path), config)

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        for start in range(0, len(ids), _BATCH):
            points = [
                # Its ids are numbers; what the others call the id is a field.
                qdrant.Point(row, vectors[row].tolist(), {"id": ids[row], "text": texts[row], **metadata[row]})
                for row in range(start, min(start + _BATCH, len(ids)))
            ]
            self._shard.update(qdrant.UpdateOperation.upsert_points(points))
        self._shard.flush()
        self._shard.optimize()
        self._shard.flush()

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        request = qdrant.SearchRequest(
            query=qdrant.Query.Nearest(vector.tolist()),
            limit=k,
            params=qdrant.SearchParams(hnsw_ef=arguments["ef"], quantization=self.refined),
            with_payload=True,
        )
        rows = [point.payload for point in self._shard.search(request)]
        return [(row["id"], row["text"], {name: row[name] for name in FIELDS}) for row in rows]

    def close(self) -> None:
        self._shard.close()


class QdrantEdgeInt8(QdrantEdge):
    """With a graph over int8 codes, twice as many candidates ranked again by the vectors."""

    build = "HNSW m 16, ef_construct 100, int8 in memory, oversampling 2, optimize()"
    settings = tuple(Setting(f"ef {ef}", {"ef": ef}) for ef in (32, 64, 128, 200))
    codes = qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8, always_ram=True)
    refined = qdrant.QuantizationSearchParams(rescore=True, oversampling=2.0)
