"""What the suites of Qdrant share."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from samespace.testing.store_contract import StoreContract

_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: both engines sync each write, which suites need not wait for."""
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class QdrantContract(StoreContract):
    """The contract, with blocks of Qdrant's."""

    def small_blocks(self, monkeypatch):
        monkeypatch.setattr("samespace.stores.qdrant_core.store._PAGE", 700)
        monkeypatch.setattr("samespace.stores.qdrant_core.store._BLOCK_BYTES", 350_000)
