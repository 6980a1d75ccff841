"""Writing a table of word vectors as they come, without holding them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from samespace.encoders.words.subwords import Subwords
from samespace.encoders.words.table import FORMAT, MARKER, ROWS_AT_ONCE, About, Table, digest_of
from samespace.encoders.words.vocabulary import key, write_vocabulary
from samespace.errors import InvalidInput, StorageError, StorageFull
from samespace.vectors import Matrix

__all__ = ["Block", "write_table"]

Block = tuple[Sequence[bytes], Matrix]
"""Words and their vectors, some at a time."""

# The rule by which a text becomes words, which vectors of texts depend on: encoder.py and tokens.py.
_RULE = "words 1"
_CASED = 0.001  # of the words may be capitalised in a vocabulary in lower case: strays of its tokenizer


def write_table(folder: Path, dimension: int, blocks: Iterable[Block], subwords: Subwords | None = None) -> Table:
    """Write a table beside its place and move it there whole. If another process was sooner, its table is taken.

    Args:
        folder: to write.
        dimension: of the vectors.
        blocks: words, UTF-8, and their vectors. Of a word that comes twice the first is kept.
        subwords: copied into the folder.

    Raises:
        InvalidInput: there are no words; or what ``blocks`` raises.
        StorageFull: no space left; nothing stays.
        StorageError: another failure of the disk.
    """
    draft = folder.with_name(f".{folder.name}.{uuid4().hex[:12]}")
    try:
        draft.mkdir(parents=True)
        _fill(draft, dimension, blocks, subwords)
        try:
            draft.rename(folder)
        except OSError:
            if not (folder / MARKER).is_file():
                raise
        return Table(folder)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        kind = StorageFull if error.errno == errno.ENOSPC else StorageError
        raise kind(f"Cannot write the word vectors into {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: Path, dimension: int, blocks: Iterable[Block], subwords: Subwords | None) -> None:
    keys: dict[int, None] = {}
    lengths: list[int] = []
    norms: list[NDArray[np.float32]] = []
    capitals = duplicates = 0
    names = _File(draft / "words.txt")
    numbers = _File(draft / "vectors.npy")
    with names.file, numbers.file:
        _header(numbers.file, 0, dimension)
        for words, vectors in blocks:
            before = len(keys)
            words, vectors, repeated = _new(keys, words, vectors)
            duplicates += repeated
            if len(keys) == before:
                continue
            lines = b"\n".join(words) + b"\n"
            data = np.ascontiguousarray(vectors, "<f4")
            capitals += sum(word != word.lower() for word in lines.decode().split("\n"))
            lengths.extend(map(len, words))
            norms.append(np.sqrt(np.vecdot(data, data, dtype=np.float64)).astype(np.float32))
            names.add(lines)
            numbers.add(data.tobytes())
        if not keys:
            raise InvalidInput("The file holds no word vectors.")
        numbers.file.seek(0)
        _header(numbers.file, len(keys), dimension)
    write_vocabulary(draft, lengths, list(keys))
    np.save(draft / "norms.npy", np.concatenate(norms))
    about, ngrams = _write_subwords(draft, subwords) if subwords else (None, "")
    whole = [_RULE, names.digest, numbers.digest, ngrams, json.dumps(about)]
    is_lower = capitals <= _CASED * len(keys)
    values = About(FORMAT, len(keys), dimension, digest_of("\n".join(whole).encode()), is_lower, duplicates, about)
    with (draft / MARKER).open("w", encoding="utf-8") as marker:
        json.dump(asdict(values), marker, indent=2)
        marker.flush()
        os.fsync(marker.fileno())


class _File:
    """A file, and the digest of what was added to it."""

    def __init__(self, path: Path) -> None:
        self.file: IO[bytes] = path.open("wb")
        self._digest = hashlib.sha256()

    def add(self, content: bytes) -> None:
        self.file.write(content)
        self._digest.update(content)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def _new(keys: dict[int, None], words: Sequence[bytes], vectors: Matrix) -> tuple[Sequence[bytes], Matrix, int]:
    """Words whose key is new, which is noted; their vectors; and how many were left out."""
    kept = []
    for row, word in enumerate(words):
        if (number := key(word)) not in keys:
            keys[number] = None
            kept.append(row)
    if len(kept) == len(words):
        return words, vectors, 0
    return [words[row] for row in kept], vectors[kept], len(words) - len(kept)


def _write_subwords(draft: Path, subwords: Subwords) -> tuple[dict[str, int], str]:
    ngrams = _File(draft / "ngrams.npy")
    count, dimension = subwords.vectors.shape
    with ngrams.file:
        _header(ngrams.file, count, dimension)
        for start in range(0, count, ROWS_AT_ONCE):
            ngrams.add(np.ascontiguousarray(subwords.vectors[start : start + ROWS_AT_ONCE], "<f4").tobytes())
    return {"shortest": subwords.shortest, "longest": subwords.longest}, ngrams.digest


def _header(file: IO[bytes], count: int, dimension: int) -> None:
    """NumPy leaves room in a header for the count to grow, so that it can be written again at the end."""
    about: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
    npy.write_array_header_1_0(file, about)
