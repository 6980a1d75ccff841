"""Where rows are kept: a folder, or a server by its URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module

from samespace.errors import InvalidInput, MissingExtra
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.base import Store

__all__ = ["STORES", "Kind", "connect", "is_url"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store.

    Attributes:
        module: below this package, with a function ``connect``.
        extra: of samespace, that brings its client.
        example: of a URL.
    """

    module: str
    extra: str
    example: str


STORES = {
    "postgresql": Kind("postgres", "postgres", "postgresql://user@host/database?collection=notes"),
    "qdrant": Kind("qdrant", "qdrant", "qdrant://host:6333/notes"),
    "qdrant-local": Kind("qdrant", "qdrant", "qdrant-local:folder?collection=notes"),
    "qdrant-edge": Kind("qdrant_edge", "qdrant-edge", "qdrant-edge:folder"),
    "weaviate": Kind("weaviate", "weaviate", "weaviate://host:8080/Notes"),
    "pinecone": Kind("pinecone", "pinecone", "pinecone://index?namespace=notes"),
}

_ALIASES = {"postgres": "postgresql"}  # as hosted databases spell it

# A drive's letter is not a scheme.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)


def is_url(place: str) -> bool:
    """Tell whether a text is a store's URL rather than a path.

    Raises:
        InvalidInput: it is a URL of something else.
    """
    found = _URL.match(place)
    if found is None:
        return False
    if _ALIASES.get(found[1], found[1]) in STORES:
        return True
    if place[found.end() :].startswith("//"):
        examples = ", ".join(kind.example for kind in STORES.values())
        raise InvalidInput(f"There is no store {found[1]!r}. A collection is a folder's path, or one of {examples}.")
    return False


def connect(url: str, space: Space | None = None, *, encoder: str | None = None, timeout: float = 30.0) -> Store:
    """Open the collection at a URL, or make it where ``space`` is given.

    Args:
        url: of a kind in :data:`STORES`.
        space: makes the collection with this space where there is none. What is there is opened as it is; comparing
            the spaces is up to the caller.
        encoder: name of the encoder that makes the vectors, kept for whoever opens the collection next.
        timeout: seconds to wait for an answer.

    Raises:
        NotFound: there is no collection, and no ``space`` to make one with.
        MissingExtra: the client is not installed.
        StorageError: see :class:`~samespace.stores.base.Store`.
    """
    address = Address.parse(url)
    kind = STORES[_ALIASES.get(address.scheme, address.scheme)]
    try:
        module = import_module(f"samespace.stores.{kind.module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("samespace"):
            raise
        raise MissingExtra(f"The store {address.scheme!r}", kind.extra) from None
    store: Store = module.connect(address, space, encoder=encoder, timeout=timeout)
    return store
