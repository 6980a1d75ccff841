"""Rows of a shard."""

from __future__ import annotations

__all__ = ["WORDS", "row"]

WORDS = ("cat", "dog", "otter", "boiler", "ticket", "euro", "forest", "moon", "gzip", "unpack")


def row(number):
    """A row as a shard has it; its text stands in no other row."""
    text = " ".join(WORDS[int(digit)] for digit in f"{number:05}")
    return {"id": f"row-{number}", "text": f"{text} {number}", "year": 2000 + number % 20, "tags": ["a", str(number)]}
