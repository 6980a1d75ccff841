"""The scan against exact search, the kernel that it is built on, and plain numpy.

    python bench/scan.py vectors.npy [--rows 100000] [--k 10]

``vectors.npy`` holds unit float32 vectors of real items; its last 500 become queries. If it holds fewer rows
than are asked for, rows are repeated with a little noise. Prints single queries' times on one thread of Python;
set OPENBLAS_NUM_THREADS=1 to keep numpy to one as well.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import turbovec

from samespace.indexes.exact import ExactIndex
from samespace.indexes.scan import ScanIndex
from samespace.vectors import unit


def microseconds(search, queries, budget=2.0):
    """Median and tenth percentile over single queries, within about ``budget`` seconds."""
    times, end = [], time.perf_counter() + budget
    while time.perf_counter() < end and len(times) < 2_000:
        query = queries[len(times) % len(queries)][None]
        start = time.perf_counter()
        search(query)
        times.append((time.perf_counter() - start) * 1e6)
    return np.median(times), np.percentile(times, 10)


def found(search, queries, truth):
    """Recall of single queries."""
    pairs = zip(queries, truth, strict=True)
    hits = [len(set(search(query[None]).tolist()) & set(row.tolist())) for query, row in pairs]
    return sum(hits) / truth.size


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args()

    random = np.random.default_rng(0)
    real = unit(np.load(options.vectors).astype(np.float32))
    queries, real = real[-500:], real[:-500]
    vectors = real[: options.rows]
    if len(vectors) < options.rows:
        more = real[random.integers(0, len(real), options.rows - len(vectors))]
        noise = random.standard_normal(more.shape).astype(np.float32) * np.float32(0.3 / more.shape[1] ** 0.5)
        vectors = np.concatenate([vectors, unit(more + noise)])
    n, dimension = vectors.shape
    k = options.k

    start = time.perf_counter()
    scan = ScanIndex(dimension, "cosine")
    scan.extend(vectors)
    built = time.perf_counter() - start
    exact = ExactIndex(dimension, "cosine")
    exact.extend(vectors)
    kernel = turbovec.TurboQuantIndex(dimension, 4)
    kernel.add(vectors)
    kernel.prepare()

    def plain(query):
        scores = vectors @ query[0]
        best = np.argpartition(scores, -k)[-k:]
        return best[np.argsort(-scores[best])]

    print(f"{n:,} x {dimension}, k = {k}; scan built in {built:.2f} s, {scan.memory / n:.0f} bytes a vector\n")
    print(f"{'allowed':>8}  {'engine':<24}{'median us':>10}{'p10 us':>10}{'recall':>10}")
    for part in (1.0, 0.5, 0.1, 0.02, 0.005):
        allowed = None if part == 1.0 else random.random(n) < part
        truth = exact.search(queries, k, allowed).positions
        engines = {
            "scan": lambda query, mask=allowed: scan.search(query, k, mask).positions[0],
            "exact": lambda query, mask=allowed: exact.search(query, k, mask).positions[0],
            f"turbovec alone, k = {k}": lambda query, mask=allowed: kernel.search(query, k, mask=mask)[1][0],
        }
        if allowed is None:
            engines["numpy"] = plain
        for name, search in engines.items():
            median, low = microseconds(search, queries)
            recall = found(search, queries[:200], truth[:200])
            print(f"{part:>8.1%}  {name:<24}{median:>10,.0f}{low:>10,.0f}{recall:>10.4f}", flush=True)
    start = time.perf_counter()
    scan.search(queries, k)
    batch = (time.perf_counter() - start) / len(queries) * 1e6
    print(f"\nscan, one batch of {len(queries)}: {batch:,.0f} us a query")


if __name__ == "__main__":
    main()
