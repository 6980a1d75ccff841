"""A row as a record's id and metadata, and back.

Pinecone's metadata is flat: strings, float64 numbers, booleans, lists of strings; no null, 40 KB in all. A field that
fits stands there under its own name. Where one does not, the whole metadata stands as JSON text beside the others.

Filters never look at fields by name for equality, since kinds and missing fields are where engines differ. They look at
*tokens*, a list of texts that each row has: ``["year"]`` says that the field is there, ``["year",2024]`` that it is or
contains this value, ``["year",null,null]`` that there is a number in it. Ranges compare numbers: the field itself, or,
where it is a list or an integer that no float64 holds, four numbers that say the same (:func:`bounds`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

import orjson

from samespace.errors import InvalidInput

__all__ = [
    "ALL",
    "CONTENT",
    "CUT",
    "MOST_BYTES",
    "PREFIX",
    "SEAL",
    "SEQ",
    "TOKENS",
    "bounds",
    "fields_of",
    "is_plain_name",
    "metadata_of",
    "number_token",
    "record_id",
    "records",
    "row_id",
    "size_of",
    "token",
]

PREFIX = "samespace_"
CONTENT, METADATA, TOKENS, SEQ, SEAL = (PREFIX + name for name in ("content", "metadata", "tokens", "seq", "seal"))
SEEN, TOTAL, CUT, ID = (PREFIX + name for name in ("seen", "total", "cut", "id"))

ALL = "*"  # a token that every row has
MOST_BYTES = 40_000  # Pinecone counts 40,960 of its own encoding; the difference is room for that

_LONGEST_ID = 512
_LONGEST_TOKEN = 120
_EXACT = 2**53  # integers up to here are float64 numbers
_HASHED = "%%"  # no id begins so when it is escaped
_READABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def record_id(name: str) -> str:
    """The record's id for a row's: itself if it is plain ASCII, else escaped; a digest if that is too long."""
    if _is_readable(name):
        return name
    escaped = quote(name, safe=_READABLE)
    if len(escaped) <= _LONGEST_ID:
        return escaped
    return _HASHED + hashlib.blake2b(name.encode(), digest_size=32).hexdigest()


def row_id(record: str, metadata: Mapping[str, Any]) -> str:
    """The row's id for a record's; the record's own where something else wrote it."""
    if _is_readable(record):
        return record
    if record.startswith(_HASHED):
        name = metadata.get(ID)
        return name if isinstance(name, str) and record_id(name) == record else record
    name = unquote(record)
    return name if record_id(name) == record else record


def records(name: str) -> list[str]:
    """The ids of the records that a row of this id may have: ours, or one that something else gave as it is."""
    if _is_readable(name):
        return [name]
    as_it_is = name.isascii() and name.isprintable() and len(name) <= _LONGEST_ID
    return [record_id(name), name] if as_it_is else [record_id(name)]


@lru_cache(maxsize=1 << 14, typed=True)  # typed, since True is 1 to a dictionary
def token(field: str, *value: str | float | bool | None) -> str:
    """A field's name, and one value of it, as a text; a digest of it if that is long."""
    parts = [field, *(int(each) if isinstance(each, float) and each.is_integer() else each for each in value)]
    text = json.dumps(parts, separators=(",", ":"))
    if len(text) <= _LONGEST_TOKEN:
        return text
    return "#" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def number_token(field: str) -> str:
    """Says that there is a number in a field: two values stand where one would."""
    return token(field, None, None)


def is_plain_name(name: str) -> bool:
    """Tell whether a field can stand under its own name: Pinecone keeps ``$`` and ``_`` for itself."""
    return bool(name) and name[0] not in "$_" and not name.startswith(PREFIX) and _is_plain_text(name)


def fields_of(
    name: str, content: str | None, metadata: str, tokens: tuple[int | None, int | None], seal: bytes | None, seq: int
) -> dict[str, Any]:
    """The metadata of a row's record.

    Raises:
        InvalidInput: Pinecone cannot hold it; names the row.
    """
    fields: dict[str, Any] = json.loads(metadata)
    found: dict[str, Any] = {}
    texts = [ALL]
    is_exact = True
    for key, value in fields.items():
        elements = value if isinstance(value, list) else [value]
        scalars = [each for each in elements if not isinstance(each, dict | list)]
        numbers = [each for each in scalars if _is_number(each)]
        texts += [token(key), *(token(key, each) for each in scalars)]
        if numbers:
            texts.append(number_token(key))
        if is_plain_name(key) and _is_plain(value):
            found[key] = value
        else:
            is_exact = False
            found |= _bounds_of(name, key, numbers)
    found[TOKENS] = list(dict.fromkeys(texts))
    found[SEQ] = seq
    seen, total = tokens
    optional = {
        CONTENT: content,
        METADATA: None if is_exact else metadata,
        SEAL: None if seal is None else seal.hex(),
        SEEN: seen,
        TOTAL: total,
        CUT: True if seen is not None and total is not None and seen < total else None,
        ID: None if _is_readable(name) or not record_id(name).startswith(_HASHED) else name,
    }
    found |= {key: value for key, value in optional.items() if value is not None}
    return found


def size_of(name: str, metadata: Mapping[str, Any]) -> int:
    """Bytes of a record's metadata as JSON.

    Raises:
        InvalidInput: they are too many, or no text that UTF-8 can say; names the row.
    """
    try:
        size = len(orjson.dumps(metadata))
    except TypeError:
        raise InvalidInput(f"Row {name!r}: a text in it has half a surrogate pair, which is no Unicode.") from None
    if size > MOST_BYTES:
        raise InvalidInput(
            f"Row {name!r}: content and metadata take {size:,} bytes, and a record of Pinecone holds {MOST_BYTES:,}. "
            "Keep long contents elsewhere, or cut them into passages."
        )
    return size


def metadata_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A row's metadata from its record's."""
    text = fields.get(METADATA)
    if isinstance(text, str):
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None  # something else wrote it; what stands in the fields is left
        if isinstance(whole, dict):
            return whole
    return {key: _back(value) for key, value in fields.items() if not key.startswith(PREFIX)}


def bounds(field: str, operator: str) -> str:
    """The name of the number that stands for a field in a range: greatest or least, rounded up or down.

    For a bound ``b`` that float64 holds, some number is above ``b`` just when the greatest, rounded up, is; and so on.
    """
    return f"{PREFIX}{operator.removeprefix('$')}:{field}"


def _bounds_of(name: str, key: str, numbers: Sequence[float]) -> dict[str, float]:
    if not numbers:
        return {}
    down, up = (
        [_rounded(name, key, each, -math.inf) for each in numbers],
        [_rounded(name, key, each, math.inf) for each in numbers],
    )
    return {
        bounds(key, "$gt"): max(up),
        bounds(key, "$gte"): max(down),
        bounds(key, "$lt"): min(down),
        bounds(key, "$lte"): min(up),
    }


def _rounded(name: str, key: str, number: float, towards: float) -> float:
    try:
        near = float(number)
        if near != number and (near < number) == (towards > 0):  # Python compares the two exactly
            near = math.nextafter(near, towards)
        if math.isfinite(near):
            return near
    except OverflowError:
        pass
    raise InvalidInput(f"Row {name!r}: a number of {key!r} is beyond those that Pinecone holds, which are float64.")


def _is_readable(name: str) -> bool:
    """Tell whether an id is a record's as it is."""
    return name.isascii() and name.isprintable() and "%" not in name and len(name) <= _LONGEST_ID


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    """Tell whether Pinecone gives a value back as it is."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, str) and _is_plain_text(each) for each in value)
    if isinstance(value, str):
        return _is_plain_text(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) <= _EXACT


def _is_plain_text(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair, which JSON can say and UTF-8 cannot
    return "\0" not in text


def _back(value: Any) -> Any:
    """Numbers come back as floats; a whole one was an integer, as far as Python's equality can tell."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT else value
