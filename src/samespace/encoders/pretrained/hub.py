"""Models on the hub: a name and a revision become a folder, and the revision a commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from samespace.errors import InvalidInput, MissingExtra, NotFound, StorageError

__all__ = ["fetch"]

# Configuration, tokenizer and weights. No pickles and, unless it is trusted, no code.
_WANTED = ("*.json", "*.txt", "*.model", "*.jinja", "README.md", "model*.safetensors", "*/model*.safetensors")
_UNWANTED = ("onnx/*", "openvino/*", "*.py")


def fetch(model: str, revision: str | None, *, code: bool = False, graph: bool = False) -> tuple[Path, str]:
    """Bring a model's files into the hub's cache on this machine, those that are not there.

    Without a network, or with ``HF_HUB_OFFLINE=1``, what the cache has is used.

    Args:
        model: ``"owner/name"``.
        revision: a branch, a tag or a commit; None for the main branch.
        code: fetch Python files too.
        graph: fetch the ONNX file too, which needs no torch to be run.

    Returns:
        The folder, and the commit that the revision stands for.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        NotFound: there is no such model or revision, or one may not read it.
        StorageError: the hub cannot be reached, and the cache does not have the model.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingExtra("A model on the hub", "hf") from error
    wanted = [*_WANTED, *(["*.py"] if code else []), *(["onnx/model.onnx"] if graph else [])]
    unwanted = [p for p in _UNWANTED if not (code and p == "*.py") and not (graph and p == "onnx/*")]
    at = f"{model}@{revision}" if revision else model
    try:
        folder = Path(
            snapshot_download(
                model, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted, tqdm_class=_silent()
            )
        )
    except GatedRepoError as error:
        raise NotFound(f"The model {at!r} is gated: accept its terms on the hub, then set HF_TOKEN.") from error
    except RepositoryNotFoundError as error:
        raise NotFound(f"The hub has no model {model!r}, or it is private; then set HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise NotFound(f"The model {model!r} has no revision {revision!r}. Look it up on the hub.") from error
    except HFValidationError as error:
        raise InvalidInput(f"{model!r} cannot be the name of a model on the hub: {error}") from error
    except LocalEntryNotFoundError as error:
        raise StorageError(
            f"The hub cannot be reached, and its cache on this machine does not have all of {at!r}: {_first(error)}"
        ) from error
    except OSError as error:
        raise StorageError(f"Cannot fetch {at!r}: {_first(error)}") from error
    except Exception as error:
        # The transport's errors are those of a library that the hub's own has changed more than once.
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "hf_xet"):
            raise StorageError(f"Cannot fetch {at!r}: {_first(error)}") from error
        raise
    if not re.fullmatch(r"[0-9a-f]{40}", folder.name):
        raise StorageError(f"The hub's cache has {at!r} in {folder}, whose name is no commit. Remove it.")
    return folder, folder.name


def _silent() -> Any:
    """A progress bar that shows nothing."""
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})  # type: ignore[no-untyped-call]

    return Silent


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
