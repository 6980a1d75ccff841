"""What stands in a table's cells, as JSON has it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from samespace.errors import InvalidInput

__all__ = ["described", "json_object", "json_value"]


def json_object(line: str | bytes, place: str) -> dict[str, Any]:
    """Read a line of JSON lines.

    Args:
        line: text, or bytes in UTF-8.
        place: where it stands, for the message.

    Raises:
        InvalidInput: it is no JSON object.
    """
    try:
        row = json.loads(line.decode() if isinstance(line, bytes) else line)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place} is not UTF-8: {error.reason} at byte {error.start} of it.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{place} is not JSON: {error}.") from None
    if not isinstance(row, dict):
        raise InvalidInput(f"{place}: expected a JSON object, got {described(row)}.")
    return row


def json_value(value: Any, other: Callable[[Any], Any]) -> Any:
    """Turn a value into JSON types; None for what is missing. ``other`` is asked for what JSON has no type for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, list):
        return [json_value(member, other) for member in value]
    if isinstance(value, dict):
        return {str(key): json_value(member, other) for key, member in value.items()}
    return value if value is None or isinstance(value, str | int) else other(value)


def described(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "an empty text" if not value.strip() else "a text"
    names = {dict: "an object", list: "a list", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
