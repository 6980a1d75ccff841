"""Where rows are kept: a folder, or a server by its URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from samespace.errors import InvalidInput, MissingExtra
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.base import Store

__all__ = ["STORES", "Kind", "connect", "is_url", "shown"]


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

    @property
    def has_host(self) -> bool:
        """It is a server; else a folder follows the scheme."""
        return "://" in self.example

    @property
    def has_users(self) -> bool:
        """The URL can name a user."""
        return "@" in self.example


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
_URL = re.compile(r"\s*([a-z][a-z0-9+.-]+):(/{0,2})", re.IGNORECASE)


def is_url(place: str | Path) -> bool:
    """Tell whether it is a store's URL rather than a path.

    Raises:
        InvalidInput: it is a URL of something else, or one that was made a ``Path``, which has lost a slash by that.
    """
    found = _URL.match(str(place))
    if found is None:
        return False
    scheme = found[1].lower()
    is_known, is_path = _ALIASES.get(scheme, scheme) in STORES, isinstance(place, Path)
    if is_path and (is_known or found[2]):
        raise InvalidInput(f"A URL such as {scheme}:… must be a str; a Path changes it.")
    if not is_known and found[2] == "//":
        examples = ", ".join(kind.example for kind in STORES.values())
        raise InvalidInput(f"There is no store {scheme!r}. A collection is a folder's path, or one of {examples}.")
    return is_known


def shown(place: str | Path) -> str:
    """A collection's path or URL as it can be shown: without password and keys."""
    try:
        return str(_address(str(place))[0]) if is_url(place) else str(place)
    except InvalidInput:
        return f"{str(place).partition(':')[0]}:…"


def connect(url: str, space: Space | None = None, *, encoder: str | None = None, timeout: float = 30.0) -> Store:
    """Open the collection at a URL, or make it where ``space`` is given.

    Args:
        url: of a kind in :data:`STORES`.
        space: makes the collection with this space where there is none. What is there is opened as it is; comparing
            the spaces is up to the caller.
        encoder: name of the encoder that makes the vectors, kept for whoever opens the collection next.
        timeout: seconds to wait for an answer.

    Raises:
        InvalidInput: it is no URL of a store, or one that its engine cannot use.
        NotFound: there is no collection, and no ``space`` to make one with.
        MissingExtra: the client is not installed.
        StorageError: see :class:`~samespace.stores.base.Store`.
    """
    address, kind = _address(url)
    try:
        module = import_module(f"samespace.stores.{kind.module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("samespace"):
            raise
        raise MissingExtra(f"The store {address.scheme!r}", kind.extra) from None
    store: Store = module.connect(address, space, encoder=encoder, timeout=timeout)
    return store


def _address(url: str) -> tuple[Address, Kind]:
    """A URL taken apart, and of which kind it is."""
    if not is_url(url):
        raise InvalidInput("Expected the URL of a store, got a path. samespace.open takes both.")
    address = Address.parse(url)
    scheme = address.scheme
    kind = STORES[_ALIASES.get(scheme, scheme)]
    # Neither message shows the URL: what is not in its place may be a key.
    if kind.has_host and not address.has_host:
        raise InvalidInput(f"The URL {scheme}:… has no // after the colon. Write {kind.example}.")
    if not kind.has_host and address.has_host:
        raise InvalidInput(f"The URL {scheme}://… names a host, but it is a folder that follows. Write {kind.example}.")
    if address.user is not None and not kind.has_users:
        raise InvalidInput(
            f"The URL {scheme}://… names a user, and here are none. A key does not belong into a URL in that place; "
            "put it into the environment."
        )
    return address, kind
