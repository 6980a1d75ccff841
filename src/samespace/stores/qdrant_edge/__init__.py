"""Qdrant Edge: Qdrant's engine in the process, a folder for a collection: ``qdrant-edge:folder``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from samespace.errors import InvalidInput, NotFound
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.qdrant_core.record import distance_of, read_record, record_of
from samespace.stores.qdrant_core.store import INDEXES, QdrantStore
from samespace.stores.qdrant_edge.engine import CONFIG, RECORD, SCHEMAS, EdgeEngine, mapped, shard_config

__all__ = ["connect"]

_CODES = {"none": None, "int8": edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)}


def connect(address: Address, space: Space | None, *, encoder: str | None, timeout: float) -> QdrantStore:  # noqa: ARG001 - nothing is waited for
    """Open the shard in a folder, or make it; see :func:`samespace.stores.connect`."""
    address.only("quantization")
    codes = address.take("quantization", _CODES.__getitem__, None)
    if not address.path:
        raise InvalidInput(f"{address} names no folder. Write qdrant-edge:folder.")
    path = Path(address.path).absolute()
    if not (path / CONFIG).exists():
        if space is None:
            raise NotFound(f"There is no collection at {address}.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InvalidInput(f"{path} holds other files, and no shard of Qdrant Edge. Choose a new or empty folder.")
        _create(path, space, encoder, codes)
    engine = EdgeEngine(path)
    try:
        found, name = read_record(engine.record(), str(address))
        return QdrantStore(engine, str(address), found, name)
    except BaseException:
        engine.close()
        raise


def _create(path: Path, space: Space, encoder: str | None, codes: Any) -> None:
    """Make a shard beside its place, whole, and move it there: so it is there, or it is not."""

    def act() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            distance = getattr(edge.Distance, distance_of(space))
            shard = edge.EdgeShard.create(str(made), shard_config(space.dimension, distance, 0, codes))
            ours = {"kind": "note", "name": "samespace.record", "record": record_of(space, encoder)}
            shard.update(edge.UpdateOperation.upsert_points([edge.Point(RECORD, {}, {"samespace": ours})]))
            for field, kind in INDEXES.items():
                shard.update(edge.UpdateOperation.create_field_index(field, SCHEMAS[kind]))
            shard.flush()
            shard.close()
            try:
                made.rename(path)
            except OSError:
                if not (path / CONFIG).exists():  # otherwise another process made it meanwhile, and it is as good
                    raise
                shutil.rmtree(made)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    mapped(path, act)
