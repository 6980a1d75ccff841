"""What kind of model a folder or a file holds, told by the files in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from samespace.errors import InvalidInput, NotFound

__all__ = ["FolderKind", "folder_kind"]

FolderKind = Literal["transformer", "words"]

_TRANSFORMER = ("modules.json", "config.json", "config_sentence_transformers.json")
_WORDS = ("words.json",)


def folder_kind(path: Path) -> FolderKind:
    """Tell what can open ``path``: a file holds word vectors, and a folder what its files say.

    Raises:
        NotFound: nothing is there.
        InvalidInput: it is no model that is known; names the files that were looked for.
    """
    try:
        is_there = path.exists()
    except OSError as error:
        raise InvalidInput(f"{str(path)[:100]!r} cannot be a path: {error.strerror}.") from None
    if not is_there:
        raise NotFound(f"There is no model at {path}.")
    if path.is_file() or any((path / name).is_file() for name in _WORDS):
        return "words"
    if any((path / name).is_file() for name in _TRANSFORMER):
        return "transformer"
    raise InvalidInput(
        f"{path} holds no model: expected one of {', '.join((*_TRANSFORMER, *_WORDS))} in it. "
        "Name the folder that the model's configuration is in."
    )
