"""A static model distilled from a transformer: one vector a token, hundreds of times as fast, blind to word order."""

from __future__ import annotations

import io
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.evaluation.pairs import spearman
from samespace.sources.standard_library import docstrings
from samespace.training.bases import embed, open_base, write_model
from samespace.training.corpus import split_lines
from samespace.training.loop import Plan, count, fit, rate, require_torch, torch_threads
from samespace.training.run import Checkpoint, Progress, Report, describe_file, digest_texts, finish, stage
from samespace.vectors import Matrix, unit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from torch import Tensor

__all__ = ["distil_static"]

_FEWEST = 100  # different texts
_MEASURED = 500  # texts; their pairs are a hundred thousand
_WORD_SEEN = 5  # times, to get a vector of its own
_BATCH = 128
_WORD = re.compile(r"[^\W\d_]+")
_SIF = 1e-4
_TOKENS_AT_ONCE = 256
_LESSONS = "lessons.npz"


def distil_static(
    into: str | os.PathLike[str],
    *,
    from_: str = "minilm",
    corpus: str | os.PathLike[str] | None = None,
    dimension: int = 256,
    vocabulary: int = 0,
    epochs: int = 3,
    learning_rate: float = 3e-3,
    seed: int = 0,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress | None = None,
) -> Report:
    """Distil a static model: what the model before makes of each token alone, weighted by how rare the token is.

    Without a corpus that is all (the method of model2vec: Tulkens and van Dongen 2024; that library's own distillation
    cannot be installed beside a current transformers). With one, the table is then trained
    until its texts' vectors have the directions of the model before (as Tokenlearn does), on texts of the kind
    that it will be used on. The same call goes on from the checkpoint of an interrupted one.

    Args:
        into: the folder for the model; new, empty, or with a checkpoint of the same call.
        from_: ``"minilm"``, a folder, or ``"hf:owner/name@revision"``; a transformer.
        corpus: a file with one text a line, UTF-8. Each is encoded once with the model before.
        dimension: of the vectors, at most that of the model before.
        vocabulary: whole words of the corpus, the most frequent, that get a vector beside the model's tokens.
        epochs: how often the corpus is read.
        learning_rate: at its highest.
        seed: of everything random.
        threads: of torch; None: as torch chooses.
        checkpoint_seconds: between checkpoints.
        progress: called with each :class:`~samespace.training.run.Step`.

    Returns:
        The report. ``before`` is the model before, ``after`` the static one: ``texts/s``; ``agreement``, the
        Spearman correlation of all similarities among 500 held-out texts (of the corpus; else documentation of
        Python's standard library) with those by the model before; ``neighbours@10``, the part of the nearest
        ten that are the same. With a corpus, ``untrained agreement`` is that before the corpus was read.

    Raises:
        InvalidInput: a corpus or settings that cannot be used, or a model that is no transformer.
        NotFound: there is no such file or model.
        MissingExtra: torch or a library of training is not installed.
        StorageFull: no space left; the last checkpoint is kept.
        KeyboardInterrupt: Ctrl-C; the checkpoint is written, if there was something to go on from.
    """
    require_torch()
    settings: dict[str, Any] = {
        "kind": "static",
        "from": from_,
        "dimension": count("dimension", dimension),
        "vocabulary": count("vocabulary", vocabulary, 0),
        "epochs": count("epochs", epochs),
        "learning_rate": rate("learning_rate", learning_rate),
        "seed": count("seed", seed, 0),
    }
    if corpus is None and vocabulary:
        raise InvalidInput("vocabulary takes words from a corpus; name one, or leave vocabulary out.")
    data: dict[str, Any] | None = None
    train: list[str] = []
    held: list[str] = []
    if corpus is not None:
        data = describe_file(corpus)
        train, held = split_lines(corpus, 0.05, _FEWEST)
    with open_base(from_) as base, torch_threads(threads):
        settings |= {"corpus": data and data["sha256"], "from_digest": base.digest}
        teacher = base.load()
        _check(teacher, from_, dimension)
        checkpoint = Checkpoint(into, settings)
        held = held[:_MEASURED] or [passage.content for passage in islice(docstrings(), _MEASURED)]
        kept = checkpoint.kept(_LESSONS)
        if kept is None:
            lessons = _taught(teacher, train, held, dimension, vocabulary, stage(progress))
        else:
            lessons = _Lessons.read(kept)
        student = _student(lessons.table, lessons.tokenizer)
        after = _measure(student, held, lessons.wanted)
        curve, seconds = list[tuple[int, float]](), 0.0
        if train:
            steps = epochs * max(1, len(train) // _BATCH)
            plan = Plan(steps, learning_rate, 0.05, seed, weight_decay=0.0, checkpoint_seconds=checkpoint_seconds)
            curve, seconds = _train(student, train, lessons.targets, plan, checkpoint, progress, lessons.write())
            after = {**_measure(student, held, lessons.wanted), "untrained agreement": after["agreement"]}
        write_model(student, checkpoint.into)
        report = Report(
            checkpoint.into,
            "static",
            {"texts/s": lessons.pace, "agreement": 1.0, "neighbours@10": 1.0},
            after,
            curve,
            seconds,
            settings,
            {
                "corpus": data,
                "measured_on": digest_texts(held),
                "trained_on": len(train),
                "tokens": len(lessons.table),
            },
            (base.note,),
        )
        finish(report, checkpoint)
    return report


@dataclass(frozen=True, eq=False)
class _Lessons:
    """What the model before was asked.

    Attributes:
        wanted: its vectors of the held-out texts.
        pace: at which it made them, in texts a second.
        targets: its vectors of the corpus, in as many dimensions as the student's.
        table: the student's vectors before it is trained, float32 (tokens, dimension); zeros for what is unknown.
        tokenizer: the student's, as JSON.
    """

    wanted: Matrix
    pace: float
    targets: Matrix
    table: Matrix
    tokenizer: str

    def write(self) -> bytes:
        file = io.BytesIO()
        parts: dict[str, Any] = vars(self)
        np.savez(file, **parts)
        return file.getvalue()

    @classmethod
    def read(cls, content: bytes) -> _Lessons:
        with np.load(io.BytesIO(content)) as found:
            arrays = found["wanted"], float(found["pace"]), found["targets"], found["table"]
            return cls(*arrays, str(found["tokenizer"]))


def _check(teacher: SentenceTransformer, name: str, dimension: int) -> None:
    if teacher.transformers_model is None:
        raise InvalidInput(f"{name} is no transformer, so there is nothing to distil. Name one that is.")
    whole = teacher.get_embedding_dimension() or 0
    if dimension > whole:
        raise InvalidInput(f"dimension must be at most the {whole} of {name}, got {dimension}.")


def _taught(
    teacher: SentenceTransformer,
    train: Sequence[str],
    held: Sequence[str],
    dimension: int,
    vocabulary: int,
    tell: Callable[[str], None],
) -> _Lessons:
    tell("measuring the model before")
    began = time.perf_counter()
    wanted = embed(teacher, held, "document")
    pace = len(held) / (time.perf_counter() - began)
    targets = np.empty((0, dimension), np.float32)
    if train:
        tell(f"encoding {len(train):,} texts with the model before")
        targets = unit(embed(teacher, train, "document"))
        # The plane that keeps most of all dot products: the first right singular vectors, with no mean taken off.
        _, directions = np.linalg.eigh(targets.T.astype(np.float64) @ targets)
        targets = np.ascontiguousarray(targets @ directions[:, ::-1][:, :dimension].astype(np.float32))
    tell("encoding the vocabulary")
    table, tokenizer = _distilled(teacher, train, dimension, vocabulary)
    if train:
        table = _aligned(table, tokenizer, train, targets)
    return _Lessons(wanted, pace, targets, table, tokenizer)


def _distilled(
    teacher: SentenceTransformer, texts: Sequence[str], dimension: int, vocabulary: int
) -> tuple[Matrix, str]:
    """The table and the tokenizer: the teacher's tokens and words of the corpus, each encoded alone.

    The vectors' first principal components, times SIF weights (Arora et al. 2017) by how often a token is in the
    corpus; without one, by Zipf's law, as tokenizers number the frequent first.
    """
    from tokenizers import AddedToken, Tokenizer

    source: Any = teacher.tokenizer
    tokenizer = Tokenizer.from_str(source.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pieces = [[number] for number in range(tokenizer.get_vocab_size())]
    words = _words(tokenizer, texts, vocabulary)
    pieces += [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in words])
    vectors = _alone(teacher, pieces).astype(np.float64)
    special = list(source.all_special_ids)
    known = np.ones(len(vectors), bool)
    known[special] = False
    centred = vectors - vectors[known].mean(axis=0)
    _, directions = np.linalg.eigh(centred[known].T @ centred[known])
    counts: NDArray[np.floating[Any]] = 1.0 / np.arange(2, len(vectors) + 2)
    if texts:
        encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        counts = np.bincount([number for each in encodings for number in each.ids], minlength=len(vectors)) + 0.5
    weights = known * _SIF / (_SIF + counts / counts.sum())
    table = (centred @ directions[:, ::-1][:, :dimension] * weights[:, None]).astype(np.float32)
    return np.ascontiguousarray(table), tokenizer.to_str()


def _words(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> list[str]:
    """The most frequent words of a corpus, in lower case, that the tokenizer cuts into pieces."""
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower())) if most else Counter[str]()
    seen = (word for word, times in counts.most_common() if times >= _WORD_SEEN)
    return list(islice((word for word in seen if len(tokenizer.encode(word, add_special_tokens=False)) > 1), most))


def _alone(teacher: SentenceTransformer, pieces: Sequence[Sequence[int]]) -> Matrix:
    """What the teacher makes of token numbers, with its special tokens around them: float32 (pieces, dimension)."""
    import torch

    source: Any = teacher.tokenizer
    example = source("a", return_special_tokens_mask=True)
    inside = example["special_tokens_mask"].index(0)
    outside = len(example["special_tokens_mask"]) - example["special_tokens_mask"][::-1].index(0)
    before, after = example["input_ids"][:inside], example["input_ids"][outside:]
    order = sorted(range(len(pieces)), key=lambda row: len(pieces[row]))  # batches of one length need no padding
    found: list[Matrix] = []
    teacher.eval()
    with torch.inference_mode():
        for _, rows in groupby(order, key=lambda row: len(pieces[row])):
            same: Any = torch.tensor([[*before, *pieces[row], *after] for row in rows])
            for ids in same.split(_TOKENS_AT_ONCE):
                features = {
                    "input_ids": ids.to(teacher.device),
                    "attention_mask": torch.ones_like(ids).to(teacher.device),
                }
                found.append(teacher(features)["sentence_embedding"].float().cpu().numpy())
    vectors = np.concatenate(found)
    vectors[order] = vectors.copy()
    return vectors


def _aligned(table: Matrix, tokenizer: str, texts: Sequence[str], targets: Matrix) -> Matrix:
    """Turn the table into the axes of the targets: the linear map that brings texts nearest to theirs."""
    means = embed(_student(table, tokenizer), texts, "document").astype(np.float64)
    gram = means.T @ means + 1e-3 * len(texts) * np.eye(table.shape[1]) / table.shape[1]
    turned: Matrix = (table @ np.linalg.solve(gram, means.T @ targets)).astype(np.float32)
    return turned


def _student(table: Matrix, tokenizer: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    words = StaticEmbedding(Tokenizer.from_str(tokenizer), embedding_weights=table.copy())
    return SentenceTransformer(modules=[words, Normalize()], device="cpu", similarity_fn_name="cosine")


def _measure(student: SentenceTransformer, texts: Sequence[str], wanted: Matrix) -> dict[str, float]:
    """The pace, and how far similarities agree with those of the vectors that are wanted."""
    embed(student, texts, "document")  # what is slow the first time is not the model's pace
    began = time.perf_counter()
    found = embed(student, texts, "document")
    pace = len(texts) / (time.perf_counter() - began)
    theirs, ours = (unit(each) @ unit(each).T for each in (wanted, _known(found)))
    above = np.triu_indices(len(texts), 1)
    nearest = []
    for similarities in (theirs, ours):
        np.fill_diagonal(similarities, -np.inf)
        nearest.append(np.argsort(-similarities, axis=1, kind="stable")[:, :10])
    same = np.mean([len(np.intersect1d(*rows)) / len(rows[0]) for rows in zip(*nearest, strict=True)])
    return {"texts/s": pace, "agreement": spearman(theirs[above], ours[above]), "neighbours@10": float(same)}


def _known(vectors: Matrix) -> Matrix:
    """A text of nothing that is known gets some direction, as like to one text as to another."""
    vectors[~vectors.any(axis=1)] = 1.0
    return vectors


def _train(
    student: SentenceTransformer,
    texts: Sequence[str],
    targets: Matrix,
    plan: Plan,
    checkpoint: Checkpoint,
    progress: Progress | None,
    lessons: bytes,
) -> tuple[list[tuple[int, float]], float]:
    """Turn the vectors of texts into the directions of the targets."""
    import torch

    wanted = torch.from_numpy(targets)

    def loss_of(step: int) -> Tensor:
        epoch, place = divmod(step * _BATCH, len(texts) // _BATCH * _BATCH or len(texts))
        rows = np.random.default_rng((plan.seed, epoch)).permutation(len(texts))[place : place + _BATCH]
        found = student(student.preprocess([texts[row] for row in rows]))["sentence_embedding"]
        loss: Tensor = (1 - torch.nn.functional.cosine_similarity(found, wanted[rows])).mean()
        return loss

    table = next(student.parameters())
    unknown = ~table.detach().any(dim=1)
    done = fit(dict(student.named_parameters()), loss_of, plan, checkpoint, progress, {_LESSONS: lessons})
    table.detach()[unknown] = 0.0  # what is unknown says nothing
    return done
