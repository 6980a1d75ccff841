"""Vectors of real texts, and of texts that the statistics were not learned from."""

from __future__ import annotations

import random

import numpy as np
import pytest

import samespace as ss
from samespace.sources.standard_library import docstrings

_LEARNED = 1_600
_HELD_OUT = 900


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Beginnings of docstrings of the standard library, shuffled."""
    found = sorted({passage.text[:120] for passage in docstrings()})
    random.Random(0).shuffle(found)
    return found[: _LEARNED + _HELD_OUT]


@pytest.fixture(scope="session")
def minilm():
    return ss.encoder("minilm", threads=1, cache=False)


@pytest.fixture(scope="session")
def vectors(minilm, texts):
    return minilm.encode_documents(texts).comparable


@pytest.fixture(scope="session")
def learned(vectors):
    return vectors[:_LEARNED]


@pytest.fixture(scope="session")
def held_out(vectors):
    return vectors[_LEARNED:]


@pytest.fixture(scope="session")
def rotated(held_out):
    """The held-out vectors as a model of the same spectrum might make them, each direction another."""
    width = held_out.shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))
    return np.ascontiguousarray(held_out @ turn.astype(np.float32))
