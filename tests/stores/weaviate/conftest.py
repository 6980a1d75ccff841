"""One server for all tests of a session, and collections of their own."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import weaviate
from weaviate.classes.init import AdditionalConfig, Timeout

from stores.weaviate.server import serving

_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("WEAVIATE_API_KEY", raising=False)


@pytest.fixture(scope="session")
def shared():
    with serving() as server:
        yield server


@pytest.fixture
def fresh(shared) -> str:
    """A URL where nothing is."""
    return shared.url(f"Notes{next(_NUMBERS)}")


@pytest.fixture
def server():
    """One that may be spoilt."""
    with serving() as server:
        yield server


@pytest.fixture
def bare():
    """Connects another program to a server, without samespace."""
    clients = []

    def connect(server):
        client = weaviate.connect_to_local(
            "127.0.0.1",
            server.port,
            server.grpc_port,
            skip_init_checks=True,
            additional_config=AdditionalConfig(timeout=Timeout(query=5, insert=5)),
        )
        clients.append(client)
        return SimpleNamespace(client=client, notes=client.collections.use("Notes"))

    yield connect
    for client in clients:
        client.close()
