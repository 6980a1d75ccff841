"""Folders and files to passages, file by file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.sources.base import CountTokens, Document, Passage, passage_id
from samespace.sources.chunk import chunk
from samespace.sources.decoding import decode
from samespace.sources.kinds import kind_of
from samespace.sources.plain import read_paragraphs

__all__ = ["SourceFile", "file_digest", "find_files", "gone", "passages_of", "read_files", "read_stream"]

_MOST_BYTES = 64 * 2**20  # text needs several times its size in memory while it is cut

_PASSED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"  # a folder that holds it is one

Skip = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was found.

    Args:
        path: where it is.
        name: the path as metadata keeps it: the root as it was given and the way from there, with ``/``.
    """

    path: Path
    name: str


def read_files(
    paths: Sequence[Path],
    *,
    count_tokens: CountTokens | None,
    max_tokens: int | None,
    on_skip: Skip,
    unchanged: Callable[[str, str], bool] | None = None,
    on_seen: Callable[[str], None] | None = None,
) -> Iterator[Passage]:
    """Read files, and folders with all that is in them, as passages that an encoder reads whole.

    Args:
        paths: files and folders. See :func:`find_files` for what is passed over in a folder.
        count_tokens: the encoder's own count.
        max_tokens: what the encoder reads of a text; None for no limit.
        on_skip: called with each file that could not be read, and the reason as a clause.
        unchanged: called with a file's name (the ``path`` of its passages) and its digest; where it answers
            True the file is not read further and gives no passages.
        on_seen: called with the name of every file that is there, read or not, and of every folder that
            could not be read: what :func:`gone` needs.

    Returns:
        Passages file by file, in sorted order. One file is in memory at a time.

    Raises:
        NotFound: at once, if one of ``paths`` does not exist.
        MissingExtra: a file named in ``paths`` needs a package that is not installed. (Within a folder such
            a file is skipped with that reason.)
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        _require(path)
    return _read_files(paths, count_tokens, max_tokens, on_skip, unchanged, on_seen)


def _read_files(
    paths: Sequence[Path],
    count_tokens: CountTokens | None,
    max_tokens: int | None,
    on_skip: Skip,
    unchanged: Callable[[str, str], bool] | None,
    on_seen: Callable[[str], None] | None,
) -> Iterator[Passage]:
    def skip(path: Path, reason: str) -> None:
        if on_seen is not None:
            on_seen(path.as_posix())
        on_skip(path, reason)

    for file in find_files(paths, on_skip=skip):
        if on_seen is not None:
            on_seen(file.name)
        try:
            data = _read_bytes(file.path)
            digest = _digest(data)
            if unchanged is not None and unchanged(file.name, digest):
                continue
            document, encoding = kind_of(file.path).read(data)
        except MissingExtra as error:
            if file.path in paths:
                raise
            skip(file.path, str(error))
            continue
        except (InvalidInput, OSError) as error:
            skip(file.path, _reason(error))
            continue
        facts: dict[str, Any] = {"path": file.name, "digest": digest}
        if encoding == "cp1252":  # a guess, which the reader of a garbled passage wants to know
            facts["encoding"] = encoding
        yield from passages_of(document, facts, count_tokens=count_tokens, max_tokens=max_tokens)


def read_stream(
    stream: IO[bytes], *, name: str = "<stdin>", count_tokens: CountTokens | None, max_tokens: int | None
) -> Iterator[Passage]:
    """Read an open stream, such as ``sys.stdin.buffer``, to its end as one plain text.

    Args:
        stream: of bytes, in any encoding that a file may have.
        name: the ``path`` of its passages.
        count_tokens: the encoder's own count.
        max_tokens: what the encoder reads of a text; None for no limit.

    Raises:
        InvalidInput: what came is not text.
    """
    data = stream.read()
    try:
        text, _ = decode(data)
    except InvalidInput as error:
        raise InvalidInput(f"{name} cannot be read: {error}.") from error
    facts = {"path": name, "digest": _digest(data)}
    yield from passages_of(read_paragraphs(text), facts, count_tokens=count_tokens, max_tokens=max_tokens)


def passages_of(
    document: Document,
    facts: dict[str, Any],
    *,
    count_tokens: CountTokens | None,
    max_tokens: int | None,
) -> Iterator[Passage]:
    """Cut one document into passages.

    Args:
        document: what a reader made of a file.
        facts: metadata that all its passages have; ``path`` is what their ids begin with.
        count_tokens: the encoder's own count.
        max_tokens: what the encoder reads of a text; None for no limit.
    """
    occurrences: Counter[str] = Counter()
    if document.title:
        facts = {**facts, "title": document.title}
    for part in chunk(document.blocks, count_tokens=count_tokens, max_tokens=max_tokens):
        occurrences[part.text] += 1
        metadata = {**facts, "line": part.line, "end_line": part.end_line}
        if part.headings:
            metadata["heading"] = " > ".join(part.headings)
        if part.page is not None:
            metadata["page"] = part.page
        yield Passage(passage_id(facts["path"], part.text, occurrences[part.text]), part.text, metadata)


def find_files(paths: Sequence[Path], *, on_skip: Skip) -> Iterator[SourceFile]:
    """Find the files of ``paths``: files as named, folders in sorted order, each file once.

    In a folder these are passed over: what is hidden (``.git``, ``.venv``), ``__pycache__``,
    ``node_modules``, ``site-packages``, virtual environments, and collections of samespace. Links to files
    are followed. Links to folders are not, so that a loop cannot hold anyone; they are reported.

    Raises:
        NotFound: one of ``paths`` does not exist.
    """
    seen: set[str] = set()
    for root in paths:
        _require(root)
        for path in _walk(root, on_skip) if root.is_dir() else [root]:
            place = os.path.normcase(os.path.abspath(path))  # noqa: PTH100  (a link keeps its own name)
            if place not in seen:
                seen.add(place)
                yield SourceFile(path, path.as_posix())


def gone(stored: Iterable[str], paths: Sequence[Path], seen: Collection[str]) -> list[str]:
    """Find the files that were read once and are there no more.

    Args:
        stored: the ``path`` of passages that are kept from earlier runs.
        paths: what :func:`read_files` was given this time. A stored file outside of them is not judged.
        seen: every name that ``on_seen`` was called with.

    Returns:
        Those of ``stored`` that lie under ``paths``, and were neither seen nor lie in a folder that was seen
        but could not be read; sorted, each once.
    """
    roots = [Path(path).as_posix() for path in paths]
    return sorted(
        name
        for name in set(stored)
        if any(_lies_under(root, name) for root in roots)
        and not any(place.as_posix() in seen for place in (PurePosixPath(name), *PurePosixPath(name).parents))
    )


def _lies_under(root: str, name: str) -> bool:
    if root == ".":
        return not (name.startswith("../") or PurePath(name).is_absolute())
    return name == root or (
        name.startswith(root.rstrip("/") + "/") and not name[len(root) :].lstrip("/").startswith("../")
    )


def file_digest(path: Path) -> str:
    """Digest a file's bytes: the first 32 hexadecimal digits of their SHA-256.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _walk(folder: Path, on_skip: Skip) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        on_skip(folder, _reason(error))
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if not _passed_over(path):
                    yield from _walk(path, on_skip)
            elif entry.is_dir():
                on_skip(path, "it is a link to a folder; name the folder itself to index it")
            elif entry.is_file():
                yield path
            else:
                on_skip(path, "it is a link that leads nowhere" if entry.is_symlink() else "it is not a file")
        except OSError as error:
            on_skip(path, _reason(error))


def _passed_over(folder: Path) -> bool:
    return (
        folder.name in _PASSED_FOLDERS
        or folder.suffix == ".ss"
        or (folder / _VIRTUAL_ENVIRONMENT).is_file()
        or _is_collection(folder)
    )


def _is_collection(folder: Path) -> bool:
    """Tell whether it is one of ours, under whatever name: SQLite keeps the application's mark at byte 68."""
    try:
        with (folder / "catalog.sqlite").open("rb") as file:
            return file.read(72)[68:] == b"same"
    except OSError:
        return False


def _require(path: Path) -> None:
    if not os.path.lexists(path):
        raise NotFound(f"There is no file or folder {str(path)!r}.")


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidInput("it is not a file")  # a pipe or a device could keep us waiting for ever
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise InvalidInput(f"it has {size / 2**20:,.0f} MiB; a file may have {_MOST_BYTES // 2**20}. Split it")
    return path.read_bytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror or error})"
    return str(error)
