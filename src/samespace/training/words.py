"""Word vectors out of a corpus: skip-gram and CBOW (Mikolov et al. 2013), with fastText's subwords if asked for.

gensim does the work, in its mode that reads the corpus without Python. There it says nothing while it works, lets the
learning rate fall by a part only if there are several workers, and cannot stop and go on. So the corpus is dealt
out to parts, and gensim is given one part after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.words.subwords import Subwords
from samespace.encoders.words.table import MARKER, Table
from samespace.encoders.words.writing import Block, write_table
from samespace.errors import InvalidInput, MissingExtra
from samespace.evaluation.words import evaluate_words
from samespace.training.probe import Probe
from samespace.training.run import Checkpoint, Progress, Report, Step, finish, held_interrupt, stage
from samespace.training.sentences import Sentences, describe, prepare

if TYPE_CHECKING:
    from gensim.models import Word2Vec

__all__ = ["Algorithm", "train_words"]

Algorithm = Literal["skip-gram", "cbow"]

# Twice what gensim begins with, for skip-gram: with a quarter of 100 MB of English, WordSim-353 .56 against .48.
_ALPHA = 0.05
_LAST_ALPHA = 1e-4  # of the first
_SHORTEST, _LONGEST, _BUCKETS = 3, 6, 1 << 18
_ROWS_AT_ONCE = 1 << 14


def train_words(
    corpus: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    into: str | os.PathLike[str],
    *,
    algorithm: Algorithm = "skip-gram",
    subwords: bool = False,
    dimension: int = 100,
    window: int = 5,
    min_count: int = 5,
    epochs: int = 5,
    negative: int = 5,
    sample: float = 1e-3,
    learning_rate: float | None = None,
    text: str = "text",
    seed: int = 0,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress | None = None,
) -> Report:
    """Train word vectors.

    Texts are split into words of letters, marks and digits, in lower case. The same call goes on from the
    checkpoint of an interrupted one. With one thread it ends in the same vectors as if it had not been
    interrupted; several threads write to the vectors at once, so no two runs of theirs are the same.

    Args:
        corpus: a text file with one text a line, a table, a folder of files, or several of these.
        into: the folder for the vectors; new, empty, or with a checkpoint of the same call.
        algorithm: ``"skip-gram"`` predicts the words around each word, ``"cbow"`` each word from those around
            it, which is faster and less accurate.
        subwords: learn vectors of character n-grams too, so that words that were never seen have a vector.
        dimension: of the vectors.
        window: words on each side, at most.
        min_count: occurrences that a word needs.
        epochs: how often the corpus is read.
        negative: words drawn at random that each word is told from.
        sample: frequent words are left out at random, the more the smaller this is; 0 leaves none out.
        learning_rate: at the beginning; None: .05.
        text: the column of tables that holds the texts.
        seed: of everything random.
        threads: that train; None: all cores.
        checkpoint_seconds: between checkpoints.
        progress: called with each :class:`~samespace.training.run.Step`, in words.

    Returns:
        The report. ``before`` (vectors at random) and ``after`` have Spearman's correlation with WordSim-353
        and SimLex-999, the accuracy on analogies, and the loss on texts that were held out.

    Raises:
        MissingExtra: gensim is not installed.
        NotFound: there is no such corpus.
        InvalidInput: a setting is out of range, the corpus has too few words, or the folder holds something else.
        StorageFull: no space left; the checkpoint before is kept.
        KeyboardInterrupt: after Ctrl-C, when a checkpoint has been written.
    """
    paths = [Path(path) for path in ([corpus] if isinstance(corpus, str | os.PathLike) else corpus)]
    _check(algorithm, subwords, learning_rate, sample)
    whole = {"dimension": dimension, "window": window, "min_count": min_count, "epochs": epochs, "negative": negative}
    for name, value in (whole | {"threads": 1 if threads is None else threads}).items():
        if type(value) is not int or value < 1:
            raise InvalidInput(f"{name} must be a positive int, got {value!r}.")
    for path in paths:
        if path.is_dir() and Path(into).resolve().is_relative_to(path.resolve()):
            raise InvalidInput(f"{into} is inside {path}, which is the corpus. Train into a folder beside it.")
    _require_gensim()
    tell = stage(progress)
    tell("reading")
    settings: dict[str, Any] = {
        "corpus": describe(paths) | {"text": text}, "algorithm": algorithm, "subwords": subwords, **whole,
        "sample": sample, "learning_rate": learning_rate or _ALPHA, "seed": seed,
    }  # fmt: skip
    checkpoint = Checkpoint(into, settings)

    def read(words: int) -> None:
        if progress:
            progress(Step(words, 0, float("nan"), 0.0, "words", "reading"))

    sentences = prepare(paths, text, checkpoint.folder / "corpus", checkpoint.settings, min_count, read)
    run = _Run(checkpoint, sentences, threads or os.cpu_count() or 1, progress)
    tell("measuring")
    before = run.before()
    run.train(checkpoint_seconds)
    tell("measuring")
    table = run.write()
    after = evaluate_words(table) | {"held-out loss": run.loss()}
    data = {**settings.pop("corpus"), "words": sum(sentences.words), "vocabulary": len(sentences.vocabulary)}
    report = Report(checkpoint.into, "words", before, after, run.curve, run.seconds, settings, data, run.notes)
    finish(report, checkpoint)
    return report


class _Run:
    """A model of gensim, and where its training stands."""

    def __init__(self, checkpoint: Checkpoint, sentences: Sentences, threads: int, progress: Progress | None) -> None:
        self.checkpoint, self.sentences, self.progress = checkpoint, sentences, progress
        self.settings = checkpoint.settings
        self.model = _model(self.settings, sentences, threads)
        self.probe = Probe(sentences, self.settings["algorithm"] == "cbow", self.settings["window"])
        self.step, self.seconds, self.curve = 0, 0.0, [(0, self.loss())]
        self.notes = (
            "Trained by one thread: the same call makes the same vectors again."
            if threads == 1
            else f"Trained by {threads} threads, which write at once: no two runs are the same.",
        )
        if state := checkpoint.newest():
            self._restore(state)

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All that is learned."""
        vectors = self.model.wv
        own = {"vectors": vectors.vectors}
        if self.settings["subwords"]:
            own = {"vectors": vectors.vectors_vocab, "ngrams": vectors.vectors_ngrams}
        return {**own, "output": self.model.syn1neg}

    def before(self) -> dict[str, float]:
        """What the vectors are worth before they are trained; remembered, since they change."""
        note = self.checkpoint.folder / "before.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(note.read_text())
            if kept["settings"] == self.settings:
                return {name: float(value) for name, value in kept["figures"].items()}
        figures = evaluate_words(self._table(self.checkpoint.folder / "before")) | {"held-out loss": self.loss()}
        note.write_text(json.dumps({"settings": self.settings, "figures": figures}))
        return {name: float(value) for name, value in figures.items()}

    def train(self, checkpoint_seconds: float) -> None:
        """Train from where it stands to the end."""
        parts = self.sentences.words
        steps = self.settings["epochs"] * len(parts)
        done = sum(parts[step % len(parts)] for step in range(self.step))
        total, first, saved = self.settings["epochs"] * sum(parts), done, time.monotonic()
        begun, spent = saved, self.seconds
        with held_interrupt() as interrupted:
            while self.step < steps:
                words = parts[self.step % len(parts)]
                alphas = [self._alpha(part / total) for part in (done, done + words)]
                self.model.train(
                    corpus_file=str(self.sentences.part(self.step % len(parts))),
                    total_words=words, epochs=1, start_alpha=alphas[0], end_alpha=alphas[1],
                )  # fmt: skip
                self.step, done = self.step + 1, done + words
                now = time.monotonic()
                self.seconds = spent + now - begun
                ends_epoch = self.step % len(parts) == 0
                if ends_epoch:
                    self.curve.append((done, self.loss()))
                if self.progress:
                    rate = (done - first) / (now - begun)
                    self.progress(Step(done, total, self.curve[-1][1], rate, "words", "training"))
                if ends_epoch or interrupted() or now - saved > checkpoint_seconds:
                    self.checkpoint.save(self.step, self._save)
                    saved = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt

    def loss(self) -> float:
        """The loss on the held-out texts."""
        return self.probe.loss(self._vectors(), self.model.syn1neg)

    def write(self) -> Table:
        """Write the table, and word2vec's files, into the folder of the run."""
        made = self._table(self.checkpoint.folder / "table")
        folder = self.checkpoint.into
        _write_word2vec(folder, made, self.sentences.vocabulary)
        files = sorted(made.folder.iterdir(), key=lambda file: file.name == MARKER)
        for file in files:  # the marker last: a folder that has it is whole
            file.replace(folder / file.name)
        return Table(folder)

    def _table(self, folder: Path) -> Table:
        shutil.rmtree(folder, ignore_errors=True)
        return write_table(folder, self.settings["dimension"], self._blocks(), self._subwords())

    def _blocks(self) -> Sequence[Block]:
        words, vectors = [word.encode() for word in self.model.wv.index_to_key], self._vectors()
        starts = range(0, len(words), _ROWS_AT_ONCE)
        return [(words[start : start + _ROWS_AT_ONCE], vectors[start : start + _ROWS_AT_ONCE]) for start in starts]

    def _vectors(self) -> NDArray[np.float32]:
        subwords = self._subwords()
        if subwords is None:
            vectors: NDArray[np.float32] = self.model.wv.vectors
            return vectors
        return subwords.mean(self.model.wv.index_to_key, self.model.wv.vectors_vocab)

    def _subwords(self) -> Subwords | None:
        return Subwords(_SHORTEST, _LONGEST, self.model.wv.vectors_ngrams) if self.settings["subwords"] else None

    def _alpha(self, part: float) -> float:
        first: float = self.settings["learning_rate"]
        return first * (1 - part * (1 - _LAST_ALPHA))

    def _save(self, folder: Path) -> None:
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array)
        _, keys, position, *_ = self.model.random.get_state()
        np.save(folder / "random.npy", np.append(keys, np.uint32(position)))
        about = {"step": self.step, "seconds": self.seconds, "curve": self.curve}
        (folder / "about.json").write_text(json.dumps(about))

    def _restore(self, state: Path) -> None:
        for name, array in self.arrays.items():
            array[:] = np.load(state / f"{name}.npy")
        random = np.load(state / "random.npy")
        self.model.random.set_state(("MT19937", random[:-1], int(random[-1])))
        about = json.loads((state / "about.json").read_text())
        self.step, self.seconds = about["step"], about["seconds"]
        self.curve = [(step, loss) for step, loss in about["curve"]]


def _model(settings: dict[str, Any], sentences: Sentences, threads: int) -> Word2Vec:
    from gensim.models import FastText, Word2Vec

    shared = {
        "vector_size": settings["dimension"], "window": settings["window"], "negative": settings["negative"],
        "sample": settings["sample"], "seed": settings["seed"], "sg": settings["algorithm"] == "skip-gram",
        "alpha": settings["learning_rate"], "workers": threads, "min_count": 1,
    }  # fmt: skip
    if not settings["subwords"]:
        model = Word2Vec(**shared)
    else:

        class Quiet(FastText):  # type: ignore[misc]
            """gensim would make all words' vectors anew after each part, one by one."""

            def _clear_post_train(self) -> None:
                pass

        model = Quiet(**shared, min_n=_SHORTEST, max_n=_LONGEST, bucket=_BUCKETS)
    model.build_vocab_from_freq(sentences.vocabulary)
    return model


def _write_word2vec(folder: Path, table: Table, vocabulary: dict[str, int]) -> None:
    """``vectors.bin`` for any tool that reads word2vec's format, and ``counts.txt`` beside it."""
    words = table.words.first(len(table))
    with (folder / "vectors.bin").open("wb") as file:
        file.write(f"{len(table)} {table.dimension}\n".encode())
        for word, vector in zip(words, table.vectors, strict=True):
            file.write(word.encode() + b" " + vector.tobytes() + b"\n")
    (folder / "counts.txt").write_text("".join(f"{word} {vocabulary[word]}\n" for word in words), encoding="utf-8")


def _check(algorithm: str, subwords: bool, learning_rate: float | None, sample: float) -> None:
    if algorithm not in get_args(Algorithm):
        raise InvalidInput(f"algorithm must be 'skip-gram' or 'cbow', got {algorithm!r}.")
    if type(subwords) is not bool:
        raise InvalidInput(f"subwords must be a bool, got {subwords!r}.")
    for name, value, most in (("learning_rate", learning_rate, 1.0), ("sample", sample, 1.0)):
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= most):
            raise InvalidInput(f"{name} must be a number from 0 to {most:g}, got {value!r}.")


def _require_gensim() -> None:
    try:
        import gensim.models  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Training words", "train") from error
