"""Encoders: one room for everything that turns items into vectors of one space."""

from __future__ import annotations

from pathlib import Path

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.catalogue import MODELS, Model, model
from samespace.encoders.names import CATALOGUE, FOLDER, HUB, Name, parse
from samespace.errors import InvalidInput

__all__ = ["MODELS", "Encoder", "Model", "Progress", "encoder"]


def encoder(
    name: str,
    *,
    threads: int | None = None,
    cache: bool = True,
    trust_code: str | None = None,
    max_cost: float | None = None,
) -> Encoder:
    """Open an encoder. Cheap: weights are read when it first encodes.

    Args:
        name: of a row of :data:`MODELS` (``"minilm"``); a model on the hub (``"hf:owner/name@revision"``); a
            folder or a file (``"./my-model"``); a provider and its model (``"openai:text-embedding-3-small"``).
            Options follow as in a URL: ``"hf:bert-base-uncased?layer=-2&pooling=mean"``.
        threads: that it may use; None for all cores.
        cache: keep vectors in the user's cache, and take them from there.
        trust_code: the model's name once more, to let Python code from its repository run. Nothing else does.
        max_cost: of a provider: the most that this encoder may spend, in the currency of its prices.

    Raises:
        NotFound: there is no such model.
        InvalidInput: the name, an option or the files cannot be used.
        MissingExtra: a library is needed that is not installed.
    """
    check_limits(threads, max_cost)
    if trust_code is not None and not isinstance(trust_code, str):
        raise InvalidInput(f"trust_code must be the name of a model whose code may run, got {trust_code!r}.")
    made = _open(parse(name), threads, trust_code, max_cost)
    made._proven = False
    if cache and made.cached:
        from samespace.encoders.cache import shared_cache

        made.cache = shared_cache()
    return made


def check_limits(threads: int | None, max_cost: float | None) -> None:
    """Raise unless these can be the limits of an encoder.

    Raises:
        InvalidInput: one is not a number in its range.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InvalidInput(f"threads must be a positive int or None, got {threads!r}.")
    is_cost = isinstance(max_cost, int | float) and not isinstance(max_cost, bool) and max_cost >= 0
    if max_cost is not None and not is_cost:
        raise InvalidInput(f"max_cost must be a number, 0 or more, or None; got {max_cost!r}.")


def check_familiar(name: str) -> None:
    """Raise if opening an encoder by a name that a collection brought would turn to a stranger.

    Raises:
        InvalidInput: it names a URL on another machine that the user has set no key for, or a folder there.
    """
    parsed = parse(name)
    if parsed.scheme == FOLDER and parsed.target.startswith(("\\\\", "//")):
        raise InvalidInput(f"The collection names the encoder {name!r}, on another machine. Pass it as encoder=.")
    url = parsed.options.get("url")
    if url is None:
        return
    from samespace.encoders.providers.keys import check_url, host_variable, is_familiar

    if not is_familiar(check_url(url, "url=")):
        raise InvalidInput(
            f"The collection names the encoder {name!r}, and would send every text and query to {url}. If that is what "
            f"you want, pass encoder={name!r}, or set {host_variable(url)} to the key for there (it may be empty)."
        )


def _open(name: Name, threads: int | None, trust_code: str | None, max_cost: float | None) -> Encoder:
    if name.scheme == CATALOGUE:
        row = model(name.target)
        name.allow(())
        if row.kind == "minilm":
            from samespace.encoders.minilm import MiniLM

            return MiniLM(row, threads)
        from samespace.encoders.static import StaticEncoder

        return StaticEncoder(row, threads)
    if name.scheme == FOLDER:
        from samespace.encoders.folders import folder_kind

        if folder_kind(Path(name.target)) == "words":
            from samespace.encoders.words import open_words

            return open_words(Path(name.target), name)
    if name.scheme in (HUB, FOLDER):
        from samespace.encoders.pretrained import open_pretrained

        return open_pretrained(name, threads=threads, trust_code=trust_code)
    from samespace.encoders.providers import open_provider

    return open_provider(name, max_cost=max_cost)
