"""LanceDB: IVF_HNSW_SQ, its candidates ranked again by the vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from rivals.system import FIELDS, Found, Setting, System, Vector


class LanceDB(System):
    package = "lancedb"
    build = "IVF_HNSW_SQ, 1 partition, m 20, ef_construction 300"
    settings = tuple(Setting(f"ef {ef}, refine 2", {"ef": ef}) for ef in (64, 128))

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:  # noqa: ARG002 - it reads the environment
        self._dimension = dimension
        self._database = lancedb.connect(str(folder / "rows"))
        self._table = self._database.open_table("rows") if "rows" in self._database.table_names() else None

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        columns = {name: pa.array([fields[name] for fields in metadata]) for name in metadata[0]}
        flat = pa.array(vectors.ravel(), pa.float32())
        data = pa.table(
            {
                "id": ids,
                "text": texts,
                **columns,
                "vector": pa.FixedSizeListArray.from_arrays(flat, self._dimension),
            }
        )
        self._table = self._database.create_table("rows", data)
        self._table.create_index(metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=1, m=20, ef_construction=300)
        self._table.wait_for_index(["vector_idx"])

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        assert self._table is not None
        query = self._table.search(vector).distance_type("cosine").limit(k).nprobes(1)
        found = query.ef(arguments["ef"]).refine_factor(2).select(["id", "text", *FIELDS, "_distance"]).to_list()
        return [(row["id"], row["text"], {name: row[name] for name in FIELDS}) for row in found]

    def close(self) -> None:
        self._table = None
