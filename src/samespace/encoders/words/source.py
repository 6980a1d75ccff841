"""A file of word vectors as a stream of bytes: unpacked on the way, counted, and its failures told apart."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np

from samespace.encoders.words.subwords import Subwords
from samespace.encoders.words.writing import Block
from samespace.errors import InvalidInput, NotFound, StorageError
from samespace.vectors import Matrix

__all__ = ["Content", "Reading", "Source", "check", "open_source"]

Reading = Callable[[int, int], None]
"""Called now and then with the bytes of the file that have been read, and how many there are."""

_CHUNK = 8 << 20
_HEAD = 1 << 16
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


@dataclass(frozen=True, eq=False)
class Content:
    """What a reader found in a file.

    Attributes:
        dimension: of the vectors.
        blocks: words and vectors, read as they are asked for.
        subwords: that the file has.
    """

    dimension: int
    blocks: Iterator[Block]
    subwords: Subwords | None = None


class Source:
    """An open file.

    Attributes:
        path: of the file.
        packed: it is compressed, and unpacked while it is read.
        head: its first bytes, unpacked; reading does not begin after them.
    """

    def __init__(self, path: Path, file: IO[bytes], progress: Reading | None) -> None:
        self.path = path
        self._file = file
        self._progress = progress
        self._size = path.stat().st_size
        start = file.read(8)
        file.seek(0)
        unpack = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
        self.packed = unpack is not None
        self._stream: IO[bytes] = BufferedReader(unpack(file), _CHUNK) if unpack else file
        self.head = self._ahead = self._stream.read(_HEAD)

    def read(self, size: int = _CHUNK) -> bytes:
        """The next bytes: as many as asked for, fewer at the end."""
        self.report(self._file.tell(), self._size)
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        return ahead if len(ahead) == size else ahead + self._stream.read(size - len(ahead))

    def chunks(self) -> Iterator[bytes]:
        """The rest, piece by piece."""
        while chunk := self.read():
            yield chunk
        self.report(self._size, self._size)

    def report(self, done: int, total: int) -> None:
        """Tell whoever wants to know how far reading is, as a part of the file's bytes."""
        if self._progress:
            self._progress(self._size * done // max(total, 1), self._size)


@contextmanager
def open_source(path: Path, progress: Reading | None) -> Iterator[Source]:
    """Open a file, and turn what the disk and the packer say while it is read into our errors.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is packed, and the packing is torn.
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield Source(path, file, progress)
    except FileNotFoundError:
        raise NotFound(f"There is no file of word vectors {str(path)!r}.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise InvalidInput(f"{path} is packed, and cannot be unpacked: {error}. Get the file again.") from error
    except StorageError:
        raise
    except OSError as error:
        what = "is packed, and cannot be unpacked" if error.errno is None else "cannot be read"
        kind = InvalidInput if error.errno is None else StorageError
        raise kind(f"{path} {what}: {error.strerror or error}. Get the file again.") from error


def check(source: Source, words: Sequence[bytes], vectors: Matrix, place: Callable[[int], str]) -> None:
    """Raise unless words are UTF-8 and vectors finite.

    Args:
        source: that they come from.
        words: of a block.
        vectors: of the words.
        place: says where a word of the block stands, such as ``"line 12"``.

    Raises:
        InvalidInput: naming the place.
    """
    try:
        b"\n".join(words).decode()
    except UnicodeDecodeError:
        for row, word in enumerate(words):
            try:
                word.decode()
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"{source.path}, {place(row)}: the word {word[:40]!r} is not UTF-8 (byte "
                    f"0x{word[error.start]:02x}). Convert the file first, for example: iconv -f latin1 -t utf-8."
                ) from None
    if any(b"\n" in word for word in words):
        row = next(row for row, word in enumerate(words) if b"\n" in word)
        raise InvalidInput(f"{source.path}, {place(row)}: the word {words[row][:40]!r} has a line break in it.")
    if not np.isfinite(vectors).all():
        row = int((~np.isfinite(vectors)).any(axis=1).argmax())
        what = "NaN" if np.isnan(vectors[row]).any() else "infinity"
        raise InvalidInput(
            f"{source.path}, {place(row)}: the vector of {words[row].decode()!r} contains {what}. Leave the word out."
        )
