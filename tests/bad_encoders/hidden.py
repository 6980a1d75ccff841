"""Hidden layers and token vectors that there are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bad_encoders.case import Case
from samespace import Space, Vectors
from samespace.encoders import encoder
from samespace.encoders.pretrained.tokens import TokenVectors
from samespace.errors import EncoderError, InvalidInput, NotFound
from samespace.evaluation.layers import score_layers
from samespace.evaluation.pairs import Pairs

__all__ = ["CASES"]


def _model(tmp: Path) -> Path:
    from encoders.pretrained.tiny import make

    return make("bert", tmp / "model")


def _opened(options: str):
    return lambda tmp: encoder(f"{_model(tmp)}?{options}", cache=False)


def _lacking(tmp: Path):
    from safetensors.torch import load_file, save_file

    file = _model(tmp) / "model.safetensors"
    weights = load_file(file)
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, file, {"format": "pt"})
    return encoder(f"{file.parent}?layer=1", cache=False).encode_queries(["a bank"])


def _reshaped(tmp: Path):
    file = _model(tmp) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 48}))
    return encoder(f"{file.parent}?layer=1", cache=False).encode_queries(["a bank"])


def _tokens(items):
    return lambda tmp: encoder(f"{_model(tmp)}?layer=1", cache=False).encode_tokens(items)


_BANK = TokenVectors(
    "a bank",
    ["a", "bank"],
    np.array([[0, 1], [2, 6]], np.int32),
    np.array([0, 1], np.int32),
    Vectors([[1.0, 0.0], [0.0, 1.0]], Space("by hand", 2, pooling="token")),
    truncated=False,
)


def _scored(count: int, score: float):
    texts = [str(number) for number in range(count)]
    table = {"mean": np.ones((2, count, 4), np.float32) / 2}
    return lambda _tmp: score_layers(table, table, Pairs(texts, texts, scores=np.full(count, score)))


CASES = [
    Case(
        "a layer that the model does not have",
        "encoder('./model?layer=13')",
        _opened("layer=13"),
        InvalidInput,
        r"layer=13 is out of range: the model has 3 hidden layers",
    ),
    Case(
        "a layer before the first",
        "encoder('./model?layer=-9')",
        _opened("layer=-9"),
        InvalidInput,
        r"layer=-9 is out of range.*-1 to -4",
    ),
    Case(
        "a layer that is no number",
        "encoder('./model?layer=last')",
        _opened("layer=last"),
        InvalidInput,
        r"layer= must be a number, or several with commas between; got 'last'",
    ),
    Case(
        "one layer twice",
        "encoder('./model?layer=3,-1')",
        _opened("layer=3,-1"),
        InvalidInput,
        r"layer=3,-1 names layer 3 twice",
    ),
    Case(
        "a pooling that there is not",
        "encoder('./model?layer=1&pooling=median')",
        _opened("layer=1&pooling=median"),
        InvalidInput,
        r"pooling= must be one of mean, cls, max, last, weighted; got 'median'",
    ),
    Case(
        "layers combined in a way that there is not",
        "encoder('./model?layer=1,2&combine=sum')",
        _opened("layer=1,2&combine=sum"),
        InvalidInput,
        r"combine= must be one of mean, join; got 'sum'",
    ),
    Case(
        "layers combined, and none named",
        "encoder('./model?combine=join')",
        _opened("combine=join"),
        InvalidInput,
        r"says how to combine layers, and not which",
    ),
    Case(
        "a hidden layer of a model of the catalogue",
        "encoder('minilm?layer=2')",
        lambda _tmp: encoder("minilm?layer=2"),
        InvalidInput,
        r"has no option layer",
    ),
    Case(
        "weights that lack a tensor",
        "encoder('./model?layer=1').encode_queries(['a bank'])",
        _lacking,
        EncoderError,
        r"lack 1 of the \d+ tensors of the model .*: it is not there\. They would be random",
    ),
    Case(
        "weights of another shape than the configuration's",
        "encoder('./model?layer=1').encode_queries(['a bank'])",
        _reshaped,
        EncoderError,
        r"lack 9 of the \d+ tensors .*: its shape is \[32\], not \[48\]",
    ),
    Case(
        "the tokens of one text, not of a list",
        "encoder.encode_tokens('a bank')",
        _tokens("a bank"),
        InvalidInput,
        r"Expected a list of texts, got one str",
    ),
    Case(
        "the tokens of a blank text",
        "encoder.encode_tokens([' '])",
        _tokens([" "]),
        InvalidInput,
        r"Item 0 is blank",
    ),
    Case(
        "a word beyond the end of its text",
        "tokens.word(2, 99)",
        lambda _tmp: _BANK.word(2, 99),
        InvalidInput,
        r"A word is the characters from start to end of a text of 6, got 2 to 99",
    ),
    Case(
        "a word that is not in its text",
        "tokens.of('river')",
        lambda _tmp: _BANK.of("river"),
        NotFound,
        r"The word 'river' is not in 'a bank'",
    ),
    Case(
        "layers scored on too few pairs",
        "score_layers(left, right, pairs)",
        _scored(7, 1.0),
        InvalidInput,
        r"7 pairs are too few to tell layers apart",
    ),
    Case(
        "layers scored on pairs of one score",
        "score_layers(left, right, pairs)",
        _scored(30, 0.5),
        InvalidInput,
        r"All pairs have the score 0\.5",
    ),
]
