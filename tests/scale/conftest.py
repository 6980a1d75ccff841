"""Shards, and an encoder that a name opens at once on any machine."""

from __future__ import annotations

import json

import pytest

from scale.sample import WORDS, row


@pytest.fixture
def vectors(tmp_path):
    """A file of word vectors, which is an encoder."""
    path = tmp_path / "vectors.txt"
    lines = [f"{word} " + " ".join(str((n * (d + 3) + d) % 7 - 3.5) for d in range(8)) for n, word in enumerate(WORDS)]
    path.write_text(f"{len(WORDS)} 8\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def write(tmp_path):
    """Write rows as shards: ``write("a.jsonl", range(10))``."""
    (tmp_path / "shards").mkdir(exist_ok=True)

    def write(name, numbers, **more):
        path = tmp_path / "shards" / name
        rows = [row(number) for number in numbers]
        if name.endswith(".parquet"):
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), path, **more)
        else:
            path.write_text("".join(json.dumps(each) + "\n" for each in rows))
        return path

    return write
