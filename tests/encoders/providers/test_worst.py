"""Ten thousand texts through the worst of it; and a process that is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from encoders.providers.server import WORST, tokens, vectors
from samespace.encoders import encoder
from samespace.vectors import unit


@pytest.mark.parametrize(
    ("name", "task", "count", "batch"),
    [
        ("openai:text-embedding-3-small?dimension=64", None, 10_000, 60),
        ("cohere:embed-v4.0?dimension=256", "search_document", 2_000, 40),
        ("google:gemini-embedding-001?dimension=128", "RETRIEVAL_DOCUMENT", 2_000, 40),
    ],
)
def test_none_lost_none_doubled_none_paid_twice(opened, server, name, task, count, batch):
    texts = [f"{number} {'word ' * (number % 4)}" for number in range(count)]
    made = opened(f"{name}&batch={batch}", prove=True, attempts=12, wrong=12)
    # An answer is late by the server's word; one that this machine was slow with would be billed and not be kept.
    made.patience = replace(made.patience, timeout=2.2)
    server.late = 2.5
    kinds = tuple(kind for kind in WORST if kind != "other name" or task is None)
    server.misbehave(0.3, kinds=kinds * 2 if task is None else tuple(set(kinds) - {"late"}))
    got = made.encode_documents(texts)

    model, size = name.partition(":")[2].partition("?")[0], int(name.rpartition("=")[2])
    expected = np.concatenate([vectors(texts[at : at + 2000], model, task, size) for at in range(0, count, 2000)])
    assert np.allclose(got.array, unit(expected), atol=1e-5)  # none lost, and each in its place
    of_texts = {text: server.delivered[text] for text in texts}
    assert set(of_texts.values()) == {1}  # none doubled, none paid twice
    assert sum(server.spoiled[text] for text in texts) > count // 20  # and it was bad indeed
    if task is None:
        assert set(server.troubles) == {*kinds, "none"}
        billed = sum(
            tokens(text) * times for each in (server.delivered, server.spoiled) for text, times in each.items()
        )
        assert 0.9 * billed < made.spent.tokens < 1.4 * billed

    requests = server.numbers
    again = encoder(made.name).encode_documents(texts)
    assert server.numbers == requests
    assert np.array_equal(again.array, got.array)


_CHILD = """
import sys
from samespace.encoders import encoder
made = encoder(sys.argv[1])
made._proven = True
made.encode_documents([f"text number {number}" for number in range(2000)])
"""


@pytest.mark.parametrize("name", ["openai:text-embedding-3-small?dimension=64", "voyage:voyage-4-lite?dimension=256"])
def test_killed_in_the_middle_it_goes_on_and_pays_nothing_twice_that_it_had_kept(opened, server, name):
    texts = [f"text number {number}" for number in range(2000)]
    made = opened(f"{name}&batch=20&concurrency=4")
    server.delay = 0.1
    child = subprocess.Popen([sys.executable, "-c", _CHILD, made.name], env=dict(os.environ), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(server.delivered) < 700 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    time.sleep(0.3)  # what the server was about to answer nobody
    before = dict(server.delivered)
    kept = {t for t, there in zip(texts, made.cache.find(made.space, "document", texts).there, strict=True) if there}
    assert len(kept) >= 500
    assert sum(text in texts and text not in kept for text in before) <= 2 * 4 * 20  # under way when it was killed

    server.reset()
    server.key = None
    array = made.encode_documents(texts).array
    asked = {text for text in server.delivered if text in set(texts)}
    assert asked == set(texts) - kept
    assert all(server.delivered[text] == 1 for text in asked)
    size = int(name.rpartition("=")[2])
    task = "document" if name.startswith("voyage") else None
    assert np.allclose(array, unit(vectors(texts, name.partition(":")[2].partition("?")[0], task, size)), atol=1e-5)
