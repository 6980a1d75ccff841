"""Where a run stands, on the disk: whole at any moment, whatever ends the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samespace.errors import InvalidInput, StorageError, StorageFull

__all__ = ["Checkpoint", "disk", "write_file"]


class Checkpoint:
    """Keeps where a run stands in ``into/checkpoint``, so that the same call goes on after any end of the process.

    A state is a folder, written beside its place, synced, and renamed: the newest one that is there is whole,
    whatever happened while the next was written. The one before is removed after that.

    Args:
        into: the folder that the run will end in. It is made; it must be empty, or hold a checkpoint.
        settings: JSON types. A state that was made with others is refused.

    Raises:
        InvalidInput: the folder holds something else, or a checkpoint of other settings.
    """

    def __init__(self, into: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.into = Path(into)
        self.folder = self.into / "checkpoint"
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # as it will be read back
        if "?" in str(self.into):
            raise InvalidInput(f"{str(self.into)!r} has a '?', where an encoder's options begin. Name another folder.")
        if self.into.exists() and not self.into.is_dir():
            raise InvalidInput(f"{self.into} is a file; expected the name of a folder to train into.")
        if self.into.is_dir() and not self.folder.is_dir() and any(self.into.iterdir()):
            raise InvalidInput(
                f"{self.into} is not empty and holds no checkpoint to go on from. Name a new folder, or remove it."
            )
        state = self.newest()
        kept = self.settings if state is None else json.loads((state / "settings.json").read_text(encoding="utf-8"))
        if differing := [name for name in {**kept, **self.settings} if kept.get(name) != self.settings.get(name)]:
            pairs = "; ".join(f"{name} {kept.get(name)!r}, now {self.settings.get(name)!r}" for name in differing)
            raise InvalidInput(
                f"The checkpoint in {self.into} was made with other settings: {pairs}. Go on with those, train into "
                f"another folder, or remove {self.folder} to begin anew."
            )
        with disk(f"Cannot make the folder {self.into}"):
            self.folder.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str) -> bytes | None:
        """A file of the newest state; None where there is no state."""
        state = self.newest()
        return None if state is None else (state / name).read_bytes()

    def newest(self) -> Path | None:
        """The folder of the newest state; None where there is none."""
        return max(self.folder.glob("state-*[0-9]"), default=None)

    def save(self, step: int, fill: Callable[[Path], None]) -> None:
        """Keep a state.

        Args:
            step: how far the run is; a later state has a higher one.
            fill: writes the files of the state into the folder that it is given.

        Raises:
            StorageFull: no space left; the state before is kept.
            StorageError: another failure of the disk; the state before is kept.
        """
        place, before = self.folder / f"state-{step:012}", self.newest()
        if place == before:
            return
        beside = self.folder / "new"
        shutil.rmtree(beside, ignore_errors=True)
        kept = f"{before.name} is kept" if before else "there is none before it"
        try:
            with disk(f"Cannot write the checkpoint of step {step:,} into {self.folder}; {kept}"):
                beside.mkdir()
                write_file(beside / "settings.json", json.dumps(self.settings, indent=2).encode())
                fill(beside)
                for file in beside.rglob("*"):
                    if file.is_file():
                        _sync(file)
                _sync(beside)
                beside.rename(place)
                _sync(self.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)  # what was not renamed
        for old in self.folder.glob("state-*"):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def remove(self) -> None:
        """The run is done and its folder complete."""
        gone = self.into / ".checkpoint"
        self.folder.rename(gone)  # at once: half a checkpoint must not be gone on from
        shutil.rmtree(gone, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all: beside its place, synced, renamed."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot sync a folder
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turn what the disk refuses in the body into a StorageError that begins with ``what``.

    Raises:
        StorageFull: no space left.
        StorageError: anything else.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (StorageFull if full else StorageError)(f"{what}: {error.strerror or error}.") from error
