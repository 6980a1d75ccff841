"""The model that a training starts from, opened as something that can be trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samespace.encoders.catalogue import model as catalogue_row
from samespace.encoders.names import CATALOGUE, FOLDER, HUB, parse
from samespace.encoders.places import digest_files
from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.hub import fetch
from samespace.errors import InvalidInput, NotFound
from samespace.space import Role
from samespace.training.minilm import write_minilm
from samespace.training.run import disk
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Base", "embed", "open_base", "prompt_of", "quiet", "write_model"]

_WEIGHTS = ("*.safetensors", "*.json", "*.txt", "*.model")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # as sentence-transformers looks for them


@dataclass(frozen=True)
class Base:
    """A pretrained model on the disk.

    Attributes:
        name: what the user called it.
        folder: where its files are.
        digest: of them.
        licence: as its model card says; None where it does not.
    """

    name: str
    folder: Path
    digest: str
    licence: str | None

    @property
    def note(self) -> str:
        """A sentence on the licence, for the card of what is made of this model."""
        if self.licence is None:
            return f"Made from {self.name}, whose files name no licence. Find it out before you publish this model."
        return f"Made from {self.name}, whose licence is {self.licence}. It holds for this model too."

    def load(self) -> SentenceTransformer:
        """Open it with sentence-transformers; a bare transformer gets mean pooling. No code from its folder runs.

        Raises:
            InvalidInput: it is no model that can be opened.
        """
        import torch
        from sentence_transformers import SentenceTransformer

        try:
            # What the files lack, such as a pooler that nothing reads, is made at random; the same each time.
            with quiet(), torch.random.fork_rng():
                torch.manual_seed(0)
                return SentenceTransformer(
                    str(self.folder),
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={"use_safetensors": True},
                )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise InvalidInput(f"{self.name} cannot be opened as a model to train: {error}.") from error


@contextmanager
def open_base(name: str) -> Iterator[Base]:
    """Put the model of that name into a folder; for ``minilm`` one that is gone after the body.

    Args:
        name: ``"minilm"``, a folder, or ``"hf:owner/name@revision"``.

    Raises:
        NotFound: there is no such model.
        InvalidInput: a model that cannot be trained.
        StorageError: the hub cannot be reached, and its cache does not have the model.
    """
    parsed = parse(name)
    if parsed.options:
        raise InvalidInput(f"A model to train from has no options; got {name!r}.")
    if parsed.scheme == HUB:
        folder, _ = fetch(parsed.target, parsed.revision)
    elif parsed.scheme == FOLDER:
        folder = Path(parsed.target)
        if not folder.is_dir():
            raise NotFound(f"There is no folder {name!r}.")
    elif parsed.scheme == CATALOGUE and parsed.target == "minilm":
        row = catalogue_row("minilm")
        with tempfile.TemporaryDirectory() as place:
            write_minilm(Path(place))
            yield Base(name, Path(place), str(row.space.digest), row.licence)
        return
    else:
        raise InvalidInput(f"Cannot train from {name!r}; expected minilm, a folder, or hf:owner/name.")
    if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
        raise InvalidInput(f"{folder} holds no model: expected modules.json or config.json in it.")
    within = Files(folder)
    for module in ("", *(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name != "checkpoint")):
        within.weights(module)  # refuses what is pickled
    files = [
        file
        for pattern in _WEIGHTS
        for file in folder.rglob(pattern)
        if "checkpoint" not in file.relative_to(folder).parts
    ]
    if not any(file.suffix == ".safetensors" for file in files):
        raise InvalidInput(
            f"{folder} has no weights in the format safetensors. Pickled weights can run code when they are read, "
            "so they are not; save the model with safetensors."
        )
    yield Base(name, folder, digest_files(files, folder), _licence(folder))


def _licence(folder: Path) -> str | None:
    """What the front matter of the model card says."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = card.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0]
    found = (line.partition(":")[2].strip() for line in head.splitlines() if line.startswith("license:"))
    return next(found, None) or None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing bars and reports to stderr: a library is silent."""
    from transformers.utils import logging

    reports: Any = logging  # without types
    level, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    other = getLogger("sentence_transformers")
    before = other.level
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    other.setLevel(ERROR)
    try:
        yield
    finally:
        reports.set_verbosity(level)
        if bars:
            reports.enable_progress_bar()
        other.setLevel(before)


def prompt_of(model: Any, role: Role) -> str | None:
    """The text that sentence-transformers puts before an item of that role."""
    names = ("query",) if role == "query" else _DOCUMENT_PROMPTS
    chosen = next((name for name in names if name in model.prompts), model.default_prompt_name)
    return None if chosen is None else model.prompts.get(chosen) or None


def embed(model: Any, texts: Sequence[str], role: Role, batch: int = 32) -> Matrix:
    """Encode with the model as it is now, with the prompt of the role: float32 (n, dimension)."""
    import torch

    model.eval()
    encode = model.encode_query if role == "query" else model.encode_document
    with torch.inference_mode():
        found = encode(list(texts), batch_size=batch, show_progress_bar=False, convert_to_numpy=True)
    return np.ascontiguousarray(found, np.float32)


def write_model(model: Any, into: Path) -> None:
    """Write a model of sentence-transformers into a folder.

    Raises:
        StorageFull: no space left.
        StorageError: another failure of the disk.
    """
    model.eval()
    with quiet(), disk(f"Cannot write the model into {into}; the checkpoint is kept"):
        model.save_pretrained(str(into), create_model_card=False)
