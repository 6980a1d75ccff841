"""What goes wrong: each kind by each wire, noticed and got over, or told."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from encoders.providers.server import WORST, vectors
from samespace.encoders.providers.failures import retry_after
from samespace.errors import EncoderError, ProviderError

TEXTS = [f"text number {number}" for number in range(40)]
WIRES = {
    "openai": ("openai:text-embedding-3-small?dimension=64", None),
    "cohere": ("cohere:embed-english-light-v3.0", "search_document"),
    "json": ("voyage:voyage-4-lite?dimension=256", "document"),
    "google": ("google:gemini-embedding-001?dimension=256", "RETRIEVAL_DOCUMENT"),
}
# Cohere's answers and Google's name no model and number no vectors; a date is read in one place, and takes seconds.
NOTICED = [
    (name, trouble)
    for name in WIRES
    for trouble in (*WORST, "twice")
    if not (name in ("cohere", "google") and trouble in ("other name", "twice"))
    and not (name != "openai" and trouble == "429 at a date")
]


def right(name, texts=TEXTS):
    model, task = WIRES[name][0].partition(":")[2].partition("?")[0], WIRES[name][1]
    made = vectors(texts, model, task, {"openai": 64, "json": 256, "google": 256}.get(name))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize(("name", "trouble"), NOTICED)
def test_it_is_noticed_and_got_over(opened, server, name, trouble):
    server.late = 1.6
    made = opened(f"{WIRES[name][0]}{'&' if '?' in WIRES[name][0] else '?'}batch=8")
    if trouble == "late":  # a right answer that this machine was slow with would be billed and not be kept
        made.patience = replace(made.patience, timeout=1.2)
    server.trouble = lambda number: trouble if number in (1, 3) else None
    assert np.allclose(made.encode_documents(TEXTS).array, right(name), atol=1e-5)
    assert server.troubles[trouble] == 2
    assert all(server.delivered[text] == 1 for text in TEXTS)


@pytest.mark.parametrize("trouble", ["order", "nan", "count", "dimension", "zeros"])
@pytest.mark.parametrize("name", WIRES)
def test_it_is_noticed_in_the_first_answer_too(opened, server, name, trouble):
    server.first(trouble)
    assert np.allclose(opened(WIRES[name][0]).encode_documents(TEXTS).array, right(name), atol=1e-5)
    assert server.troubles[trouble] == 1


@pytest.mark.parametrize("name", ["openai", "json"])
def test_an_order_that_is_declared_is_followed(opened, server, name):
    server.trouble = lambda _number: "shuffled"
    assert np.allclose(opened(WIRES[name][0]).encode_documents(TEXTS).array, right(name), atol=1e-5)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("order", r"order of the vectors .* at a distance of [\d.]+, and the same model stays below 0\.0\d+"),
        ("other model", r"another model answered: .* at a distance of \d"),
        ("nan", "holds NaN or infinity"),
        ("count", r"\d+ vectors came for \d+ texts"),
        ("dimension", "vectors of dimension 32 came, expected 64"),
        ("zeros", "is all zeros"),
        ("other name", "'text-embedding-3-small-v2', and those before were of 'text-embedding-3-small'"),
        ("twice", "does not number its"),
        ("null", "not a list of numbers"),
    ],
)
def test_what_stays_wrong_is_told_and_not_kept(opened, server, trouble, says):
    made = opened("openai:text-embedding-3-small?dimension=64&batch=8&concurrency=1")
    server.trouble = lambda number: trouble if number >= 2 else None
    with pytest.raises(ProviderError, match=f"failed after 3 attempts.*{says}.*Of the 40 texts at hand 16 .* kept"):
        made.encode_documents(TEXTS)
    found = made.cache.find(made.space, "document", TEXTS)
    assert found.there.tolist() == [True] * 16 + [False] * 24
    assert np.allclose(found.array[:16], right("openai")[:16], atol=1e-5)
    server.reset()
    server.key = None
    made.encode_documents(TEXTS)
    assert sorted(text for text in server.delivered if text in TEXTS) == sorted(TEXTS[16:])


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (name, status)
        for name in WIRES
        for status in ("400", "401", "403", "404", "422", "429 quota", "302 elsewhere")
        if (name, status) != ("cohere", "429 quota")  # a word of OpenAI's
    ],
)
def test_what_will_not_pass_is_not_tried_again(opened, server, name, status):
    server.trouble = lambda _number: status
    with pytest.raises(ProviderError, match=rf"failed after one attempt.*HTTP {status[:3]}") as caught:
        opened(WIRES[name][0]).encode_documents(TEXTS)
    # A server that is no provider's own may only have refused base64, and is asked once for numbers.
    assert server.numbers == (2 if name == "openai" and status in ("400", "422") else 1)
    assert "elsewhere" not in server.paths[-1]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_giving_up_says_what_was_tried(opened, server):
    server.trouble = lambda _number: "500"
    with pytest.raises(
        ProviderError,
        match=r"request to openai:text-embedding-3-small\?.* failed after 6 attempts in \d+\.\d s; the last: HTTP 500: "
        r"trouble 500, your key is \*\*\*\. Of the 40 texts at hand 0 were encoded\.$",
    ):
        opened("openai:text-embedding-3-small").encode_documents(TEXTS)
    assert server.numbers == 6
    assert issubclass(ProviderError, EncoderError)


def test_another_model_behind_the_url_is_told_by_the_next_process(opened, server):
    name = "openai:text-embedding-3-small?dimension=64"
    opened(name).encode_documents(TEXTS[:3])
    opened(name).encode_documents(TEXTS[3:6])  # the same model still
    server.trouble = lambda _number: "other model"
    made = opened(name)
    with pytest.raises(
        ProviderError, match=r"not the one whose vectors are kept.* distance of [\d.]+.*samespace cache --forget"
    ):
        made.encode_documents(TEXTS[6:9])
    assert not made.cache.find(made.space, "document", TEXTS[6:9]).there.any()
    opened(name, cache=False).encode_documents(TEXTS[6:9])  # nothing to compare with


def test_what_cannot_be_kept_is_said(opened, server, monkeypatch, caplog):
    made = opened("openai:text-embedding-3-small?dimension=64&batch=8&concurrency=1")
    monkeypatch.setattr(type(made.cache), "keep", lambda *_a, **_k: False)
    server.trouble = lambda number: "500" if number >= 2 else None
    with pytest.raises(ProviderError, match="16 were encoded and 0 of them are kept"):
        made.encode_documents(TEXTS)
    assert caplog.text.count("could not be kept") == 1


def test_no_connection_is_told_with_its_url(opened, server):
    made = opened("voyage:voyage-4-lite")
    object.__setattr__(made._wire, "url", "http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError, match=r"6 attempts .* no connection to http://127\.0\.0\.1:9/v1"):
        made.encode_documents(["x"])
    assert made.spent.tokens == 0


@pytest.mark.parametrize("name", ["openai", "cohere", "json"])
def test_retry_after_is_obeyed(opened, server, name):
    made = opened(WIRES[name][0])
    server.first("429 in 0.7")
    began = time.monotonic()
    made.encode_documents(TEXTS[:3])
    assert 0.7 <= time.monotonic() - began < 4
    server.numbers = 0
    server.first("503 in 0.7")
    began = time.monotonic()
    made.encode_documents(TEXTS[3:6])
    assert 0.7 <= time.monotonic() - began < 4


def test_retry_after_is_capped_and_patience_ends(opened, server):
    made = opened("openai:text-embedding-3-small", obeyed=0.1, waiting=0.35)
    server.trouble = lambda _number: "429 in 86400"
    began = time.monotonic()
    with pytest.raises(ProviderError, match=r"failed after 4 attempts.*HTTP 429"):
        made.encode_documents(TEXTS[:3])
    assert 0.3 <= time.monotonic() - began < 5


def test_when_one_request_is_told_to_wait_all_do(opened, server):
    made = opened("openai:text-embedding-3-small?dimension=64&concurrency=2&batch=4")
    made.encode_documents(["the first"])
    times = []
    server.numbers = 0

    def trouble(number):
        times.append(time.monotonic())
        return "429 in 0.8" if number == 0 else None

    server.trouble = trouble
    made.encode_documents(TEXTS)
    late = [at - times[0] for at in times[1:]]
    assert sum(at < 0.75 for at in late) <= 1  # the one that was under way
    assert len(late) >= 10


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("3", 3, 3), ("0.5", 0.5, 0.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("-5", 0, 0)],
)
def test_retry_after_as_seconds_and_as_a_date(value, low, high):
    assert low <= retry_after({"retry-after": value}) <= high


def test_milliseconds_go_before_seconds():
    assert retry_after({"retry-after": "3", "retry-after-ms": "250"}) == 0.25


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Wed, 99 Oct", None])
def test_retry_after_that_says_nothing(value):
    assert retry_after({} if value is None else {"retry-after": value}) is None


def test_a_text_that_is_too_long_is_cut_and_its_receipt_says_so(opened, server):
    server.limit = 8192
    made = opened("openai:text-embedding-3-small?dimension=64")
    vectors_ = made.encode_documents(["short", "x" * 120_000])
    assert vectors_.receipts.truncated.tolist() == [False, True]
    assert vectors_.receipts.seen[1] <= 9000
    assert server.delivered["short"] == 1


def test_a_refusal_that_has_nothing_to_do_with_length_is_told_at_once(opened, server):
    made = opened("openai:text-embedding-3-small")
    made.encode_documents(["x"])
    server.trouble, server.numbers = lambda _number: "400", 0
    with pytest.raises(ProviderError, match="HTTP 400"):
        made.encode_documents(["x" * 5000])
    assert server.numbers == 1


def test_a_late_answer_is_not_waited_for(opened, server):
    made = opened("openai:text-embedding-3-small?dimension=64")
    made.patience = replace(made.patience, timeout=0.3, attempts=2)
    server.trouble, server.late = lambda _number: "late", 2.0
    began = time.monotonic()
    with pytest.raises(ProviderError, match=r"2 attempts.*no answer in time"):
        made.encode_documents(["x"])
    assert time.monotonic() - began < 1.9
    assert made.spent.tokens > 0  # it may have been billed


def test_control_c_stops_promptly_and_what_was_paid_is_kept(opened, server):
    made = opened("openai:text-embedding-3-small?dimension=64&concurrency=4&batch=10")
    made.encode_documents(["the first"])
    server.delay = 0.2
    texts = [f"text number {number}" for number in range(400)]
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        made.encode_documents(texts)
    assert time.monotonic() - began < 2.5
    paid = {text for text in server.delivered if text in set(texts)}
    found = made.cache.find(made.space, "document", texts)
    assert {text for text, there in zip(texts, found.there, strict=True) if there} == paid
    assert 20 <= len(paid) < 400
    server.delay = 0
    made.encode_documents(texts)
    assert all(server.delivered[text] == 1 for text in texts)


def test_control_c_does_not_wait_for_retry_after(opened, server):
    made = opened("openai:text-embedding-3-small?dimension=64")
    server.trouble = lambda _number: "429 in 50"
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        made.encode_documents(TEXTS)
    assert time.monotonic() - began < 2


def test_progress_counts_every_text_once_in_the_callers_thread(opened, server):
    server.misbehave(0.3, seed=3, kinds=("500", "count", "order"))
    seen = []
    texts = TEXTS * 3
    opened("openai:text-embedding-3-small?dimension=64&batch=4").encode_documents(
        texts, progress=lambda count: seen.append((count, threading.current_thread()))
    )
    assert sum(count for count, _ in seen) == len(texts)
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_a_text_that_stands_twice_is_paid_once_without_a_cache_too(opened, server):
    array = opened("openai:text-embedding-3-small?dimension=64", cache=False).encode_documents(TEXTS * 2).array
    assert np.array_equal(array[:40], array[40:])
    assert all(server.delivered[text] == 1 for text in TEXTS)


def test_several_threads_share_an_encoder(opened, server):
    made = opened("cohere:embed-english-light-v3.0")
    results = {}

    def run(number):
        results[number] = made.encode_documents([f"{number} of {text}" for text in TEXTS]).array

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, array in results.items():
        assert np.allclose(array, right("cohere", [f"{number} of {text}" for text in TEXTS]), atol=1e-5)
