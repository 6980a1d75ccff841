"""Files that are not word vectors, or not whole; words that there are not."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

from bad_encoders.case import Case
from samespace.apps.analogy import Words
from samespace.encoders import encoder
from samespace.errors import InvalidInput, NotFound
from samespace.evaluation.words import evaluate_pairs

__all__ = ["CASES"]

_GOOD = b"3 2\nking 1 0.5\nqueen 0.9 0.6\nman 0.2 -0.1\n"


def _opened(content: bytes, name: str = "vectors.txt") -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        (tmp / name).write_bytes(content)
        return encoder(str(tmp / name), cache=False)

    return act


def _asked(ask: Callable[[Words], object]) -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        (tmp / "vectors.txt").write_bytes(_GOOD)
        return ask(Words(tmp / "vectors.txt"))

    return act


def _folder_of_gensim(tmp: Path) -> object:
    (tmp / "model").mkdir()
    (tmp / "model" / "vectors.kv").write_bytes(pickle.dumps({}))
    return Words(tmp / "model")


def _pairs(tmp: Path) -> object:
    (tmp / "vectors.txt").write_bytes(_GOOD)
    (tmp / "pairs.tsv").write_text("king\tqueen\n")
    return evaluate_pairs(Words(tmp / "vectors.txt").encoder.table, tmp / "pairs.tsv")


_BINARY = b"2 3\nking " + struct.pack("<3f", 1, 2, 3) + b"\nqueen " + struct.pack("<3f", 1, 2, 4)
_OPEN = "encoder('./vectors.txt')"

CASES = [
    Case("no file", "words('./missing.vec')", lambda tmp: Words(tmp / "missing.vec"), NotFound, "There is no file"),
    Case("an empty file of words", _OPEN, _opened(b""), InvalidInput, "is empty; expected word vectors"),
    Case(
        "fewer vectors than the header says", _OPEN, _opened(b"4 2" + _GOOD[3:]), InvalidInput,
        "says that it holds 4 vectors, but holds 3. The file is torn",
    ),
    Case(
        "more vectors than the header says", _OPEN, _opened(b"2 2" + _GOOD[3:]), InvalidInput,
        "says that it holds 2 vectors, but holds 3",
    ),
    Case(
        "a torn line", _OPEN, _opened(_GOOD[:-6]), InvalidInput,
        r"line 4: expected a word and 2 numbers, got 1 after b'man'",
    ),
    Case(
        "a line of another dimension", _OPEN, _opened(b"king 1 2\nqueen 1 2 3\nman 1 2\n"), InvalidInput,
        r"line 2: expected a word and 2 numbers, got 3",
    ),
    Case(
        "two wrong lines that have the right count together", _OPEN, _opened(b"king 1 2\nqueen 1 2 3\nman 1\n"),
        InvalidInput, r"line 2: expected a word and 2 numbers, got 3",
    ),
    Case(
        "a vector with NaN", _OPEN, _opened(b"king 1 2\nqueen nan 2\n"), InvalidInput,
        r"line 2: the vector of 'queen' contains NaN",
    ),
    Case(
        "a number that is none", _OPEN, _opened(b"king 1 2\nqueen 0,5 2\n"), InvalidInput,
        r"line 2: could not convert string to float: b'0,5'",
    ),
    Case(
        "words in Latin-1", _OPEN, _opened("king 1 2\ncafé 1 2\n".encode("latin-1")), InvalidInput,
        r"line 2: the word b'caf\\xe9' is not UTF-8 \(byte 0xe9\).*iconv",
    ),
    Case("words in UTF-16", _OPEN, _opened(_GOOD.decode().encode("utf-16")), InvalidInput, "is UTF-16. Convert it"),
    Case(
        "a picture for word vectors", _OPEN, _opened(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(99)), InvalidInput,
        "is no format of word vectors. Expected word2vec's text or binary",
    ),
    Case("prose for word vectors", _OPEN, _opened(b"Once upon a time\n"), InvalidInput, "is no format of word vectors"),
    Case(
        "word vectors in a torn gzip", "encoder('./vectors.txt.gz')",
        _opened(gzip.compress(_GOOD * 9)[:-9], "vectors.txt.gz"), InvalidInput, "is packed, and cannot be unpacked",
    ),
    Case(
        "word vectors in a ZIP", "encoder('./glove.zip')", _opened(b"PK\x03\x04", "glove.zip"), InvalidInput,
        "is a ZIP archive. Unpack it",
    ),
    Case(
        "a torn binary file", "encoder('./vectors.bin')", _opened(_BINARY[:-2], "vectors.bin"), InvalidInput,
        "says that it holds 2 vectors, but ends after 1, at byte 38",
    ),
    Case(
        "a binary file that goes on", "encoder('./vectors.bin')", _opened(_BINARY + b"more", "vectors.bin"),
        InvalidInput, "goes on at byte 40, after the 2 vectors",
    ),
    Case(
        "a fastText model that is torn", "encoder('./model.bin')",
        _opened(struct.pack("<2i", 793_712_314, 12) + bytes(60), "model.bin"), InvalidInput, "The file is torn",
    ),
    Case(
        "gensim's own file, a pickle", "encoder('./vectors.kv')", _opened(pickle.dumps({}), "vectors.kv"), InvalidInput,
        r"is a pickle, which can run any code.*save_word2vec_format",
    ),
    Case(
        "a folder of gensim's", "words('./model')", _folder_of_gensim, InvalidInput, r"vectors.kv is gensim's own file",
    ),
    Case(
        "another JSON", "encoder('./vectors.json')", _opened(b'{"king": [1, 2]}', "vectors.json"), InvalidInput,
        "is JSON, but not of npm's wink-embeddings",
    ),
    Case(
        "a text without a known word", "encoder.encode_queries(['xyzzy'])",
        lambda tmp: _opened(_GOOD)(tmp).encode_queries(["xyzzy"]), InvalidInput, "Item 0 holds nothing that",
    ),
    Case(
        "a word that there is not", "words.similar('quen')", _asked(lambda words: words.similar("quen")), NotFound,
        r"The word 'quen' is not among the 3 words of .* Did you mean 'queen'\?",
    ),
    Case(
        "an analogy without signs", "words.analogy('king man woman')",
        _asked(lambda words: words.analogy("king man woman")), InvalidInput, "has no sign between its words",
    ),
    Case(
        "an analogy that ends in a sign", "words.analogy('king - man +')",
        _asked(lambda words: words.analogy("king - man +")), InvalidInput, r"no word follows '\+'",
    ),
    Case(
        "words that cancel out", "words.analogy('king - king')", _asked(lambda words: words.analogy("king - king")),
        InvalidInput, "cancel each other out",
    ),
    Case(
        "the odd one of two", "words.odd_one_out(['king', 'man'])",
        _asked(lambda words: words.odd_one_out(["king", "man"])), InvalidInput, "at least three words",
    ),
    Case(
        "pairs of words without a number", "evaluate_pairs(table, 'pairs.tsv')", _pairs, InvalidInput,
        "line 1: expected two words and a number with tabs between",
    ),
]  # fmt: skip
