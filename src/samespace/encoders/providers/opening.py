"""From a name to an encoder: the row, the URL, the options; and one request where nobody knows the dimension."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np

from samespace.encoders.names import Name
from samespace.encoders.places import cache_folder, write_note
from samespace.encoders.providers.catalogue import Model, Price, Provider, provider
from samespace.encoders.providers.checking import Witnesses, witnesses
from samespace.encoders.providers.encoder import Limits, ProviderEncoder
from samespace.encoders.providers.keys import check_url, host_variable
from samespace.encoders.providers.metering import Meter
from samespace.encoders.providers.sending import Calm, GaveUp, Patience, insist
from samespace.encoders.providers.wires import Wire, wire
from samespace.errors import InvalidInput, ProviderError
from samespace.space import Metric, Space

__all__ = ["open_provider"]

_OPTIONS = ("dimension", "url", "price", "batch", "concurrency", "timeout")
_UNKNOWN = ("metric", "max_tokens", "document", "query")  # for a model without a row
_UNKNOWN_ITEMS = 32  # texts a request where no limit is known: what Text Embeddings Inference takes by default


def open_provider(name: Name, *, max_cost: float | None) -> ProviderEncoder:
    """Open an encoder of a provider.

    Nothing is sent, but for one request to a model without a row at another URL than the provider's: it tells the
    dimension, which is remembered in the cache folder.

    Args:
        name: ``provider:model`` with options. ``dimension``: shorten the vectors. ``url``: where the interface
            is, if not at the provider. ``price``: of a million tokens. ``batch``, ``concurrency``: texts of a
            request, and requests at a time. ``timeout``: seconds for an answer. ``output``: kind of numbers,
            where there are several. For a model without a row, ``metric``, ``max_tokens`` (of a text), and
            ``document`` and ``query`` (the prompts).
        max_cost: the most that the encoder may spend.

    Raises:
        NotFound: there is no such provider.
        InvalidInput: an option cannot be used, or there is a cap and no price.
        ProviderError: the request for the dimension failed.
    """
    row = provider(name.scheme)
    model = row.model(name.target)
    name.allow(_OPTIONS + (("output",) if len(row.outputs) > 1 else ()) + (() if model else _UNKNOWN))
    place = _place(row, name.options.get("url"))
    dimension = _dimension(name, model)
    output = name.options.get("output", row.outputs[0])
    if output not in row.outputs:
        raise InvalidInput(f"output= in {str(name)!r} must be one of {', '.join(row.outputs)}, got {output!r}.")
    metric = _metric(name, model)
    price = _price(name, model)
    if max_cost is not None and price is None:
        raise InvalidInput(
            f"A cap needs a price, and none is known for {name.scheme}:{name.target}. Add the price of a million "
            "tokens to the name: ?price=0.02, or ?price=0 for a server of your own."
        )
    meter = Meter(price, max_cost, str(name))
    patience = Patience(timeout=name.option("timeout", _seconds, "a number of seconds above 0") or Patience().timeout)
    way = wire(
        provider=row,
        url=place.url,
        variables=place.variables,
        own=place.own,
        model=name.target,
        dimension=dimension if model is None or dimension != model.dimension else None,
        output=output,
    )
    unit = metric == "cosine"
    note: Path | None = None
    if dimension is None:
        if place.url == row.url:  # nothing is paid for inside of opening
            known = ", ".join(each.name for each in row.models)
            raise InvalidInput(
                f"How long the vectors of {name.scheme}:{name.target} are is not known. Add it to the name "
                f"(?dimension=1024), or take one of {known}."
            )
        note = _note(way)
        dimension, unit = _remembered(note, way, meter, patience)
    # A server at another place may serve the model of a row under its name; what has no row is called as it is there.
    called = f"{row.name}/{name.target}" if model or place.own else name.target
    space = Space(
        called if output == "float" else f"{called}/{output}",
        dimension,
        metric,
        prompts={role: name.options.get(role, "") for role in ("document", "query")},
        normalized=unit or metric == "cosine",
        tasks=row.tasks,
    )
    limits = Limits(
        min(_items(row, model), name.option("batch", _count, "a whole number above 0") or row.items),
        (model and model.tokens) or (row.tokens if model or place.own else None),
        name.option("concurrency", _count, "a whole number above 0") or row.concurrency,
    )
    max_tokens = model.max_tokens if model else name.option("max_tokens", _count, "a whole number above 0")
    return ProviderEncoder(str(name), space, way, limits, meter, max_tokens=max_tokens, patience=patience, note=note)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where requests go, and which environment variables may hold the key for there."""

    url: str
    variables: tuple[str, ...]
    own: bool


def _place(row: Provider, url: str | None) -> _Place:
    # A collection that somebody else made names its encoder, and so any URL: the keys of a provider do not go there.
    if url is not None:
        url = check_url(url, "url=")
        return _Place(url, (host_variable(url),), own=False)
    if row.url_variable and (chosen := os.environ.get(row.url_variable, "").strip()):
        return _Place(check_url(chosen, row.url_variable), row.keys, own=True)
    return _Place(row.url, row.keys, own=True)


def _dimension(name: Name, model: Model | None) -> int | None:
    asked = name.option("dimension", _count, "a whole number above 0")
    if model is None or asked is None or asked == model.dimension:
        return asked or (model.dimension if model else None)
    if asked not in model.shorter:
        those = model.shorter
        can = f"{those.start} to {those.stop}" if isinstance(those, range) else ", ".join(map(str, those))
        raise InvalidInput(
            f"{name.scheme}:{model.name} gives vectors of {model.dimension} numbers"
            f"{f', or of {can}' if those else ' and no others'}; dimension={asked} was asked for."
        )
    return asked


def _metric(name: Name, model: Model | None) -> Metric:
    if model:
        return model.metric
    asked = name.options.get("metric", "cosine")
    if asked not in ("cosine", "dot", "euclidean"):
        raise InvalidInput(f"metric= in {str(name)!r} must be cosine, dot or euclidean, got {asked!r}.")
    return asked  # type: ignore[return-value]


def _price(name: Name, model: Model | None) -> Price | None:
    asked = name.option("price", _amount, "a number, 0 or more: what a million tokens cost")
    if asked is not None:
        return Price(asked, "the encoder's name")
    return model.price if model and "url" not in name.options else None


def _items(row: Provider, model: Model | None) -> int:
    most = row.items if model else min(row.items, _UNKNOWN_ITEMS)
    return most - witnesses(most)


def _note(way: Wire) -> Path:
    """The file in which the dimension of a model without a row is remembered."""
    return cache_folder("providers", hashlib.sha256(f"{way.url}\0{way.model}".encode()).hexdigest()[:32] + ".json")


def _remembered(note: Path, way: Wire, meter: Meter, patience: Patience) -> tuple[int, bool]:
    """The dimension of the model, and whether its vectors have unit length; asked once and remembered."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text())
        if (known["url"], known["model"]) == (way.url, way.model) and type(known["dimension"]) is int:
            return known["dimension"], bool(known["unit"])
    dimension, unit = _asked(way, meter, patience)
    write_note(note, {"url": way.url, "model": way.model, "dimension": dimension, "unit": unit})
    return dimension, unit


def _asked(way: Wire, meter: Meter, patience: Patience) -> tuple[int, bool]:
    witnesses = Witnesses()

    def attempt() -> tuple[int, bool]:
        question = witnesses.ask(["one", "two"], "document")
        aside = meter.reserve(50.0, len(question.texts), sure=False)
        tokens = 0.0
        try:
            answer = way.send(question.texts, "document", patience.timeout)
            tokens = answer.tokens or 50.0
            array = witnesses.check(answer, question, "document", None)
        finally:
            meter.settle(aside, tokens, answered=tokens > 0)
        lengths = np.linalg.norm(array, axis=1)
        return array.shape[1], bool(np.abs(lengths - 1).max() < 1e-3)

    try:
        return insist(attempt, replace(patience, attempts=3), Calm(), Event())  # somebody waits for the door to open
    except GaveUp as error:
        story = error.story
    raise ProviderError(
        f"{way.provider.title} at {way.url} did not say how long the vectors of {way.model!r} are: a request with "
        f"short texts {story}. Check the URL and the model's name."
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1_000_000_000):
        raise ValueError(text)
    return int(text)


def _amount(text: str) -> float:
    amount = float(text)
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(text)
    return amount


def _seconds(text: str) -> float:
    if not _amount(text):
        raise ValueError(text)
    return float(text)
