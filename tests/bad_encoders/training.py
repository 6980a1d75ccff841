"""Corpora, pairs and models that nothing can be trained on; settings that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_encoders.case import Case
from samespace.errors import InvalidInput, NotFound
from samespace.evaluation.pairs import read_pairs

__all__ = ["CASES"]

_GOOD = "".join(json.dumps({"anchor": f"question {n}", "positive": f"answer {n}"}) + "\n" for n in range(20))
_LINES = "".join(f"This is line number {n} of a corpus.\n" for n in range(60))


def _bert(content: bytes | str, **settings: Any) -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        pytest.importorskip("sentence_transformers")
        from samespace.training.bert import train_bert

        (tmp / "corpus.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
        return train_bert(tmp / "corpus.txt", tmp / "model", **settings)

    return act


def _pairs(content: str = _GOOD, **settings: Any) -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        pytest.importorskip("sentence_transformers")
        from samespace.training.pairs import train_pairs

        (tmp / "pairs.jsonl").write_text(content)
        return train_pairs(tmp / "pairs.jsonl", tmp / "model", **settings)

    return act


def _read(name: str, content: bytes | str) -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        (tmp / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_pairs(tmp / name)

    return act


def _onto_my_thesis(tmp: Path) -> object:
    (tmp / "model").mkdir()
    (tmp / "model" / "thesis.txt").write_text("mine")
    return _pairs()(tmp)


def _with_other_settings(tmp: Path) -> object:
    state = tmp / "model" / "checkpoint" / "state-000000000001"
    state.mkdir(parents=True)
    (state / "settings.json").write_text(json.dumps({"kind": "pairs", "batch": 64}))
    return _pairs(batch=128)(tmp)


def _pickled(tmp: Path) -> object:
    (tmp / "old").mkdir()
    (tmp / "old" / "config.json").write_text("{}")
    (tmp / "old" / "pytorch_model.bin").write_bytes(b"")
    return _pairs(from_=str(tmp / "old"))(tmp)


CASES = [
    Case("an empty corpus", 'train_bert("corpus.txt", "model")', _bert(""), InvalidInput, "is empty"),
    Case("a corpus of one line", 'train_bert("corpus.txt", "model")', _bert("one line"), InvalidInput, "holds 1 texts"),
    Case(
        "a corpus of one line, many times",
        'train_bert("corpus.txt", "model")',
        _bert("the same\n" * 900),
        InvalidInput,
        "holds 900 texts, 1 of them different",
    ),
    Case(
        "a picture as a corpus", 'train_bert("corpus.txt", "model")', _bert(b"\x89PNG\0\0"), InvalidInput, "is binary"
    ),
    Case(
        "a corpus in Latin-1",
        'train_bert("corpus.txt", "model")',
        _bert("schöne Grüße\n".encode("latin1")),
        InvalidInput,
        r"is not UTF-8\. Save it as UTF-8",
    ),
    Case(
        "heads that do not divide",
        'train_bert("corpus.txt", "model", hidden=100, heads=3)',
        _bert(_LINES, hidden=100, heads=3),
        InvalidInput,
        "hidden must be a multiple of heads",
    ),
    Case(
        "more tokens than the corpus has",
        'train_bert("corpus.txt", "model", max_tokens=4096)',
        _bert(_LINES, max_tokens=4096),
        InvalidInput,
        "makes 0 blocks of 4096 tokens",
    ),
    Case("pairs in a file of text", 'read_pairs("p.txt")', _read("p.txt", "a b"), InvalidInput, r"ends in \.jsonl"),
    Case(
        "pairs of other columns",
        'read_pairs("p.csv")',
        _read("p.csv", "question,answer\na,b\n"),
        InvalidInput,
        "has the columns 'question', 'answer'; expected anchor and positive",
    ),
    Case(
        "a pair that lacks a text",
        'read_pairs("p.csv")',
        _read("p.csv", "anchor,positive\na,\n"),
        InvalidInput,
        "line 2",
    ),
    Case("a broken line of JSON", 'read_pairs("p.jsonl")', _read("p.jsonl", "{"), InvalidInput, "line 1 is not JSON"),
    Case(
        "a score that is a word", 'read_pairs("p.csv")', _read("p.csv", "a,b,score\nx,y,?\n"), InvalidInput, "got '.'"
    ),
    Case("binary pairs", 'read_pairs("p.csv")', _read("p.csv", b"anchor,positive\na\0,b\n"), InvalidInput, "is binary"),
    Case("no pairs", 'train_pairs("pairs.jsonl", "model")', _pairs("\n"), InvalidInput, "holds no pairs"),
    Case(
        "pairs that are all the same",
        'train_pairs("pairs.jsonl", "model")',
        _pairs(_GOOD.splitlines(keepends=True)[0] * 50),
        InvalidInput,
        "of 50 pairs 1 are left",
    ),
    Case(
        "pairs with scores, to train on",
        'train_pairs("pairs.jsonl", "model")',
        _pairs('{"a": "x", "b": "y", "score": 0.5}\n' * 20),
        InvalidInput,
        "Training needs pairs of anchor and positive",
    ),
    Case(
        "training into a folder of something else",
        'train_pairs("pairs.jsonl", "thesis")',
        _onto_my_thesis,
        InvalidInput,
        "is not empty and holds no checkpoint",
    ),
    Case(
        "going on with other settings",
        'train_pairs("pairs.jsonl", "model", batch=128)',
        _with_other_settings,
        InvalidInput,
        "was made with other settings: batch 64, now 128",
    ),
    Case(
        "training from pickled weights",
        'train_pairs("pairs.jsonl", "model", from_="./old")',
        _pickled,
        InvalidInput,
        "are pickled",
    ),
    Case(
        "training from a folder that is not there",
        'train_pairs("pairs.jsonl", "model", from_="./none")',
        _pairs(from_="./none"),
        NotFound,
        r"There is no folder '\./none'",
    ),
    Case(
        "training from a provider",
        'train_pairs("pairs.jsonl", "model", from_="openai:text-embedding-3-small")',
        _pairs(from_="openai:text-embedding-3-small"),
        InvalidInput,
        "expected minilm, a folder, or hf:owner/name",
    ),
    Case(
        "a learning rate of nothing",
        'train_pairs("pairs.jsonl", "model", learning_rate=-1)',
        _pairs(learning_rate=-1),
        InvalidInput,
        "learning_rate must be a positive number, got -1",
    ),
    Case(
        "a short dimension that is longer",
        'train_pairs("pairs.jsonl", "model", matryoshka=[512])',
        _pairs(matryoshka=[512]),
        InvalidInput,
        "shorter than the model's 384",
    ),
]
