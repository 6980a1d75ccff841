"""What every store keeps, on a real server."""

from __future__ import annotations

import pytest

from samespace.errors import InvalidInput
from samespace.testing.store_contract import Gap, StoreContract
from stores.postgres.server import fresh


class TestPostgres(StoreContract):
    gaps = {
        "test_holds[NUL in a content]": Gap(InvalidInput, "PostgreSQL's text has no NUL"),
        "test_holds[NUL in a value]": Gap(InvalidInput, "PostgreSQL's jsonb has no NUL"),
    }

    def small_blocks(self, monkeypatch):
        monkeypatch.setattr("samespace.stores.postgres.store._SCANNED", 300)

    @pytest.fixture
    def place(self, anywhere):
        return fresh(anywhere)
