"""Bulk embedding: shards, rows, columns and clusters that will not do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import samespace as ss
from bad_encoders.case import Case
from samespace.errors import InvalidInput, NotFound, SpaceMismatch, StoreUnavailable
from samespace.scale import EmbedReport, embed
from samespace.scale.ray import cluster, shape_of
from samespace.testing.encoder import CharacterEncoder

__all__ = ["CASES"]

_GOOD = json.dumps({"id": "a", "text": "a good row"}) + "\n"


def _embed(tmp: Path, shard: bytes, name: str = "rows.jsonl", id: str | None = "id") -> EmbedReport:  # noqa: A002
    (tmp / name).write_bytes(shard)
    return embed([tmp / name], tmp / "n.ss", CharacterEncoder(), text="text", id=id)


def _row(line: str) -> Callable[[Path], EmbedReport]:
    return lambda tmp: _embed(tmp, (_GOOD + line + "\n").encode())


def _torn_parquet(tmp: Path) -> EmbedReport:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"], "text": ["a good row"]}), tmp / "whole.parquet")
    return _embed(tmp, (tmp / "whole.parquet").read_bytes()[:-9], "rows.parquet")


def _no_column(tmp: Path) -> EmbedReport:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"], "body": ["a good row"]}), tmp / "rows.parquet")
    return embed([tmp / "rows.parquet"], tmp / "n.ss", CharacterEncoder(), text="text", id="id")


def _another_space(tmp: Path) -> EmbedReport:
    ss.open(tmp / "n.ss", CharacterEncoder(model="acme/other")).close()
    return _embed(tmp, _GOOD.encode())


def _folder_and_others(tmp: Path) -> object:
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}, "NodeManagerHostname": "worker-1"}]
    connected = patch("ray.is_initialized", lambda: True)
    with connected, patch("ray.nodes", lambda: nodes), cluster(is_remote=False) as shape:
        return shape


def _no_cluster(tmp: Path) -> object:
    with cluster("ray://127.0.0.1:9") as shape:
        return shape


_CALL = "embed(['rows.jsonl'], 'n.ss', text='text', id='id')"

CASES = [
    Case(
        "no shard", "embed(['shards/*.parquet'], …)",
        lambda tmp: embed([tmp / "shards/*.parquet"], tmp / "n.ss", CharacterEncoder(), text="text"), NotFound,
        "There is no shard .*expected files ending in .parquet, .jsonl",
    ),
    Case(
        "a shard that is no table", "embed(['rows.csv'], …)", lambda tmp: _embed(tmp, b"id,text\n", "rows.csv"),
        InvalidInput, r"A shard's name ends in \.parquet, \.jsonl.*; got '.*rows\.csv'",
    ),
    Case("a torn shard of Parquet", "embed(['rows.parquet'], …)", _torn_parquet, InvalidInput,
         r"rows\.parquet is not Parquet that can be read"),
    Case(
        "a torn shard in gzip", "embed(['rows.jsonl.gz'], …)",
        lambda tmp: _embed(tmp, gzip.compress(_GOOD.encode() * 99)[:-9], "rows.jsonl.gz"), InvalidInput,
        r"rows\.jsonl\.gz cannot be read: ",
    ),
    Case("a column that a shard has not", "embed(['rows.parquet'], …)", _no_column, InvalidInput,
         "has no column 'text'. It has 'id', 'body'"),
    Case("a torn line of a shard", _CALL, _row('{"id": "b", "te'), InvalidInput, r"rows\.jsonl, line 2 is not JSON"),
    Case("a row of a shard without a text", _CALL, _row('{"id": "b", "text": " "}'), InvalidInput,
         r"rows\.jsonl, line 2: expected a text in 'text', got an empty text"),
    Case("a row of a shard without an id", _CALL, _row('{"text": "b"}'), InvalidInput,
         r"rows\.jsonl, line 2 has no key 'id'. It has 'text'"),
    Case("half a character in a shard", _CALL, _row('{"id": "b", "text": "\\ud83d"}'), InvalidInput,
         r"rows\.jsonl, line 2: the text is not valid Unicode"),
    Case(
        "a shard in Latin-1", _CALL, lambda tmp: _embed(tmp, '{"id": "a", "text": "café"}\n'.encode("latin-1")),
        InvalidInput, r"rows\.jsonl, line 1 is not UTF-8",
    ),
    Case("shards for a collection of another space", _CALL, _another_space, SpaceMismatch,
         "the spaces differ in model"),
    Case("more workers than there is room for", "embed(…, on='ray', workers=3, cpus=4, address='auto')",
         lambda tmp: shape_of([8], 3, 4), InvalidInput, "Expected room for 3 workers of 4 CPUs each; .* have 8 CPUs"),
    Case("a folder, and workers on other machines", "embed(…, 'n.ss', on='ray', address='auto')", _folder_and_others,
         InvalidInput, "A folder is written on one machine only, and workers would be on worker-1"),
    Case("no cluster of Ray", "embed(…, on='ray', address='ray://127.0.0.1:9')", _no_cluster, StoreUnavailable,
         "No cluster of Ray at 'ray://127.0.0.1:9'"),
]  # fmt: skip
