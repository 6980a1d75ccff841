"""Trains real models on real texts: a small BERT from nothing, MiniLM on dictionaries, a static model.

    apt install bible-kjv-text bible-kjv wordnet-base dict-gcide
    python bench/texts.py reference reference.txt
    python bench/training.py bert FOLDER                    about 10 minutes on one core: the King James Bible
    python bench/training.py pairs FOLDER                   about 20 minutes: one run is killed half way, one is not
    python bench/training.py static reference.txt FOLDER    a few minutes

``pairs`` makes pairs of two dictionaries' definitions of one word (GCIDE, of 1913, and WordNet, of 2006) where both
know a single sense of it. Each part keeps its figures in ``results/training.json``, and ``curves.png`` is drawn of
those that are there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import machine

RESULTS = machine.RESULTS / "training.json"
PICTURE = machine.RESULTS / "training.png"
GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
WORDNET = Path("/usr/share/wordnet")
SEED = 20_261_123
PACKAGES = ("numpy", "torch", "transformers", "sentence-transformers", "tokenizers")

BERT = {
    "layers": 2,
    "hidden": 128,
    "heads": 4,
    "vocabulary": 2000,
    "max_tokens": 32,
    "dropout": 0.0,
    "steps": 5000,
    "batch": 32,
    "learning_rate": 1.5e-3,
    "warmup": 0.05,
    "seed": SEED,
}
PAIRS = {"epochs": 1, "batch": 64, "learning_rate": 5e-5, "seed": SEED}
MOST_PAIRS = 4_000
KILL_AFTER = 0.5  # of the steps


# Texts


def synsets() -> Iterator[tuple[list[str], str]]:
    """The words and the gloss (without its examples) of each synset of WordNet."""
    for file in sorted(WORDNET.glob("data.*")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("  "):  # the licence at the top
                left, gloss = line.split("|", 1)
                parts = left.split()
                words = [parts[4 + 2 * at].partition("(")[0].lower() for at in range(int(parts[3], 16))]
                yield words, gloss.split('; "')[0].strip()


def verses() -> Iterator[tuple[str, str]]:
    """The book and the text of each verse of the King James Bible."""
    printed = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=True).stdout
    for line in printed.splitlines():
        place, _, text = line.partition(" ")
        if match := re.fullmatch(r"(\d?\D+)\d+:\d+", place):
            yield match[1], text.strip()


_ENTRY = re.compile(r"^([A-Z][a-z]+) \\[^\\]*\\")
_SOURCE = re.compile(r"\[(?:1913 Webster|PJC|Webster)[^\]]*\]")
_NOISE = re.compile(r"\[[^\]]*\]|\\[^\\]*\\|--[A-Z][\w. ,]*|[{}`]|\([A-Z][^)]*\)")


def definitions() -> dict[str, str]:
    """The definition of each word that GCIDE has one entry with one sense for, and not from WordNet."""
    text = gzip.decompress(GCIDE.read_bytes()).decode("utf-8", "replace")
    entries: dict[str, list[str]] = defaultdict(list)
    for entry in re.split(r"\n(?=\S)", text):
        head, _, body = entry.partition("\n")
        if match := _ENTRY.match(head):
            entries[match[1].lower()].append(body)
    found = {}
    for word, bodies in entries.items():
        if len(bodies) > 1 or "[WordNet" in bodies[0] or re.search(r"^\s+2\. ", bodies[0], re.MULTILINE):
            continue
        body = _SOURCE.split(bodies[0])[0]
        if body.count("]") > body.count("["):  # the etymology went on from the entry's first line
            body = body.split("]", 1)[1]
        definition = " ".join(_NOISE.sub(" ", body).split()).removeprefix("1. ")
        if 4 <= len(definition.split()) <= 60:
            found[word] = definition
    return found


def dictionary_pairs(path: Path) -> int:
    """Write a pair of definition and gloss for each word that both dictionaries know one sense of."""
    glosses: dict[str, list[str]] = defaultdict(list)
    for words, gloss in synsets():
        for word in words:
            glosses[word].append(gloss)
    rows = [
        {"anchor": definition, "positive": glosses[word][0], "word": word}
        for word, definition in definitions().items()
        if len(glosses.get(word, ())) == 1 and len(glosses[word][0].split()) >= 3
    ]
    rows = random.Random(SEED).sample(rows, MOST_PAIRS)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


# Parts


def bert(folder: Path) -> dict[str, Any]:
    from samespace.training.bert import train_bert

    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(text for _, text in verses()), encoding="utf-8")
    report = train_bert(corpus, folder / "bert", threads=1, progress=show, **BERT)
    return {**report.to_dict(), "probe": probe(report.folder)}


# The last book of each kind: law, history, poetry, greater and lesser prophets, gospels, Acts, letters, Revelation.
KINDS = (5, 17, 22, 27, 39, 43, 44, 65, 66)


def probe(folder: Path) -> dict[str, dict[str, float]]:
    """Tell which of nine kinds of book, and which of the 66 books, a verse is from by its mean-pooled vector.

    Ridge regression, and the ten nearest of the verses that are known. Before: the same model with the weights that
    it began with.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoConfig, AutoModelForMaskedLM

    names = list(dict.fromkeys(book for book, _ in verses()))
    rows = random.Random(SEED).sample(list(verses()), 9_000)
    texts = [text for _, text in rows]
    books = np.array([names.index(book) for book, _ in rows])
    model = SentenceTransformer(str(folder))
    vectors = {"after": model.encode(texts, batch_size=128, show_progress_bar=False)}
    torch.manual_seed(BERT["seed"])
    fresh = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).base_model.state_dict()
    model[0].model.load_state_dict(fresh, strict=False)  # all but the pooler, which is not used
    vectors["before"] = model.encode(texts, batch_size=128, show_progress_bar=False)
    found: dict[str, dict[str, float]] = {}
    for what, labels in (("kind", np.searchsorted(KINDS, books, side="right")), ("book", books)):
        for how in (ridge, nearest):
            found[f"{what}, {how.__name__}"] = {side: how(vectors[side], labels) for side in ("before", "after")}
        found[f"{what}, always the most frequent"] = {"after": float(np.bincount(labels[6_000:]).max() / 3_000)}
    return found


def nearest(vectors: NDArray[np.float32], labels: NDArray[np.int64], train: int = 6_000) -> float:
    """Accuracy of a vote of the ten nearest by cosine, the mean taken off."""
    centred = vectors - vectors[:train].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    rows = np.argsort(-(centred[train:] @ centred[:train].T), axis=1)[:, :10]
    votes = [np.bincount(labels[row]).argmax() for row in rows]
    return float((np.array(votes) == labels[train:]).mean())


def ridge(vectors: NDArray[np.float32], labels: NDArray[np.int64], train: int = 6_000) -> float:
    """Accuracy of one-against-all ridge regression; its strength is chosen on the last sixth of the training rows."""
    wide = vectors.astype(np.float64)
    wide = (wide - wide[:train].mean(axis=0)) / (wide[:train].std(axis=0) + 1e-9)
    targets = np.eye(int(labels.max()) + 1)[labels]

    def accuracy(fit: slice, test: slice, strength: float) -> float:
        gram = wide[fit].T @ wide[fit] + strength * np.eye(wide.shape[1])
        offset = targets[fit].mean(axis=0)
        weights = np.linalg.solve(gram, wide[fit].T @ (targets[fit] - offset))
        return float(((wide[test] @ weights + offset).argmax(axis=1) == labels[test]).mean())

    inner = train * 5 // 6
    best = max((1.0, 10.0, 100.0, 1000.0), key=lambda each: accuracy(slice(inner), slice(inner, train), each))
    return accuracy(slice(train), slice(train, None), best)


def pairs(folder: Path) -> dict[str, Any]:
    """One run that is killed with SIGKILL half way and gone on with, and one that is not: the weights must be equal."""
    file = folder / "pairs.jsonl"
    count = dictionary_pairs(file)
    print(f"{count:,} pairs")
    killed, whole = folder / "pairs-killed", folder / "pairs-whole"
    command = [sys.executable, __file__, "once", str(file), str(killed)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            print(line, end="")
            if line.startswith("step ") and share_done(line) >= KILL_AFTER:
                os.kill(child.pid, signal.SIGKILL)
                break
    state = sorted((killed / "checkpoint").glob("state-*"))[-1].name
    print(f"killed after {time.monotonic() - began:.0f} s; the newest state is {state}")
    once(file, killed)
    report = once(file, whole)
    first, second = (digest(each / "model.safetensors") for each in (killed, whole))
    return {**report, "killed_at": state, "pairs": count, "killed": first, "whole": second, "same": first == second}


def share_done(line: str) -> float:
    done, total = map(int, line.split()[1].split("/"))
    return done / total if total else 0.0


def once(file: Path, folder: Path) -> dict[str, Any]:
    from samespace.training.pairs import train_pairs

    report = train_pairs(file, folder, threads=1, progress=show, checkpoint_seconds=30, **PAIRS)
    return report.to_dict()


def static(text: Path, folder: Path) -> dict[str, Any]:
    from samespace.training.static import distil_static

    lines = text.read_text(encoding="utf-8").splitlines()
    corpus = folder / "static.txt"
    corpus.write_text("\n".join(random.Random(SEED + 1).sample(lines, 20_000)), encoding="utf-8")
    return distil_static(
        folder / "static", from_="minilm", corpus=corpus, threads=1, seed=SEED, progress=show
    ).to_dict()


def show(step: Any) -> None:
    print(f"step {step.done}/{step.total} {step.stage} loss {step.loss:.3f} {step.rate:.2f}/s", flush=True)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Results


def keep(name: str, figures: dict[str, Any]) -> None:
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    figures.pop("folder", None)
    kept[name] = {"machine": machine.describe(PACKAGES), **figures}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    draw(kept)


def draw(kept: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(kept), 3.5), layout="constrained")
    for axes, (name, figures) in zip(np.atleast_1d(figure.subplots(1, len(kept))), kept.items(), strict=True):
        steps, losses = zip(*figures["curve"], strict=True)
        axes.plot(steps, losses, color="#0072B2", linewidth=1)
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.grid(visible=True, alpha=0.25)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["bert", "pairs", "static", "once"])
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    parts: dict[str, Callable[..., dict[str, Any]]] = {"bert": bert, "pairs": pairs, "static": static, "once": once}
    if arguments.part != "once":
        arguments.paths[-1].mkdir(parents=True, exist_ok=True)  # a run that was stopped goes on
    figures = parts[arguments.part](*arguments.paths)
    if arguments.part != "once":
        keep(arguments.part, figures)
        print(
            json.dumps(
                {name: figures[name] for name in ("before", "after", "seconds", "probe", "same") if name in figures}
            )
        )


if __name__ == "__main__":
    machine.one_thread()
    main()
