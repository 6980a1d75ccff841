"""Files and databases as other programs make them, by the bare libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from samespace.interchange import Columns

__all__ = ["MAKERS", "chroma_client", "write_rows"]


def write_rows(path: Path, texts: list[str], ids: list[str] | None = None) -> Path:
    names = ids or [f"row {n}" for n in range(len(texts))]
    rows = [
        {"id": name, "text": text, "year": 2000 + n} for n, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chroma_client(folder: Path):
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))


def _faiss(folder: Path, texts: list[str], vectors: np.ndarray):
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "old.faiss"))
    return str(folder / "old.faiss"), Columns(rows=write_rows(folder / "rows.jsonl", texts))


def _npy(folder: Path, texts: list[str], vectors: np.ndarray):
    np.save(folder / "old.npy", vectors.astype(np.float64))
    return str(folder / "old.npy"), Columns(rows=write_rows(folder / "rows.jsonl", texts))


def _table(texts: list[str], vectors: np.ndarray):
    import pyarrow as pa

    return pa.table(
        {
            "id": [f"row {n}" for n in range(len(texts))],
            "text": texts,
            "year": [2000 + n for n in range(len(texts))],
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
        }
    )


def _parquet(folder: Path, texts: list[str], vectors: np.ndarray):
    import pyarrow.parquet as pq

    pq.write_table(_table(texts, vectors), folder / "old.parquet", row_group_size=40)
    return str(folder / "old.parquet"), None


def _jsonl(folder: Path, texts: list[str], vectors: np.ndarray):
    rows = [
        {"id": f"row {n}", "text": text, "year": 2000 + n, "embedding": vector.tolist()}
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    (folder / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "old.jsonl"), None


def _lancedb(folder: Path, texts: list[str], vectors: np.ndarray):
    import lancedb

    lancedb.connect(folder / "lance").create_table("docs", _table(texts, vectors))
    return f"lancedb:{folder / 'lance'}", None


def _chroma(folder: Path, texts: list[str], vectors: np.ndarray):
    client = chroma_client(folder / "chroma")
    docs = client.create_collection("docs")  # the default embedder is recorded, and not called
    docs.add(
        ids=[f"row {n}" for n in range(len(texts))],
        embeddings=vectors,
        documents=texts,
        metadatas=[{"year": 2000 + n} for n in range(len(texts))],
    )
    client.close()
    return f"chroma:{folder / 'chroma'}", None


MAKERS = {
    "faiss": _faiss,
    "npy": _npy,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "lancedb": _lancedb,
    "chroma": _chroma,
}
