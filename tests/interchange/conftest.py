"""Vectors of the default model, and the files that other programs keep such vectors in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import samespace as ss

_WHO = ("The cat", "A tall gardener", "My neighbour's boiler", "The night train", "An old compiler", "Anna")
_DOES = ("sleeps under", "complains about", "was sold together with", "slowly circles", "has never seen")
_WHAT = ("the frozen lake", "three unread letters", "a broken clock", "the tax office", "its own shadow")

TEXTS = [f"{who} {does} {what}." for who in _WHO for does in _DOES for what in _WHAT]
"""150 sentences, no two alike."""


@pytest.fixture(scope="session")
def minilm():
    return ss.encoder("minilm", cache=False)


@pytest.fixture(scope="session")
def vectors(minilm) -> np.ndarray:
    """What the default model makes of the texts."""
    array = minilm.encode_documents(TEXTS).array
    array.setflags(write=False)
    return array


@pytest.fixture
def into(tmp_path: Path):
    """An empty collection of the default model."""
    with ss.open(tmp_path / "into.ss", "minilm") as collection:
        yield collection
