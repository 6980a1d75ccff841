"""The formats of word vectors, each told by the first bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from samespace.encoders.words.binary import read_binary
from samespace.encoders.words.fasttext import MAGIC, read_fasttext
from samespace.encoders.words.source import Content, Source
from samespace.encoders.words.text import header, is_number, read_text
from samespace.encoders.words.wink import read_wink
from samespace.errors import InvalidInput

__all__ = ["FORMATS", "Format", "format_of"]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: for people.
        is_it: tells by the first bytes.
        read: reads a source; at most as many vectors as asked for.
    """

    name: str
    is_it: Callable[[bytes], bool]
    read: Callable[[Source, int | None], Content]


def _is_headed_text(head: bytes) -> bool:
    # Bytes of float32 are no numbers in text; a damaged line of text still has many.
    return header(head) is not None and _share_of_numbers(head.split(b"\n", 2)[1]) > 0.5


def _is_bare_text(head: bytes) -> bool:
    return _share_of_numbers(head.partition(b"\n")[0]) > 0.5


def _share_of_numbers(line: bytes) -> float:
    fields = line.split()[1:]
    return sum(map(is_number, fields)) / len(fields) if fields else 0.0


# The first row that fits is taken.
FORMATS = (
    Format("fastText's model", lambda head: head.startswith(MAGIC), read_fasttext),
    Format("wink's JSON", lambda head: head.lstrip().startswith(b"{"), read_wink),
    Format("word2vec's text", _is_headed_text, read_text),
    Format("word2vec's binary", lambda head: header(head) is not None, read_binary),
    Format("GloVe's text", _is_bare_text, read_text),
)

_PICKLE = (
    "is a pickle, which can run any code when it is opened, so it is not. In gensim, export the vectors: "
    "KeyedVectors.load(path).save_word2vec_format('vectors.bin', binary=True)"
)
_NOT: tuple[tuple[bytes, str], ...] = (
    *((b"\x80" + bytes([protocol]), _PICKLE) for protocol in (2, 3, 4, 5)),
    (b"PK\x03\x04", "is a ZIP archive. Unpack it, and name the file of vectors in it"),
    (b"\x93NUMPY", "is an array without its words. In gensim, export both: save_word2vec_format('vectors.bin')"),
    (b"\xff\xfe", "is UTF-16. Convert it first: iconv -f utf-16 -t utf-8"),
    (b"\xfe\xff", "is UTF-16. Convert it first: iconv -f utf-16 -t utf-8"),
)


def format_of(source: Source) -> Format:
    """Tell the format of a file.

    Raises:
        InvalidInput: it is in none of them; says what it is, if that is known, and what to do.
    """
    head = source.head
    if not head.strip():
        raise InvalidInput(f"{source.path} is empty; expected word vectors.")
    for magic, what in _NOT:
        if head.startswith(magic):
            raise InvalidInput(f"{source.path} {what}.")
    for each in FORMATS:
        if each.is_it(head):
            return each
    raise InvalidInput(
        f"{source.path} begins with {head[:24]!r}, which is no format of word vectors. Expected word2vec's text or "
        "binary, GloVe's or fastText's text, fastText's .bin, or wink's JSON."
    )
