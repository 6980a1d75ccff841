"""What a collection knows of itself, in a namespace beside its rows.

A short note is one record, so it is there whole or not at all. A long one stands in further records, which are written
before the first, under names that have the digest of the whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, NamedTuple

from pinecone.models.vectors.vector import Vector

from samespace.errors import CollectionCorrupt
from samespace.stores.pinecone.namespace import Namespace

__all__ = ["Head", "Notes"]

_PART = 24_000  # bytes, which are 32,000 in base64; a record holds 40,960
_VALUE, _DIGEST, _PARTS = "samespace_value", "samespace_digest", "samespace_parts"


class Head(NamedTuple):
    """A note's first record.

    Attributes:
        parts: number of further records that hold the value; 0 where it stands here.
        fields: whatever else was kept with it.
    """

    value: str
    digest: str
    parts: int
    fields: dict[str, Any]


class Notes:
    """Bytes by name.

    Args:
        records: the namespace.
        dimension: of the index, since every record has a vector.
    """

    def __init__(self, records: Namespace, dimension: int) -> None:
        self.records = records
        self._vector = [1.0] + [0.0] * (dimension - 1)

    def head(self, name: str) -> Head | None:
        """The note's first record; None if there is no such note."""
        found = self.records.fetch([name]).get(name)
        if found is None:
            return None
        fields = dict(found.metadata or {})
        parts = fields.pop(_PARTS, 0)
        value, digest = (str(fields.pop(key, "")) for key in (_VALUE, _DIGEST))
        return Head(value, digest, int(parts) if isinstance(parts, int | float) else 0, fields)

    def read(self, name: str) -> bytes | None:
        """The note; None if there is none.

        Raises:
            CollectionCorrupt: a part of it is gone, or was changed.
        """
        head = self.head(name)
        return None if head is None else self.whole(name, head)

    def whole(self, name: str, head: Head) -> bytes:
        """A note's bytes."""
        ids = _part_ids(name, head.digest, head.parts)
        found = self.records.fetch(ids)
        texts = [_text(found.get(each)) for each in ids] or [head.value]
        try:
            value = b"".join(base64.b64decode(text, validate=True) for text in texts)
        except (binascii.Error, ValueError):
            value = b""
        if _digest(value) != head.digest:
            raise CollectionCorrupt(
                f"The note {name!r} in the namespace {self.records.name!r} is not what was written there: something "
                "else changed it, or a part of it is gone. Restore it from a backup, or copy the rows to a new "
                "collection."
            )
        return value

    def keep(self, name: str, value: bytes, *, replace: bool = True, fields: dict[str, Any] | None = None) -> None:
        """Keep a note, and wait until it is shown."""
        before = self.head(name)
        if before is not None and not replace:
            return
        digest = _digest(value)
        parts = [value[start : start + _PART] for start in range(0, len(value), _PART)] if len(value) > _PART else []
        ids = _part_ids(name, digest, len(parts))
        self._write([(each, {_VALUE: _encoded(part)}) for each, part in zip(ids, parts, strict=True)])
        head = {_VALUE: "" if parts else _encoded(value), _DIGEST: digest, _PARTS: len(parts), **(fields or {})}
        self._write([(name, head)])
        self.records.until(lambda: self._is_shown(name, digest, ids), f"The note {name!r} was written")
        if before is not None and before.digest != digest and before.parts:
            self.records.delete(_part_ids(name, before.digest, before.parts))

    def _is_shown(self, name: str, digest: str, parts: list[str]) -> bool:
        head = self.head(name)
        return head is not None and head.digest == digest and len(self.records.fetch(parts)) == len(parts)

    def _write(self, notes: list[tuple[str, dict[str, Any]]]) -> None:
        records = [(name, self._vector, fields) for name, fields in notes]
        sizes = [sum(len(str(value)) for value in fields.values()) + 200 for _, fields in notes]
        self.records.upsert(records, sizes)


def _digest(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=12).hexdigest()


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _part_ids(name: str, digest: str, parts: int) -> list[str]:
    return [f"{name}.{digest}.{part:06d}" for part in range(parts)]


def _text(record: Vector | None) -> str:
    return "" if record is None or record.metadata is None else str(record.metadata.get(_VALUE, ""))
