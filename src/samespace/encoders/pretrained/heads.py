"""What comes after the token vectors: pooling as part of a graph, and the small modules behind it in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.modules import Dense, Module
from samespace.encoders.runtime import openvino
from samespace.errors import InvalidInput
from samespace.vectors import Matrix

__all__ = ["Head", "head", "pooled"]

Head = Callable[[Matrix], Matrix]
"""Pooled vectors of shape (n, …) to the model's vectors, float32 of shape (n, dimension)."""

_FUNCTIONS: dict[str, Head] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: np.float32(1) / (np.float32(1) + np.exp(-x)),
}


def head(files: Files, modules: Sequence[Module], truncation: int | None) -> Head:
    """The modules after pooling, one after the other.

    Raises:
        InvalidInput: the weights of a module are not those of its configuration.
    """
    steps = [_dense(files, module) if isinstance(module, Dense) else _unit for module in modules]

    def apply(array: Matrix) -> Matrix:
        for step in steps:
            array = step(array)
        return np.ascontiguousarray(array[:, :truncation], np.float32)

    return apply


def _unit(array: Matrix) -> Matrix:
    length: Matrix = np.maximum(np.linalg.norm(array, axis=1, keepdims=True), np.float32(1e-12))
    return array / length


def _dense(files: Files, module: Dense) -> Head:
    tensors = files.tensors(module.folder)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    if weight is None or weight.ndim != 2 or len(weight) != module.dimension:
        raise InvalidInput(
            f"{files.path(module.folder)} must hold 'linear.weight' with {module.dimension} rows, as its configuration "
            f"says; got {sorted(tensors)}. Get its files again."
        )
    matrix = np.ascontiguousarray(weight.T, np.float32)
    added = np.float32(0) if bias is None else np.asarray(bias, np.float32)
    function = _FUNCTIONS[module.activation]
    return lambda array: function(array @ matrix + added)


def pooled(states: Any, kept: Any, modes: Sequence[str]) -> Any:
    """Nodes that pool token vectors as sentence-transformers' Pooling does texts that are padded on the right.

    Args:
        states: output of shape (texts, tokens, hidden).
        kept: int64 output of shape (texts, tokens): 1 for the tokens to be pooled.
        modes: of pooling; their results are joined.
    """
    op = openvino().opset13
    one, two = np.int64(1), np.int64(2)
    mask = op.convert(kept, np.float32)

    def total(weights: Any) -> Any:
        return op.reduce_sum(op.multiply(states, op.unsqueeze(weights, two)), one)

    def divided(weights: Any, root: bool = False) -> Any:
        norm = op.maximum(op.reduce_sum(weights, one, True), np.float32(1e-9))
        return op.divide(total(weights), op.sqrt(norm) if root else norm)

    def edge(reverse: bool) -> Any:
        """1 for the first token that is kept, or the last."""
        number = op.cum_sum(mask, one, reverse=reverse)
        return op.multiply(mask, op.convert(op.equal(number, np.float32(1)), np.float32))

    def maximum() -> Any:
        lowest = op.multiply(op.subtract(np.float32(1), mask), np.float32(-1e30))
        return op.reduce_max(op.add(states, op.unsqueeze(lowest, two)), one)

    def weighted() -> Any:
        count = op.gather(op.shape_of(kept), one, np.int64(0))
        places = op.convert(op.range(one, op.add(count, one), one, "i64"), np.float32)
        return divided(op.multiply(mask, places))

    makers: dict[str, Callable[[], Any]] = {
        "cls": lambda: total(edge(reverse=False)),
        "max": maximum,
        "mean": lambda: divided(mask),
        "mean_sqrt_len_tokens": lambda: divided(mask, root=True),
        "weightedmean": weighted,
        "lasttoken": lambda: total(edge(reverse=True)),
    }
    return op.concat([makers[mode]() for mode in modes], -1) if len(modes) > 1 else makers[modes[0]]()
