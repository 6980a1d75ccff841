"""What a word is, in any text: a run of letters, marks and digits."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = ["compounds", "parts"]

_JOINTS = "['_-]"
_ASCII = re.compile(rf"[A-Za-z0-9]+(?:{_JOINTS}[A-Za-z0-9]+)*")  # what the whole rule comes to, at twice the pace


def compounds(text: str) -> list[str]:
    """Split a text into words. Those that an apostrophe, a hyphen or an underscore joins stay together.

    >>> compounds("Don't stop: New_York's twenty-two!")
    ["Don't", 'stop', "New_York's", 'twenty-two']
    """
    if text.isascii():
        return _ASCII.findall(text)
    return _compound().findall(unicodedata.normalize("NFC", text).replace("’", "'"))


def parts(compound: str) -> list[str]:
    """Split a compound at what joins it.

    >>> parts("New_York's")
    ['New', 'York', 's']
    """
    return re.split(_JOINTS, compound)


@cache
def _compound() -> re.Pattern[str]:
    # Python's \w leaves out the marks that follow a letter, without which Hindi or Thai falls to pieces.
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if unicodedata.category(mark)[0] == "M")
    word = rf"[^\W_]+(?:[{marks}]+[^\W_]*)*"
    return re.compile(rf"{word}(?:{_JOINTS}{word})*")
