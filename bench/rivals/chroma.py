"""Chroma: its own HNSW."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb

from rivals.system import Found, Setting, System, Vector


class Chroma(System):
    package = "chromadb"
    build = "HNSW, default M 16, ef_construction 100"
    settings = tuple(Setting(f"ef_search {ef}", {"ef": ef}) for ef in (100, 200, 300))  # 100 is its default

    def __init__(self, folder: Path, dimension: int, threads: int) -> None:  # noqa: ARG002 - learnt from the rows
        self._folder, self._threads, self._ef = folder, threads, 100
        self._open()

    def _open(self) -> None:
        self._client = chromadb.PersistentClient(
            str(self._folder / "rows"), chromadb.config.Settings(anonymized_telemetry=False)
        )
        self._rows = self._client.get_or_create_collection(
            "rows",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "num_threads": self._threads}},
        )

    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        size = self._client.get_max_batch_size()
        for start in range(0, len(ids), size):
            rows = slice(start, start + size)
            self._rows.add(ids=ids[rows], documents=texts[rows], metadatas=metadata[rows], embeddings=vectors[rows])

    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        if arguments["ef"] != self._ef:  # a change is not seen before the index is read again
            self._modify(arguments["ef"])
            self._client.close()
            self._open()
        found = self._rows.query(query_embeddings=vector[None, :], n_results=k, include=["documents", "metadatas"])
        return list(zip(found["ids"][0], found["documents"][0], found["metadatas"][0], strict=True))

    def _modify(self, ef: int) -> None:
        self._ef = ef
        self._rows.modify(configuration={"hnsw": {"ef_search": ef}})

    def close(self) -> None:
        self._modify(100)  # it is kept, and the next process shall find the default
        self._client.close()
