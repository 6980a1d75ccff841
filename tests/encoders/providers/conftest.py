"""The server, a key for it, and encoders that have little patience."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoders.providers.server import Server, serving
from samespace.encoders import encoder

KEY = "sk-samespace-0123456789-secret-ABCDEFGHIJ"


@pytest.fixture(scope="session")
def _server():
    with serving() as server:
        yield server


@pytest.fixture
def server(_server, monkeypatch, tmp_path) -> Server:
    """In good order, with a key for it in the environment, and an empty cache."""
    _server.reset()
    _server.key = KEY
    for variable in (
        "OPENAI_API_KEY",
        "CO_API_KEY",
        "COHERE_API_KEY",
        "OPENAI_BASE_URL",
        "CO_API_URL",
        "OPENAI_ORG_ID",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(f"SAMESPACE_KEY_127_0_0_1_{_server.port}", KEY)
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return _server


PATHS = {"openai": "/v1", "cohere": "", "voyage": "/v1", "google": "/v1beta", "mistral": "/v1", "jina": "/v1"}


@pytest.fixture
def opened(server):
    """Open a provider's model on the server, proven already, so that the first request is the first text's."""

    def make(name: str, *, prove: bool = False, cache: bool = True, max_cost: float | None = None, **patience):
        target, _, options = name.partition("?")
        provider = target.partition(":")[0]
        place = f"url={server.url}{PATHS[provider]}"
        made = encoder(f"{target}?{place}{'&' if options else ''}{options}", cache=cache, max_cost=max_cost)
        made._proven = not prove
        made.patience = replace(made.patience, first=0.01, longest=0.05, timeout=5.0, **patience)
        return made

    return make
