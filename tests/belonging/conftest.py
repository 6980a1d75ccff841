"""Vectors of real texts: some to learn from, others of the same kind, and what another model might make of those."""

from __future__ import annotations

import importlib
import inspect
import random
import re

import numpy as np
import pytest

import samespace as ss

_MODULES = """
    argparse ast asyncio builtins calendar collections csv ctypes datetime decimal difflib email.message
    fractions ftplib functools gzip http.client imaplib inspect io itertools json logging math mmap os pathlib
    pickle platform random re sched select shutil socket sqlite3 ssl statistics string struct subprocess tarfile
    tempfile textwrap threading time timeit traceback turtle types unittest urllib.request uuid weakref zipfile
"""
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+|\n\s*\n")
_LEARNED, _HELD_OUT = 1_600, 900


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Sentences of the standard library's docstrings."""
    found: set[str] = set()
    for module in map(importlib.import_module, _MODULES.split()):
        for thing in dict(vars(module)).values():
            if inspect.isclass(thing) or inspect.isroutine(thing):
                for each in (thing, *(dict(vars(thing)).values() if inspect.isclass(thing) else ())):
                    text = getattr(each, "__doc__", None)
                    if isinstance(text, str):
                        found.update(" ".join(part.split()) for part in _SENTENCE_END.split(text))
    sentences = sorted(text for text in found if len(text.split()) >= 4)
    random.Random(0).shuffle(sentences)
    assert len(sentences) >= _LEARNED + _HELD_OUT
    return sentences[: _LEARNED + _HELD_OUT]


@pytest.fixture(scope="session")
def minilm():
    return ss.encoder("minilm", threads=1, cache=False)


@pytest.fixture(scope="session")
def vectors(minilm, texts):
    return minilm.encode_documents([text[:150] for text in texts]).comparable


@pytest.fixture(scope="session")
def learned(vectors):
    return vectors[:_LEARNED]


@pytest.fixture(scope="session")
def held_out(vectors):
    return vectors[_LEARNED:]


@pytest.fixture(scope="session")
def rotated(held_out):
    """As a model of the same spectrum might make them that knows nothing of this one."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((held_out.shape[1],) * 2))
    return np.ascontiguousarray(held_out @ turn.astype(np.float32))
