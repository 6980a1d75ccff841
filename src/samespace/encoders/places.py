"""Where things are kept that can be made again, and what files are by their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "digest_files", "write_note"]

_CHUNK = 1 << 20
_SETTLED = 2_000_000_000  # nanoseconds; the coarsest file system keeps times by two seconds


def cache_folder(*parts: str) -> Path:
    """The folder where this platform keeps what can be made again; ``SAMESPACE_CACHE`` overrides it.

    Args:
        parts: of a path below it. Nothing is made.
    """
    return _root().joinpath(*parts)


def _root() -> Path:
    if chosen := os.environ.get("SAMESPACE_CACHE"):
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:  # a process without a user, as in some containers
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "samespace" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "samespace"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "samespace"


def digest_files(files: Iterable[Path], folder: Path) -> str:
    """Digest of the content of files and of their paths below ``folder``.

    A digest is remembered for a file's path, size and time of change, so that gigabytes of weights are read
    once and not at every opening.

    Returns:
        ``"sha256:…"``, the same on every machine and in every folder.
    """
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.relative_to(folder).as_posix()}\0{_digest(file)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _digest(file: Path) -> str:
    status = file.stat()
    state = f"{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
    note = cache_folder("digests", hashlib.sha256(state.encode()).hexdigest()[:32])
    try:
        known = json.loads(note.read_text())
        if known["state"] == state:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            content.update(chunk)
    # A file that was changed just now may change again without its time telling so.
    if time.time_ns() - status.st_mtime_ns > _SETTLED and file.stat().st_mtime_ns == status.st_mtime_ns:
        write_note(note, {"state": state, "sha256": content.hexdigest()})
    return content.hexdigest()


def write_note(note: Path, content: Mapping[str, Any]) -> None:
    """Write a note below the cache folder, whole or not at all; where there is no place for it, there is none."""
    draft = note.with_name(f"{note.name}.{os.getpid()}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content))
        draft.replace(note)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
