"""Fixtures that every room's tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import samespace as ss
from samespace.testing.encoder import CharacterEncoder


def pytest_configure():
    # A shell lets what it runs in the background ignore Ctrl-C, and children inherit that; some tests press it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """No test meets what another run kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESPACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def encoder() -> CharacterEncoder:
    return CharacterEncoder()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.ss"


@pytest.fixture
def notes(path: Path, encoder: CharacterEncoder):
    with ss.open(path, encoder) as collection:
        yield collection
