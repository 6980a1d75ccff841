"""The contract, by the official SDK over real sockets: a server that speaks Pinecone's REST API, or Pinecone itself."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import ClassVar

import pytest
from pinecone import Pinecone
from pinecone.errors.exceptions import NotFoundError

from samespace.errors import InvalidInput, Unsupported
from samespace.testing.store_contract import Gap, StoreContract


class TestPinecone(StoreContract):
    gaps: ClassVar = {
        "test_holds[long content]": Gap(InvalidInput, "a record holds 40 KB"),
        "test_filter[range of texts]": Gap(Unsupported, "texts have no order in filters"),
        "test_selective_filter[exact]": Gap(Unsupported, "Pinecone chooses by itself how it searches"),
        "test_exact": Gap(Unsupported, "Pinecone chooses by itself how it searches"),
        "test_finds_words": Gap(Unsupported, "records have no full text"),
        "test_builds": Gap(Unsupported, "Pinecone makes its index by itself"),
    }

    def small_blocks(self, monkeypatch):
        monkeypatch.setattr("samespace.stores.pinecone.namespace._PAGE_BYTES", 600_000)

    @pytest.fixture
    def place(self, place):
        return place


PREFIX = os.environ.get("PINECONE_TEST_INDEX")

if PREFIX and os.environ.get("PINECONE_API_KEY"):

    class TestLive(TestPinecone):
        """The same against Pinecone itself; every test makes an index in aws us-east-1, and deletes it."""

        @pytest.fixture
        def place(self):
            name = f"{PREFIX}-{uuid.uuid4().hex[:8]}"
            yield f"pinecone://{name}?namespace=notes&cloud=aws&region=us-east-1"
            client = Pinecone()
            with contextlib.suppress(NotFoundError):
                client.indexes.delete(name, timeout=-1)
            client.close()

else:

    def test_live():
        pytest.skip("needs PINECONE_API_KEY, and PINECONE_TEST_INDEX with which names of indexes begin")
