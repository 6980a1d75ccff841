"""Opening a collection, or making it: the address, the key, the index, and what stands in the namespace."""

from __future__ import annotations

import json
import os
import re
import time

from pinecone import Pinecone, ServerlessSpec
from pinecone.errors.exceptions import ConflictError, NotFoundError
from pinecone.models.indexes.deployment import PodDeployment
from pinecone.models.indexes.index import IndexModel

from samespace.errors import (
    AccessDenied,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SpaceMismatch,
    StoreUnavailable,
    Unsupported,
)
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.pinecone.failures import Failures
from samespace.stores.pinecone.namespace import Namespace, Workers
from samespace.stores.pinecone.notes import Notes
from samespace.stores.pinecone.store import METRICS, PineconeStore, Place, close

__all__ = ["connect"]

FORMAT = 1

_KEY = "PINECONE_API_KEY"
_NOTES = ".samespace"
_MOST_DIMENSIONS = 20_000
_INDEX = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_NAMESPACE = re.compile(r"[!-~]{1,500}")
_ATTEMPTS = 4  # that the SDK makes of a request; the timeout is for all of them


def connect(address: Address, space: Space | None, *, encoder: str | None, timeout: float) -> PineconeStore:
    """Open the collection at ``pinecone://index?namespace=notes``, or make it where ``space`` is given.

    Args:
        address: with the options ``namespace`` (by default Pinecone's ``__default__``), ``cloud`` and ``region``, where
            an index may be made that is not there, and ``host``, of the control plane (by default
            ``PINECONE_CONTROLLER_HOST``, or Pinecone's own).
        space: makes the collection where there is none.
        encoder: name of the encoder that makes the vectors, kept for whoever opens the collection next.
        timeout: seconds to wait for an answer, and for a write to be shown.

    Raises:
        NotFound: no such index or collection, and nothing that allows to make it.
        SpaceMismatch: the index is of another dimension or metric.
        InvalidInput: the namespace has records and is not a collection of samespace.
        StorageError: see :class:`~samespace.stores.base.Store`.
    """
    _check(address)
    namespace = address.take("namespace", str, "__default__")
    _check_namespace(address, namespace)
    key = os.environ.get(_KEY, "").strip()
    if not key:
        raise AccessDenied(f"{address}: Pinecone needs a key. Put it into the environment variable {_KEY}.")
    failures = Failures(str(address), key)
    control = address.take("host", str, os.environ.get("PINECONE_CONTROLLER_HOST", ""))
    with failures:
        client = Pinecone(api_key=key, host=control or None, timeout=max(timeout, 0.5) / _ATTEMPTS)
    try:
        with failures:
            model = _index(client, address, space, timeout)
        host = model.host or ""
        if control.startswith("http://"):  # a simulator names its host without a scheme, which the SDK takes for https
            host = host.replace("https://", "http://", 1)
        place = _place(client, address.host, model, host, namespace, failures, timeout)
    except BaseException:
        client.close()
        raise
    try:
        kept, name = _opened(place, address, space, encoder, model)
    except BaseException:
        close(place)
        raise
    return PineconeStore(str(address), kept, name, place)


def _check(address: Address) -> None:
    if address.user is not None or address.password is not None:  # first, since other messages show a user
        raise InvalidInput(f"A key does not belong into a URL. Put it into the environment variable {_KEY}.")
    address.only("namespace", "cloud", "region", "host")
    if address.path or address.port is not None or not _INDEX.fullmatch(address.host):
        raise InvalidInput(
            f"{address}: expected pinecone://index?namespace=notes, where an index's name has 1 to 45 small letters, "
            "digits and hyphens."
        )
    if ("cloud" in address.options) != ("region" in address.options):
        raise InvalidInput(f"{address}: cloud= and region= say together where to make an index; one is missing.")


def _check_namespace(address: Address, namespace: str) -> None:
    if not _NAMESPACE.fullmatch(namespace) or namespace.endswith(_NOTES):
        raise InvalidInput(
            f"{address}: a namespace has 1 to 500 printable ASCII characters, without spaces, and does not end in "
            f"{_NOTES!r}, which is where collections keep their notes."
        )


def _index(client: Pinecone, address: Address, space: Space | None, timeout: float) -> IndexModel:
    """The index, made if it is not there and may be, and ready."""
    try:
        model = client.indexes.describe(address.host)
    except NotFoundError:
        if space is None or "cloud" not in address.options:
            raise NotFound(
                f"There is no index {address.host!r} in this project of Pinecone. Make it in the console, or say where "
                "to: add &cloud=aws&region=us-east-1 to the URL. It costs what Pinecone asks for it."
            ) from None
        model = _made(client, address, space)
    end = time.monotonic() + timeout
    while not (model.status.ready and model.host):
        if time.monotonic() > end:
            raise StoreUnavailable(
                f"The index {address.host!r} is not ready after {timeout:g} seconds ({model.status.state}). Try again."
            )
        time.sleep(0.5)
        model = client.indexes.describe(address.host)
    return model


def _made(client: Pinecone, address: Address, space: Space) -> IndexModel:
    if space.dimension > _MOST_DIMENSIONS:
        raise InvalidInput(
            f"Pinecone holds vectors of at most {_MOST_DIMENSIONS:,} numbers, and {space} has {space.dimension:,}. "
            "Use another store."
        )
    try:
        return client.indexes.create(
            name=address.host,
            dimension=space.dimension,
            metric=METRICS[space.metric][0],
            spec=ServerlessSpec(cloud=address.options["cloud"], region=address.options["region"]),
            timeout=-1,
        )
    except ConflictError:  # somebody else made it meanwhile
        return client.indexes.describe(address.host)


def _place(
    client: Pinecone, name: str, model: IndexModel, host: str, namespace: str, failures: Failures, timeout: float
) -> Place:
    if isinstance(model.deployment, PodDeployment):
        raise Unsupported(f"The index {name!r} runs on pods, which list and fetch otherwise. Use a serverless index.")
    try:
        dimension = model.dimension
    except AttributeError:
        dimension = None
    if dimension is None:
        raise InvalidInput(f"The index {name!r} does not hold dense vectors alone. Make one that does.")
    with failures:
        index = client.index(host=host)
    workers = Workers()
    rows, notes = (
        Namespace(index, each, dimension, failures, workers, timeout) for each in (namespace, namespace + _NOTES)
    )
    return Place(client, index, name, rows, Notes(notes, dimension), workers)


def _opened(
    place: Place, address: Address, space: Space | None, encoder: str | None, model: IndexModel
) -> tuple[Space, str | None]:
    """The space and the encoder's name of what stands in the namespace, made if there is nothing."""
    head = place.notes.head("space")
    if head is None:
        if count := place.rows.describe().record_count:
            raise InvalidInput(
                f"{address} is not a collection of samespace: its namespace has {count:,} records that something else "
                "wrote. Choose another namespace."
            )
        if space is None:
            raise NotFound(f"There is no collection at {address}.")
        _check_fits(address, space, model)
        kept: dict[str, str | int] = {"samespace_format": FORMAT}
        if encoder is not None:
            kept["samespace_encoder"] = encoder
        place.notes.keep("space", space.canonical.encode(), replace=False, fields=kept)
        head = place.notes.head("space")
    if head is None:
        raise StoreUnavailable(f"{address} was made, and is gone again. Did somebody else drop it? Try again.")
    written = head.fields.get("samespace_format")
    if not isinstance(written, int | float) or written > FORMAT:
        raise CollectionCorrupt(
            f"{address} has the format {written}, and this samespace knows {FORMAT}. Upgrade samespace."
        )
    try:
        found = Space.from_dict(json.loads(place.notes.whole("space", head)))
    except (InvalidInput, ValueError) as error:
        raise CollectionCorrupt(f"{address} has no readable space record ({error}).") from error
    if found.dimension != model.dimension:
        raise CollectionCorrupt(
            f"{address} was made for {found}, and its index now has dimension {model.dimension}. The index was made "
            "anew; load the rows into a collection of its own."
        )
    name = head.fields.get("samespace_encoder")
    return found, name if isinstance(name, str) else None


def _check_fits(address: Address, space: Space, model: IndexModel) -> None:
    metrics = METRICS[space.metric]
    if model.dimension != space.dimension or model.metric not in metrics:
        raise SpaceMismatch(
            f"{address}: the index has dimension {model.dimension} and the metric {model.metric}, and {space} needs "
            f"dimension {space.dimension} and {' or '.join(metrics)}. Make an index of its own for this space; one "
            "index holds any number of collections that fit it, as namespaces."
        )
