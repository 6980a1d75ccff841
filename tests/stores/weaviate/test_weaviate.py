"""The contract, by the official client over real sockets."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from samespace.errors import Unsupported
from samespace.testing.store_contract import Gap, StoreContract

_URL = os.environ.get("WEAVIATE_URL", "")  # such as weaviate://localhost:8080?grpc=50051


class TestWeaviate(StoreContract):
    gaps = {"test_builds": Gap(Unsupported, "looks after its index by itself, with one effort for all searches")}

    def small_blocks(self, monkeypatch):
        monkeypatch.setattr("samespace.stores.weaviate.reading.AT_ONCE", 300)

    @pytest.fixture
    def place(self, fresh):
        return fresh


if _URL:

    class TestLiveWeaviate(TestWeaviate):
        """The same on a Weaviate of yours."""

        @pytest.fixture
        def place(self):
            base, mark, options = _URL.partition("?")
            return f"{base.rstrip('/')}/Samespace{uuid4().hex}{mark}{options}"

else:

    @pytest.mark.skip(reason="WEAVIATE_URL names no server to run the contract on")
    def test_live_weaviate():
        pass
