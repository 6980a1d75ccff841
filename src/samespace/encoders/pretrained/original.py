"""sentence-transformers itself, on torch: the reference, and the runtime of what nothing else can run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Progress
from samespace.encoders.batching import batches
from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.reading import Reader
from samespace.errors import EncoderError, InvalidInput, MissingExtra
from samespace.space import Role
from samespace.vectors import Matrix, Receipts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Original", "OriginalRole", "installed", "quiet"]

_BUDGET = 2048  # tokens in a batch, padding included: torch's own threads share one batch


def installed() -> bool:
    """The libraries are there."""
    return all(find_spec(name) is not None for name in ("torch", "transformers", "sentence_transformers"))


class Original:
    """A model loaded by sentence-transformers, in float32 or bfloat16.

    Args:
        files: of the model.
        name: of the model, for errors.
        truncation: numbers to keep of each vector; None: all.
        trusted: code in the folder may run.
        threads: that torch may use; None leaves torch's own setting.
        precision: ``"float32"`` or ``"bfloat16"``.

    Raises:
        MissingExtra: the libraries are not installed.
        InvalidInput: sentence-transformers refuses the model; its own words follow.
    """

    def __init__(
        self,
        files: Files,
        name: str,
        *,
        truncation: int | None = None,
        trusted: bool = False,
        threads: int | None = None,
        precision: str = "float32",
    ) -> None:
        if not installed():
            raise MissingExtra(f"The model {name!r}", "hf")
        import torch
        from sentence_transformers import SentenceTransformer

        if threads:
            torch.set_num_threads(threads)
        self.label = f"torch {version('torch')} {precision}"
        # Some weights are kept in half precision; their vectors would depend on the batch if it were used to compute.
        options = {"dtype": getattr(torch, precision), "use_safetensors": True}
        try:
            with quiet():
                self.model: SentenceTransformer = SentenceTransformer(
                    str(files.root),
                    device="cpu",
                    trust_remote_code=trusted,
                    local_files_only=True,
                    truncate_dim=truncation,
                    model_kwargs=options,
                )
        except Exception as error:
            # Whatever this library and those below it raise about files that they cannot use.
            raise InvalidInput(
                f"sentence-transformers cannot load the model {name!r} from {files.root}: {type(error).__name__}: "
                f"{next(iter(str(error).splitlines()), '')[:300]}"
            ) from error
        for module in self.model.modules():
            # Behind padding on the left, a model that counts positions gives another vector in every batch.
            tokenizer: Any = getattr(module, "tokenizer", None)
            if getattr(tokenizer, "padding_side", None) == "left":
                tokenizer.padding_side = "right"

    def module(self, task: str | None) -> Any:
        """The first module that a text goes through."""
        first: Any = self.model[0]
        return first.sub_modules[task][0] if task is not None else first

    def encode(self, texts: Sequence[str], prompt: str, role: Role) -> Matrix:
        """Encode texts without their prompt as ``encode_query`` and ``encode_document`` do, as one batch."""
        found = self.model.encode(
            list(texts), prompt=prompt, task=role, batch_size=max(1, len(texts)), show_progress_bar=False
        )
        return np.asarray(found, np.float32)


class OriginalRole:
    """Encodes texts of one role on torch, batches of similar length.

    Args:
        original: the loaded model.
        role: of the texts.
        prompt: that they carry.
        task: the route of the role, where there are several.
        parallel: tokenise on all cores.
    """

    def __init__(self, original: Original, role: Role, prompt: str, task: str | None, *, parallel: bool) -> None:
        self.label = original.label
        self._original, self._role, self._prompt = original, role, prompt
        self._lock = Lock()
        self._reader = reader_of(original.module(task), role, parallel=parallel)
        self._empty = self._reader.empty(prompt) if self._reader else set()

    def encode(self, texts: Sequence[str], progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode texts that carry their prompt; what holds nothing becomes a row of zeros."""
        if self._reader is None:
            ids, total = [[0]] * len(texts), np.array([len(text) for text in texts], np.int32)
            seen = total
        else:
            ids, total = self._reader(texts)
            seen = np.array([len(each) for each in ids], np.int32)
        parts: list[tuple[NDArray[np.intp], Matrix]] = []
        for rows in batches(seen, _BUDGET):
            part = [texts[row][len(self._prompt) :] for row in rows]
            with self._lock:
                made = self._original.encode(part, self._prompt, self._role)
            if made.ndim != 2 or len(made) != len(rows):
                raise EncoderError(
                    f"The model made an array of shape {made.shape} of {len(rows)} texts; one row each is right."
                )
            parts.append((rows, made))
            progress(len(rows))
        array = np.empty((len(texts), parts[0][1].shape[1]), np.float32)
        for rows, made in parts:
            array[rows] = made
        array[[row for row, each in enumerate(ids) if tuple(each) in self._empty]] = 0
        return array, Receipts(seen, total)

    def count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of texts that carry their prompt."""
        if self._reader is None:
            return np.array([len(text) for text in texts], np.int32)
        return self._reader(texts)[1]

    def doubled(self) -> bool:
        """The tokenizer puts the prompt in front of a text itself."""
        return self._reader is not None and self._reader.doubles(self._prompt)


def reader_of(module: Any, role: Role, *, parallel: bool) -> Reader | None:
    """The tokenizer of a loaded module, without the library around it; None if it is of another kind."""
    tokenizer = module.tokenizer
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(fast, "to_str"):
        return None
    limit = getattr(module, f"{role}_length", None) or getattr(module, "max_seq_length", None)
    special = hasattr(tokenizer, "backend_tokenizer")  # a static table is read without special tokens
    if not special and (cut := fast.truncation):
        limit = cut["max_length"]
    return Reader(
        fast.to_str(),
        int(limit) if limit is not None and limit < 10**9 else None,
        special=special,
        parallel=parallel,
        left=getattr(tokenizer, "truncation_side", "right") == "left",
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing bars and reports to stderr; what matters of them becomes an error."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
