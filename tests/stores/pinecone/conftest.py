from __future__ import annotations

import itertools
import time

import pytest
from pinecone._internal import http_client

from stores.pinecone.server import serving

_NAMES = (f"test-{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def _server():
    with serving() as running:
        yield running


@pytest.fixture
def server(_server, monkeypatch):
    """The server, in good order, with its key in the environment."""
    monkeypatch.setenv("PINECONE_API_KEY", _server.key)
    monkeypatch.delenv("PINECONE_CONTROLLER_HOST", raising=False)
    # The SDK waits long before it asks again, and gives up early on a host that failed often: for all tests, this one.
    monkeypatch.setattr(http_client, "_retry_sleep", lambda seconds: time.sleep(min(seconds, 0.01)))
    http_client.get_budget_registry()._reset()
    yield _server
    _server.faults.clear()
    _server.not_ready, _server.pods = 0, False


@pytest.fixture
def name():
    """Of an index that is not there."""
    return next(_NAMES)


@pytest.fixture
def place(server, name):
    return f"pinecone://{name}?namespace=notes&cloud=aws&region=us-east-1&host={server.url}"
