"""The contract of stores, kept by the local one."""

from __future__ import annotations

from pathlib import Path

import pytest

from samespace.errors import Unsupported
from samespace.indexed import IndexedStore
from samespace.memory import TIERS
from samespace.searcher import Searcher
from samespace.stores.local import LocalStore
from samespace.testing.store_contract import Gap, StoreContract


class TestLocal(StoreContract):
    gaps = {
        "test_seals": Gap(Unsupported, "keeps a checksum of the vectors of every change instead"),
        "test_builds": Gap(Unsupported, "builds its engines by itself, and by tune"),
    }

    def small_blocks(self, monkeypatch):
        monkeypatch.setattr("samespace.indexed._READ_BATCH", 300)

    @pytest.fixture
    def place(self, tmp_path):
        return str(tmp_path / "notes.ss")

    def connect(self, place, space=None, encoder=None):
        rows = LocalStore(Path(place), space, encoder=encoder)
        return IndexedStore(rows, Searcher(rows.space, rows.path / "index"), TIERS["full"])
