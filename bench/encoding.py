"""One encoder in a process of its own, started by ``encoders.py``: encodes a set of texts each time it is asked."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def samespace() -> Callable[[list[str]], np.ndarray]:
    from samespace.encoders import encoder

    minilm = encoder("minilm")
    return lambda texts: minilm.encode_documents(texts).array


def sentence_transformers(folder: str) -> Callable[[list[str]], np.ndarray]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    return lambda texts: model.encode(texts, batch_size=32, show_progress_bar=False)


def main() -> None:
    """Read the sets and where to put vectors; then for each name on standard input print the seconds it took."""
    kind, sets, target, *arguments = sys.argv[1:]
    encode = {"samespace": samespace, "sentence-transformers": sentence_transformers}[kind](*arguments)
    texts = json.loads(Path(sets).read_text())
    encode(next(iter(texts.values()))[:64])
    print("ready", flush=True)
    for line in sys.stdin:
        name = line.strip()
        began = time.perf_counter()
        vectors = encode(texts[name])
        taken = time.perf_counter() - began
        np.save(Path(target, f"{kind}-{name}.npy"), vectors)  # before the answer, which says that it is there
        print(taken, flush=True)


if __name__ == "__main__":
    main()
