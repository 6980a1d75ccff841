"""Rows as Qdrant's points, so that other clients can read and filter them.

    id       UUID version 5 of the row's id
    vector   {"embedding": [...]}
    payload  {"id": "prices", "content": "Tickets cost…", "metadata": {"year": 2025},
              "samespace": {"seq": 1763932800000000, "seal": "9f2c…", "seen": 9, "total": 9}}

Below ``samespace`` stand too, where they are needed: ``truncated`` (the encoder did not read all), ``empty`` (fields
that are lists without elements, which Qdrant does not tell from fields that are missing) and ``metadata`` (as JSON
text, where Qdrant would lose a number's last digit: it reads its own JSON without that care).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha1
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from samespace.errors import InvalidInput
from samespace.stores.base import Block, Tokens, parsed
from samespace.stores.qdrant_core.engine import Point, PointId

__all__ = [
    "EMPTY",
    "KIND",
    "SEAL",
    "SEQUENCE",
    "TRUNCATED",
    "as_block",
    "metadata_of",
    "name_of",
    "native_id",
    "note_id",
    "payloads",
    "point_id",
    "sequence_of",
    "survives",
]

SEQUENCE, SEAL, TRUNCATED = "samespace.seq", "samespace.seal", "samespace.truncated"
EMPTY, KIND = "samespace.empty", "samespace.kind"

_ROWS = sha1(UUID("5f0d7f52-8f0e-5c39-9d0c-6f1a0d1f6b1a").bytes, usedforsecurity=False)
_NOTES = UUID("c9b7a7de-5f0b-5d39-8a55-0a4f6e6c2b77")

_UNVERSIONED = ~(0xF << 76 | 0x3 << 62)  # where RFC 9562 has version and variant
_VERSION = 0x5 << 76 | 0x2 << 62
_MAX_DEPTH = 60  # the server's JSON ends at 128, gRPC's messages at 100, of which each level takes more than one
_WHOLE = 2**63
_EXACT = 2**53
# What may be a number that needs care: many digits, or an exponent.
_SUSPECT = re.compile(r"\d[.\d]{15}|\d[eE]")
_POWERS = [float(f"1e{power}") for power in range(309)]


def point_id(name: str) -> str:
    """The point of a row: a UUID of version 5, made without Python's UUID, which takes three times as long."""
    state = _ROWS.copy()
    state.update(name.encode())
    number = int.from_bytes(state.digest()[:16], "big") & _UNVERSIONED | _VERSION
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def note_id(name: str) -> str:
    """The point of a note."""
    return str(uuid5(_NOTES, name))


def native_id(name: str) -> PointId | None:
    """The point that something else wrote and that goes by this id; None if no point can."""
    if name.isascii() and name.isdigit() and len(name) < 20 and str(int(name)) == name:
        return int(name)
    try:
        found = str(UUID(name))
    except ValueError:
        return None
    return found if found == name else None


def name_of(point: Point) -> str:
    """The row's id: ours, or the engine's own where something else wrote it."""
    name = point.payload.get("id")
    return name if isinstance(name, str) and point_id(name) == point.id else str(point.id)


def payloads(block: Block, first: int) -> list[dict[str, Any]]:
    """The payloads of rows with the sequence numbers from ``first`` on.

    Raises:
        InvalidInput: Qdrant cannot hold a row's metadata; the message names it.
    """
    made = []
    seals = block.seals or [None] * len(block)
    columns = zip(
        block.ids,
        block.contents,
        block.metadata,
        parsed(block.metadata, block.ids),
        block.tokens,
        seals,
        strict=True,
    )
    for number, (name, content, text, fields, (seen, total), seal) in enumerate(columns, first):
        ours: dict[str, Any] = {"seq": number}
        if seal is not None:
            ours["seal"] = seal.hex()
        if seen is not None:
            ours["seen"] = seen
        if total is not None:
            ours["total"] = total
            if seen is not None and seen < total:
                ours["truncated"] = True
        if "[]" in text and (empty := [field for field, value in fields.items() if value == []]):
            ours["empty"] = empty
        if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(fields) > _MAX_DEPTH:
            raise InvalidInput(f"The metadata of row {name!r} is nested deeper than {_MAX_DEPTH}. Flatten it.")
        if _SUSPECT.search(text):
            lost: list[float] = []
            fields = _held(fields, name, lost)
            if lost:
                ours["metadata"] = text
        made.append({"id": name, "content": content, "metadata": fields, "samespace": ours})
    return made


def _held(value: Any, name: str, lost: list[float]) -> Any:
    """The value as Qdrant is to hold it; floats that it would spoil are noted."""
    if isinstance(value, dict):
        return {key: _held(one, name, lost) for key, one in value.items()}
    if isinstance(value, list):
        return [_held(one, name, lost) for one in value]
    if isinstance(value, float):
        if _EXACT <= abs(value) <= _WHOLE:
            return _held(int(value), name, lost)  # equal, and matched exactly
        if not survives(value):
            lost.append(value)
    elif isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
        raise InvalidInput(
            f"The metadata of row {name!r} has {value}; Qdrant holds whole numbers of 64 bits. Write it as text."
        )
    return value


def _depth(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


def survives(value: float) -> bool:
    """Tell whether Qdrant reads a float as it wrote it.

    It writes the shortest digits, and reads them as its JSON library serde_json does by default: the digits as one
    whole number, rounded to float64, then multiplied with or divided by a power of ten.
    """
    if not math.isfinite(value):
        return True
    _, digits, exponent = Decimal(repr(abs(value))).as_tuple()
    read, power = float(int("".join(map(str, digits)))), int(exponent)
    while power < -308:
        read, power = read / _POWERS[308], power + 308
    read = read * _POWERS[power] if power >= 0 else read / _POWERS[-power]
    return read == abs(value)


def metadata_of(point: Point) -> dict[str, Any]:
    """The metadata of a row; empty where something else wrote what is none."""
    fields = point.payload.get("metadata")
    if not isinstance(fields, dict):
        return {}
    text = _ours(point).get("metadata")
    if isinstance(text, str):
        try:
            exact = json.loads(text)
        except ValueError:
            return fields
        return _restored(fields, exact)  # type: ignore[no-any-return]
    return fields


def _restored(stored: Any, exact: Any) -> Any:
    """The stored value with the last digits of the exact one; another client may have changed it meanwhile."""
    if isinstance(stored, dict) and isinstance(exact, dict):
        return {key: _restored(value, exact[key]) if key in exact else value for key, value in stored.items()}
    if isinstance(stored, list) and isinstance(exact, list) and len(stored) == len(exact):
        return [_restored(one, other) for one, other in zip(stored, exact, strict=True)]
    if isinstance(stored, float) and isinstance(exact, float) and math.isclose(stored, exact, rel_tol=1e-13):
        return exact
    return stored


def _ours(point: Point) -> dict[str, Any]:
    ours = point.payload.get("samespace")
    return ours if isinstance(ours, dict) else {}


def sequence_of(point: Point) -> float:
    """The place of a row; those that something else wrote stand last."""
    number = _ours(point).get("seq")
    return number if isinstance(number, int) else math.inf


def as_block(points: Sequence[Point], dimension: int) -> Block:
    """Rows of points. One without a vector of ours gets zeros, which are no vector of any space."""
    vectors = np.zeros((len(points), dimension), np.float32)
    contents: list[str | None] = []
    tokens: list[Tokens] = []
    seals: list[bytes | None] = []
    for row, point in enumerate(points):
        content, ours = point.payload.get("content"), _ours(point)
        contents.append(content if isinstance(content, str) else None)
        tokens.append((_count(ours.get("seen")), _count(ours.get("total"))))
        seals.append(_seal(ours.get("seal")))
        if point.vector is not None and len(point.vector) == dimension:
            vectors[row] = point.vector
    return Block(
        [name_of(point) for point in points],
        contents,
        [json.dumps(metadata_of(point), ensure_ascii=False) for point in points],
        vectors,
        tokens,
        seals,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seal(value: Any) -> bytes | None:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return None
