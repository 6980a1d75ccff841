"""From a URL to an open collection: ``weaviate://host:8080/Notes?grpc=50051``."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from weaviate import WeaviateClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig
from weaviate.connect.base import ConnectionParams
from weaviate.exceptions import UnexpectedStatusCodeError

from samespace.errors import InvalidInput, NotFound, StorageError, Unsupported
from samespace.space import Space
from samespace.stores.address import Address
from samespace.stores.weaviate.failures import NOT_UNDERSTOOD, Failures, status_of
from samespace.stores.weaviate.reading import configuration
from samespace.stores.weaviate.schema import Record, check_name, definition
from samespace.stores.weaviate.store import WeaviateStore

__all__ = ["connect"]

_OLDEST = (1, 33)  # the first that knows Not
_ENVIRONMENT = "WEAVIATE_API_KEY"
_LARGEST = 10 * 2**20  # bytes of a message, where the server does not say

# A call waits for a server that is starting or was restarted, up to its deadline, instead of failing at once.
_CHANNEL = [
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True}]})),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]

# The client logs what it raises as well; without a handler Python would print that.
logging.getLogger("weaviate-client").addHandler(logging.NullHandler())


def connect(address: Address, space: Space | None, *, encoder: str | None, timeout: float) -> WeaviateStore:
    """Open the collection at an address, or make it where ``space`` is given.

    Raises:
        NotFound, StoreUnavailable, AccessDenied, CollectionCorrupt, InvalidInput, Unsupported: see ``Store``.
    """
    where = str(address)
    name, client = check_name(address.path, where), _client(address, timeout)
    errors = Failures(where)
    try:
        with errors:
            meta = _greet(client, where)
            record = Record.from_text(_found_or_made(client, name, space, encoder, where), where)
            return WeaviateStore(client, name, record, where, errors, int(meta.get("grpcMaxMessageSize", _LARGEST)))
    except BaseException:
        client.close()
        raise


def _client(address: Address, timeout: float) -> WeaviateClient:
    address.only("grpc", "https")
    if not address.host:
        raise InvalidInput(f"{address} names no host. Write weaviate://host:8080/Notes.")
    is_secure = address.take("https", _yes_or_no, default=False)
    port = address.port or (443 if is_secure else 8080)
    grpc_host, grpc_port = address.take("grpc", _host_and_port, ("", 50051))
    key = address.password or os.environ.get(_ENVIRONMENT)
    try:
        parameters = ConnectionParams.from_params(
            http_host=address.host,
            http_port=port,
            http_secure=is_secure,
            grpc_host=grpc_host or address.host,
            grpc_port=grpc_port,
            grpc_secure=is_secure,
        )
    except ValueError:
        raise InvalidInput(
            f"{address}: REST and gRPC need a port each, got {port} and {grpc_port}. Write ?grpc=PORT or "
            "?grpc=HOST:PORT."
        ) from None
    return WeaviateClient(
        connection_params=parameters,
        auth_client_secret=Auth.api_key(key) if key else None,
        additional_config=AdditionalConfig(
            timeout=Timeout(init=timeout, query=timeout, insert=timeout),
            grpc_config=GrpcConfig(channel_options=_CHANNEL),
        ),
        skip_init_checks=True,  # they ask PyPI for the newest client
    )


def _greet(client: WeaviateClient, where: str) -> Mapping[str, Any]:
    """Connect, and give what the server says of itself.

    Raises:
        StorageError: it is no Weaviate.
        Unsupported: it is too old.
    """
    try:
        client.connect()
        meta = client.get_meta()
    except NOT_UNDERSTOOD as error:
        raise StorageError(f"{where} does not answer as Weaviate does ({error!r}). Is it another server?") from error
    version = str(meta.get("version", ""))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        raise Unsupported(
            f"{where} is Weaviate {version or 'of an unknown version'}; samespace's filters need "
            f"{'.'.join(map(str, _OLDEST))} or newer. Upgrade the server."
        )
    return meta


def _found_or_made(client: WeaviateClient, name: str, space: Space | None, encoder: str | None, where: str) -> str:
    """The description of the collection.

    Raises:
        NotFound: there is none, and no space to make it with.
    """
    found = _description(client, name)
    if found is not None:
        return found
    if space is None:
        raise NotFound(f"There is no collection at {where}.")
    record = Record.new(space, encoder)
    try:
        client.collections.create_from_dict(definition(name, record))
    except UnexpectedStatusCodeError as error:
        # Another process may have been quicker; or there is one whose name differs in capital letters only.
        found = _description(client, name) if status_of(error) == 422 else None
        if found is None:
            raise
        return found
    return record.to_text()


def _description(client: WeaviateClient, name: str) -> str | None:
    """What the collection says of itself, or nothing; None if there is no collection."""
    config = configuration(client.collections.use(name))
    return None if config is None else config.description or ""


def _yes_or_no(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
