"""Providers: items a second through samespace against the bare official SDK, on one local server.

    python bench/providers.py [--items 6000] [--rounds 5]

The server of the tests runs in a process of its own and speaks the protocol; its vectors are made of the texts. Both
sides send requests of the same size, as many side by side, and end with one float32 array. The bare SDK is used as its
documentation shows, in a pool of threads; it checks nothing, keeps nothing, and an error ends it. Ours checks every
answer, counts its cost and, with the cache, has each request on stable storage before the next one. *CPU* is that of
the client's process, which other work on the machine does not blur. What matters in life is the delay of a provider,
so a second set of rounds has one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, keep, publish, table
from samespace.encoders import Encoder, encoder

_TESTS = Path(__file__).parent.parent / "tests"
_WIDTH = 8
_BATCH = {"openai": 128, "cohere": 90}
_NAMES = {"openai": "openai:text-embedding-3-small", "cohere": "cohere:embed-v4.0"}
_TASK = "search_document"


def serve(delay: float) -> None:
    sys.path[0] = str(_TESTS)  # whose package "encoders" is not the bench of that name
    from encoders.providers.server import serving

    with serving() as server:
        server.delay = delay
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def server(delay: float):
    command = [sys.executable, __file__, "--serve", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def bare(provider: str, url: str) -> Callable[[list[str]], np.ndarray]:
    """The official SDK, as its documentation uses it."""
    if provider == "openai":
        import openai

        client: Any = openai.OpenAI(api_key="none", base_url=f"{url}/v1")

        def embed(texts: list[str]) -> list[list[float]]:
            answer = client.embeddings.create(model="text-embedding-3-small", input=texts)
            return [each.embedding for each in answer.data]
    else:
        import cohere

        client = cohere.ClientV2(api_key="none", base_url=url)

        def embed(texts: list[str]) -> list[list[float]]:
            answer = client.embed(
                model="embed-v4.0", texts=texts, input_type=_TASK, embedding_types=["float"], truncate="END"
            )
            return answer.embeddings.float_

    def run(texts: list[str]) -> np.ndarray:
        size = _BATCH[provider]
        with ThreadPoolExecutor(_WIDTH) as pool:
            parts = list(pool.map(embed, [texts[at : at + size] for at in range(0, len(texts), size)]))
        return np.concatenate([np.array(part, np.float32) for part in parts])

    return run


def ours(provider: str, url: str, *, cache: bool) -> Encoder:
    place = f"{url}/v1" if provider == "openai" else url
    made = encoder(f"{_NAMES[provider]}?url={place}&batch={_BATCH[provider]}&concurrency={_WIDTH}", cache=cache)
    made.prove()
    return made


def seconds(run: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    began, worked = time.perf_counter(), time.process_time()
    array = run()
    return time.perf_counter() - began, time.process_time() - worked, array


def compare(provider: str, delay: float, items: int, rounds: int) -> dict[str, Any]:
    taken: dict[str, list[tuple[float, float]]] = {"bare SDK": [], "samespace": [], "samespace, cache": []}
    with server(delay) as url:
        sdk, plain, keeping = bare(provider, url), ours(provider, url, cache=False), ours(provider, url, cache=True)
        for each in (sdk, plain.encode_documents, keeping.encode_documents):
            each([f"to begin with {number}" for number in range(300)])
        for number in range(rounds):
            texts = [f"{delay} {number} {item} is a text of ten words, no more and no less" for item in range(items)]
            runs = {
                "bare SDK": lambda texts=texts: sdk(texts),
                "samespace": lambda texts=texts: plain.encode_documents(texts).array,
                "samespace, cache": lambda texts=texts: keeping.encode_documents(texts).array,
            }
            arrays = {}
            for name, run in runs.items():
                wall, work, arrays[name] = seconds(run)
                taken[name].append((wall, work))
            assert np.allclose(arrays["bare SDK"], arrays["samespace"], atol=1e-5)
            assert np.allclose(arrays["samespace"], arrays["samespace, cache"], atol=1e-7)
        extra = plain.spent.requests
    found: dict[str, Any] = {"seconds_and_cpu": taken, "items": items, "delay": delay, "requests_of_ours": extra}
    for name, pairs in taken.items():
        found[name] = {
            "items_per_second": items / statistics.median(wall for wall, _ in pairs),
            "cpu_ms_per_item": 1000 * statistics.median(work for _, work in pairs) / items,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-as", default="providers")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        return serve(arguments.serve)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAMESPACE_CACHE"] = folder
        found = {
            f"{provider}, {delay:g} s": compare(provider, delay, arguments.items, arguments.rounds)
            for provider in _NAMES
            for delay in (0.0, 0.15)
        }
    rows = []
    for name, each in found.items():
        base = each["bare SDK"]
        for side in ("bare SDK", "samespace", "samespace, cache"):
            figures = each[side]
            rows.append(
                [
                    name if side == "bare SDK" else "",
                    side,
                    f"{figures['items_per_second']:,.0f}",
                    f"{figures['items_per_second'] / base['items_per_second']:.2f}",
                    f"{figures['cpu_ms_per_item']:.3f}",
                    "" if side == "bare SDK" else f"{figures['cpu_ms_per_item'] - base['cpu_ms_per_item']:+.3f}",
                ]
            )
    header = ["SDK, delay of the server", "through", "items/s", "of the bare SDK", "CPU ms an item", "more than bare"]
    made = table("providers", header, rows)
    print(made)
    if arguments.keep_as:
        print(keep(arguments.keep_as, found | describe(("openai", "cohere", "httpx", "numpy"))))
        publish([made])
    return None


if __name__ == "__main__":
    main()
