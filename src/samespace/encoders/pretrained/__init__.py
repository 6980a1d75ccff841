"""Pretrained models: any that sentence-transformers opens, from the hub or a folder, and the layers of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from samespace.encoders.base import Encoder
from samespace.encoders.names import HUB, Name
from samespace.encoders.pretrained.encoder import Pretrained
from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.layout import own_name, read_layout
from samespace.encoders.pretrained.modules import Transformer
from samespace.encoders.pretrained.original import installed
from samespace.errors import InvalidInput

__all__ = ["Pretrained", "open_pretrained"]

_OPTIONS = ("runtime", "precision", "dimension")
_RUNTIMES = ("openvino", "torch")
_PRECISIONS = {"openvino": ("bfloat16", "float32", "int8"), "torch": ("bfloat16", "float32")}


def open_pretrained(name: Name, *, threads: int | None = None, trust_code: str | None = None) -> Encoder:
    """Open a model. Its configuration is read now, and its weights when it first encodes.

    Options: ``runtime`` (``openvino`` or ``torch``), ``precision`` (``auto``, ``float32``, ``bfloat16`` or
    ``int8``), ``dimension`` (numbers to keep of each vector); or those of a hidden layer.

    Args:
        name: of a folder, or of a model on the hub with its revision.
        threads: that it may use; None for all cores.
        trust_code: the model's name, to let the code in its folder run.

    Raises:
        NotFound: there is no such model.
        InvalidInput: the model or an option cannot be used, or the model is not safe to use.
        MissingExtra: a library is needed that is not installed.
        StorageError: files are missing or torn, or the hub cannot be reached.
    """
    from samespace.encoders.pretrained import hidden

    layers = bool({"layer", "pooling", "combine"} & set(name.options))
    name.allow(hidden.OPTIONS if layers else (*_OPTIONS, *hidden.OPTIONS))
    if trust_code is not None and trust_code != name.target and name.scheme == HUB:
        raise InvalidInput(f"trust_code is {trust_code!r}, but the model is {name.target!r}; say its own name.")
    if name.scheme == HUB:
        from samespace.encoders.pretrained.hub import fetch

        folder, commit = fetch(name.target, name.revision, code=trust_code is not None, graph=not installed())
        name, model = Name(HUB, name.target, commit, name.options), name.target
        files = Files(folder)
    else:
        files = Files(Path(name.target))
        model = own_name(files)
        if trust_code not in (None, model, name.target):
            raise InvalidInput(f"trust_code is {trust_code!r}, but the model is {model!r}; say its own name.")
    trusted = trust_code is not None

    runtime = name.option("runtime", _one_of(_RUNTIMES), "openvino or torch") or "openvino"
    known = ("auto", *_PRECISIONS[runtime])
    precision = name.option("precision", _one_of(known), f"one of {', '.join(known)} on {runtime}")
    dimension = name.option("dimension", _positive, "a positive number")
    layout = read_layout(files, model, trusted=trusted, dimension=dimension)
    if layers:
        first = layout.pipelines["document"][0]
        if not isinstance(first, Transformer):
            raise InvalidInput(f"The model {model!r} is no transformer, so it has no hidden layers.")
        return hidden.open_hidden(
            name,
            files.path(first.folder),
            model=model,
            digest=layout.digest,
            prompts=layout.prompts,
            max_tokens=first.max_tokens["document"],
            threads=threads,
            trust=trusted,
        )
    return Pretrained(
        str(name),
        model,
        layout,
        runtime=runtime,
        precision=None if precision == "auto" else precision,
        threads=threads,
        trusted=trusted,
    )


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in known:
            raise ValueError(text)
        return text

    return convert


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
