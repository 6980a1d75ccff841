"""How often an import finds that a few of its rows are of another model, by kind of model and by how few.

    python bench/mixtures.py CORPUS --model MINILM --work CACHE [--foreign NAME=MODEL]...

As ``foreign.py``, whose CACHE and models it uses. A source is 20,000 rows of CORPUS, of which a few have the vector
that another model makes of their text. The encoder that made the others is asked for those rows that an import would
encode again; its answers are known, since they are the vectors of CORPUS.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import machine
from corpus import load
from foreign import PAGE, TEXTS, Cache, fitted, foreigners, pairs
from foreign import SEED as SPLIT
from machine import describe, publish, table
from samespace.interchange.proving import _FOREIGN, _SINGLE, distances
from samespace.interchange.sample import Outliers, RandomRows
from samespace.interchange.survey import SAMPLE
from samespace.vectors import Matrix

RESULTS = machine.RESULTS / "mixtures.json"
ROWS, BLOCK, SEEDS = 20_000, 4_096, 5
FOREIGN = (4, 20, 67, 200, 1_000)


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--foreign", action="append", default=[], metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    corpus = load(arguments.corpus)
    order = np.random.default_rng(SPLIT).permutation(len(corpus.vectors))
    own = np.array(corpus.vectors[np.sort(order[:200_000])])
    same = np.array(corpus.vectors[order[-TEXTS:]])  # of the texts that others encoded
    texts = [corpus.texts[row] for row in order[-TEXTS:]]
    spread = float(((own - own.mean(axis=0)) ** 2).sum(axis=1).mean())
    found: list[dict[str, Any]] = []
    others = foreigners(Cache(arguments.work), texts, own, arguments.model.resolve(), pairs(arguments.foreign))
    for kind, vectors in others:
        if kind.startswith(("own vectors", "random directions")):
            continue  # made by numpy, of no texts
        far = distances(same, fitted(vectors, own.shape[1]), spread)
        line = {"rows of": kind, "distance": float(np.median(far)), "found": {}, "found at random": {}}
        for count in FOREIGN:
            seeds = [[seed, zlib.crc32(kind.encode())] for seed in range(SEEDS)]
            runs = [run(own, fitted(vectors, own.shape[1]), far, count, seed) for seed in seeds]
            line["found"][count] = sum(either for either, _ in runs)
            line["found at random"][count] = sum(by_chance for _, by_chance in runs)
        print(line, flush=True)
        found.append(line)
    RESULTS.write_text(json.dumps({"machine": describe(("numpy",)), "seeds": SEEDS, "found": found}, indent=2) + "\n")
    made = table(
        "mixtures",
        ["rows of another model, of 20,000", *(f"{count:,}" for count in FOREIGN)],
        [
            [each["rows of"], *(f"{each['found'][count]} ({each['found at random'][count]})" for count in FOREIGN)]
            for each in found
        ],
    )
    print(made)
    machine.DOCUMENTS = (*machine.DOCUMENTS, PAGE)
    publish([made])


def run(own: Matrix, foreign: Matrix, far: np.ndarray, count: int, seed: list[int]) -> tuple[bool, bool]:
    """Whether a mixture is found, and whether the rows drawn at random alone find it."""
    choice = np.random.default_rng(seed)
    rows = own[choice.choice(len(own), ROWS, replace=False)]
    places = choice.choice(ROWS, count, replace=False)
    kinds = choice.choice(len(foreign), count, replace=count > len(foreign))
    rows[places] = foreign[kinds]
    moved = dict(zip(map(str, places.tolist()), far[kinds].tolist(), strict=True))
    drawn, outliers = RandomRows(SAMPLE), Outliers(4 * SAMPLE)
    for begin in range(0, ROWS, BLOCK):
        block = [(str(begin + row), "", vector) for row, vector in enumerate(rows[begin : begin + BLOCK])]
        drawn.extend(block)
        outliers.extend(block)
    chosen = {name for name, _, _ in drawn.rows}
    odd = [name for name, _, _ in outliers.rows() if name not in chosen][:SAMPLE]
    by_chance = any(moved.get(name, 0) > _SINGLE for name in chosen)
    return by_chance or any(moved.get(name, 0) > _FOREIGN for name in odd), by_chance


if __name__ == "__main__":
    main()
