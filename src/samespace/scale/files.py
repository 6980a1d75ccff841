"""Where shards lie: files, folders and patterns here, or what a URL names in a cloud's storage."""

from __future__ import annotations

import gzip
import io
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any

from samespace.errors import InvalidInput, MissingExtra, NotFound

__all__ = ["SUFFIXES", "Shard", "find", "opened", "unpacked"]

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of rows.

    Attributes:
        path: absolute, or a URL; every worker opens it by this name.
        size: in bytes.
        modified: when it was written last, in nanoseconds; 0 where nothing says it.
    """

    path: str
    size: int
    modified: int

    @property
    def key(self) -> str:
        """What is another text when the shard is another one."""
        return f"{self.path}\n{self.size}\n{self.modified}"


def find(names: Iterable[str]) -> list[Shard]:
    """The shards of these names, each once, in the order given; those of a folder by name.

    Args:
        names: of files, folders, or patterns such as ``shards/*.parquet``; or URLs such as
            ``s3://bucket/shards``, which pyarrow opens.

    Raises:
        NotFound: there is nothing of a name, or no shard in it.
        InvalidInput: a file is no kind of shard.
        MissingExtra: a URL without pyarrow.
    """
    found = {shard.path: shard for name in names for shard in (_remote(name) if "://" in name else _local(name))}
    return list(found.values())


def _local(name: str) -> Iterator[Shard]:
    path = Path(name)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _is_shard(file.name))
    elif path.is_file():
        files = [_checked(path)]
    else:
        names = sorted(glob(name, recursive=True)) if has_magic(name) else []  # noqa: PTH207 - which takes no "/data/*"
        files = [_checked(Path(file)) for file in names]
    if not files:
        raise NotFound(f"There is no shard {name!r}: expected files ending in {', '.join(SUFFIXES)}, or their folder.")
    for file in files:
        about = file.stat()
        yield Shard(str(file.absolute()), about.st_size, about.st_mtime_ns)


def _checked(file: Path) -> Path:
    if not _is_shard(file.name):
        raise InvalidInput(f"A shard's name ends in {', '.join(SUFFIXES)}; got {str(file)!r}.")
    return file


def _is_shard(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _remote(url: str) -> Iterator[Shard]:
    system, path, scheme = _filesystem(url)
    fs = _pyarrow_fs()
    try:
        about = system.get_file_info(path)
        files = [about] if about.is_file else []
        if about.type == fs.FileType.Directory:
            files = sorted(system.get_file_info(fs.FileSelector(path, recursive=True)), key=lambda file: file.path)
            files = [file for file in files if file.is_file and _is_shard(file.base_name)]
    except OSError as error:
        raise InvalidInput(f"{url} cannot be read: {error}.") from error
    if not files:
        raise NotFound(f"There is no shard at {url}: expected files ending in {', '.join(SUFFIXES)}, or their folder.")
    for file in files:
        if not _is_shard(file.base_name):
            raise InvalidInput(f"A shard's name ends in {', '.join(SUFFIXES)}; got {url}.")
        yield Shard(f"{scheme}://{file.path}", file.size, file.mtime_ns or 0)


def _filesystem(url: str) -> tuple[Any, str, str]:
    fs = _pyarrow_fs()
    try:
        system, path = fs.FileSystem.from_uri(url)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise InvalidInput(f"{url} is not the URL of a file or folder that can be opened: {error}.") from error
    return system, path, url.partition("://")[0]


def _pyarrow_fs() -> Any:
    try:
        import pyarrow.fs
    except ImportError as error:
        raise MissingExtra("Reading shards by URL", "parquet") from error
    return pyarrow.fs


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A shard's bytes, unpacked if it is packed.

    Raises:
        NotFound: it is not here; a worker may see other folders than the machine that started it.
        InvalidInput: it cannot be read, then or later on.
    """
    with _told(path), _raw(path) as file:
        if path.lower().endswith(".gz"):
            with gzip.open(file) as content:
                yield content  # type: ignore[misc]  # a GzipFile reads as any file does
        else:
            yield file


def unpacked(path: str, most: int) -> tuple[bytes, int]:
    """The beginning of a packed shard, of up to ``most`` bytes, and how many packed ones they were.

    Raises:
        NotFound, InvalidInput: as :func:`opened`.
    """
    with _told(path), _raw(path) as file:
        packed = rest = file.read(most)
        content = b""
        while rest and len(content) < most:  # a file may be several packed ones, one after the other
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
            content += unpack.decompress(rest, most - len(content))
            rest = unpack.unused_data or unpack.unconsumed_tail
        return content, len(packed) - len(rest)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What goes wrong with a shard, in our words."""
    try:
        yield
    except FileNotFoundError as error:
        host = socket.gethostname()
        raise NotFound(f"There is no file {path!r} on {host}. Every worker must see the shards.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error


def _raw(path: str) -> Any:
    if "://" not in path:
        return Path(path).open("rb")
    system, inner, _ = _filesystem(path)
    return io.BufferedReader(system.open_input_file(inner))
