"""A row as an object of Weaviate, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
from weaviate.classes.data import DataObject

from samespace.errors import InvalidInput
from samespace.stores.base import Block, parsed
from samespace.stores.weaviate.filters import FIELDS, RANGES, tokens
from samespace.stores.weaviate.schema import VECTOR
from samespace.vectors import Matrix

__all__ = ["HIT", "WHOLE", "batches", "block_of", "foreign_uuids", "metadata_of", "name_of", "objects", "uuid_of"]

HIT = ["row_id", "content", "metadata", "seq"]
"""Properties that a search reads."""

WHOLE = [*HIT, "tokens_seen", "tokens_total", "seal"]
"""Properties that a row is made of."""

_NAMESPACE = uuid5(NAMESPACE_OID, "samespace")
_IN_A_BATCH = 1_000
_OVERHEAD = 1_000  # bytes of an object beyond its texts and its vector, generously


def uuid_of(name: str) -> str:
    """The uuid of the row of this id."""
    return str(uuid5(_NAMESPACE, name))


def foreign_uuids(ids: Sequence[str]) -> list[str]:
    """Those of the ids that are uuids, as rows have them that something else wrote."""
    found = []
    for name in ids:
        try:
            if str(UUID(name)) == name:
                found.append(name)
        except ValueError:
            pass
    return found


def name_of(one: Any) -> str:
    """The id of the row that an object is: its own, or where something else wrote it, the object's."""
    name = one.properties.get("row_id")
    return name if isinstance(name, str) and name else str(one.uuid)


def metadata_of(one: Any) -> dict[str, Any]:
    """The metadata of the row that an object is; none where something else wrote what is not JSON."""
    text = one.properties.get("metadata")
    try:
        fields = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {}


def objects(block: Block, first: int) -> Iterator[tuple[int, Any]]:
    """Make a block's objects, each with about its bytes; the first has the sequence number ``first``."""
    assert block.seals is not None  # noqa: S101 - Store.write makes them
    columns = (block.ids, block.contents, block.metadata, block.vectors, block.tokens, block.seals)
    fields = parsed(block.metadata, block.ids)
    for at, (name, content, metadata, vector, (seen, total), seal) in enumerate(zip(*columns, strict=True)):
        values, ordered = tokens(fields[at])
        properties = {
            "row_id": name,
            "content": content,
            "metadata": metadata,
            FIELDS: values or None,
            RANGES: ordered or None,
            "seq": first + at,
            "tokens_seen": seen,
            "tokens_total": total,
            "truncated": None if seen is None or total is None else seen < total,
            "seal": None if seal is None else seal.hex(),
        }
        size = _OVERHEAD + vector.nbytes + len(name) + len(metadata)
        size += len(content.encode()) if content else 0
        size += sum(map(len, values)) + sum(map(len, ordered)) + 3 * (len(values) + len(ordered))
        given = {key: value for key, value in properties.items() if value is not None}
        yield size, DataObject(properties=given, uuid=uuid_of(name), vector={VECTOR: vector.tolist()})


def batches(sized: Sequence[tuple[int, Any]], largest: int) -> Iterator[list[Any]]:
    """Objects in lists that fit into messages of ``largest`` bytes.

    Raises:
        InvalidInput: an object does not by itself; before any list.
    """
    for size, one in sized:
        if size > largest:
            raise InvalidInput(
                f"Row {one.properties['row_id']!r} takes about {size:,} bytes; this Weaviate takes messages of up to "
                f"{largest:,}. Split its content, or raise GRPC_MAX_MESSAGE_SIZE there."
            )
    batch: list[Any] = []
    filled = 0
    for size, one in sized:
        if batch and (len(batch) == _IN_A_BATCH or filled + size > largest):
            yield batch
            batch, filled = [], 0
        batch.append(one)
        filled += size
    if batch:
        yield batch


def block_of(found: Sequence[Any], dimension: int) -> Block:
    """The rows that objects are. What something else wrote is taken as far as it goes."""
    seals: list[bytes | None] = []
    contents: list[str | None] = []
    tokens: list[tuple[int | None, int | None]] = []
    for one in found:
        values = one.properties
        content, seal = values.get("content"), values.get("seal")
        contents.append(content if isinstance(content, str) else None)
        seals.append(_unhex(seal))
        tokens.append((_whole(values.get("tokens_seen")), _whole(values.get("tokens_total"))))
    return Block(
        [name_of(one) for one in found],
        contents,
        [_json_of(one) for one in found],
        _vectors_of(found, dimension),
        tokens,
        seals,
    )


def _json_of(one: Any) -> str:
    text = one.properties.get("metadata")
    return text if isinstance(text, str) and metadata_of(one) else "{}"


def _vectors_of(found: Sequence[Any], dimension: int) -> Matrix:
    """The vectors, float32 of shape (n, dimension); NaN where there is none of this dimension."""
    vectors: Matrix = np.full((len(found), dimension), np.nan, np.float32)
    for at, one in enumerate(found):
        vector = one.vector.get(VECTOR)
        if vector is not None and len(vector) == dimension:
            vectors[at] = vector
    return vectors


def _unhex(seal: Any) -> bytes | None:
    try:
        return bytes.fromhex(seal) if isinstance(seal, str) else None
    except ValueError:
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
