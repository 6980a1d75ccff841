"""From bytes to text, whatever wrote them."""

from __future__ import annotations

import codecs

from samespace.errors import InvalidInput

__all__ = ["decode", "encoding_of"]

# The order matters: the mark of UTF-32 (little-endian) begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT_CONTROLS = b"\t\n\r\f\v\b\x1a\x1b"
_CONTROLS = bytes(byte for byte in range(32) if byte not in _TEXT_CONTROLS)
_MOST_CONTROLS = 0.02  # of all bytes; program output may hold a few


def encoding_of(data: bytes) -> str:
    """Name the encoding of a file, or of its beginning.

    Returns:
        The encoding that a byte order mark names; else ``"utf-8"`` if that decodes the data, or if it decodes
        most of what is not ASCII (a torn or damaged file); else ``"cp1252"``, which is a guess.

    Raises:
        InvalidInput: the data is not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data:
        raise InvalidInput("it is binary (it holds NUL bytes)")
    if len(data) - len(data.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(data):
        raise InvalidInput("it is binary (it holds many control characters)")
    try:
        data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
        damaged = text.count("\ufffd")
        intact = sum(character > "\x7f" for character in text) - damaged
        return "utf-8" if intact >= damaged else "cp1252"
    return "utf-8"


def decode(data: bytes) -> tuple[str, str]:
    """Decode a file's bytes.

    Returns:
        The text, with every line ended by a line feed, and the encoding. Bytes that are no character in that
        encoding become U+FFFD.

    Raises:
        InvalidInput: the data is not text.
    """
    encoding = encoding_of(data)
    text = data.decode(encoding, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding
