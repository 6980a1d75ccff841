"""Real texts, models so small that they train in a second, and a process that dies while it writes."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_model import TINY

_MODULES = "argparse collections csv datetime functools json logging random re shutil socket statistics tarfile zipfile"
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@pytest.fixture(scope="session", autouse=True)
def _one_thread(tmp_path_factory):
    before = os.environ.get("SAMESPACE_CACHE")
    os.environ["SAMESPACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    yield
    if before is None:
        del os.environ["SAMESPACE_CACHE"]
    else:
        os.environ["SAMESPACE_CACHE"] = before


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Sentences of the standard library's documentation, each once, in a fixed order."""
    found: dict[str, None] = {}
    for module in map(importlib.import_module, _MODULES.split()):
        for thing in vars(module).values():
            for each in (thing, *(vars(thing).values() if inspect.isclass(thing) else ())):
                text = getattr(each, "__doc__", None)
                if isinstance(text, str):
                    for sentence in _SENTENCE.split(" ".join(text.split())):
                        if 4 <= len(sentence.split()) <= 40:
                            found[sentence] = None
    assert len(found) > 500
    return list(found)


@pytest.fixture(scope="session")
def corpus(sentences, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "corpus.txt"
    path.write_text("\n".join(sentences[:600]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pairs(sentences, tmp_path_factory) -> Path:
    """The first half of a sentence, and the second."""
    path = tmp_path_factory.mktemp("texts") / "pairs.jsonl"
    rows = []
    for sentence in sentences[:300]:
        words = sentence.split()
        rows.append({"anchor": " ".join(words[: len(words) // 2]), "positive": " ".join(words[len(words) // 2 :])})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(corpus, tmp_path_factory) -> Path:
    """A folder with a model that was trained for some steps."""
    from samespace.training.bert import train_bert

    folder = tmp_path_factory.mktemp("models") / "tiny"
    train_bert(corpus, folder, steps=40, **TINY)
    return folder


_DIES = """
import os, torch
torch.set_num_threads(1)
save, saved = torch.save, 0
def dying(state, file):
    global saved
    saved += 1
    if saved == {at}:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), 9)
    save(state, file)
torch.save = dying
from {module} import {function}
{function}(*{arguments!r}, **{settings!r})
"""


@pytest.fixture
def killed():
    """Run a training as a process that dies by SIGKILL in the middle of writing its checkpoint number ``at``."""

    def killed(function, *arguments, at, **settings):
        code = _DIES.format(
            at=at,
            module=function.__module__,
            function=function.__name__,
            arguments=[str(each) for each in arguments],
            settings={name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        assert done.returncode == -9, done.stderr

    return killed


@pytest.fixture
def same_weights():
    """Two folders hold the same weights, to the bit, and the same curve."""

    def same_weights(one: Path, other: Path) -> bool:
        return all(
            (one / name).read_bytes() == (other / name).read_bytes() for name in ("model.safetensors", "curve.json")
        )

    return same_weights
