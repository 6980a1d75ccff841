"""A BERT encoder as an OpenVINO graph, written so that the runtime finds its fused kernels in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.runtime import openvino

if TYPE_CHECKING:
    from openvino import Model

__all__ = ["Weights", "bert"]

Weights = Mapping[str, NDArray[Any]]
"""Tensors by their names in the original checkpoint. A matrix of int8 has its float32 scales, one for each
row, beside it under ``name + ".scale"``."""

_EPSILON = 1e-12


def bert(
    weights: Weights,
    *,
    layers: int,
    heads: int,
    order: NDArray[np.intp] | None = None,
    shift: NDArray[np.float32] | None = None,
) -> Model:
    """Build the graph: ``input_ids`` and ``attention_mask``, int64 (n, tokens), to float32 (n, hidden).

    The output is the mean of the last layer's vectors over the tokens that the mask keeps, of unit length.
    Pooling is part of the graph, so that a batch returns one row a text and not one a token.

    Args:
        weights: of the model.
        layers: that it has.
        heads: of each layer's attention.
        order: of the hidden channels in ``weights``, to be undone at the end.
        shift: added to the unit vectors, which are then scaled to unit length again.
    """
    ov = openvino()
    op = ov.opset13
    hidden = len(weights["embeddings.LayerNorm.bias"])

    def matrix(*names: str) -> Any:
        """Put the matrices of ``names`` on top of each other, (outputs, inputs)."""
        stacked = np.concatenate([weights[name] for name in names])
        if stacked.dtype != np.int8:
            return op.constant(stacked)
        # int8 with Convert and Multiply stays int8 in memory, and the runtime multiplies it as such.
        scales = np.concatenate([weights[f"{name}.scale"] for name in names])
        return op.multiply(op.convert(op.constant(stacked), np.float32), op.constant(scales))

    def linear(x: Any, *names: str) -> Any:
        bias = np.concatenate([weights[f"{name}.bias"] for name in names])
        return op.add(op.matmul(x, matrix(*(f"{name}.weight" for name in names)), False, True), bias)

    def layer_norm(x: Any, name: str) -> Any:
        normal = op.mvn(x, np.array([-1]), True, _EPSILON, "INSIDE_SQRT")
        scaled = op.multiply(normal, weights[f"{name}.weight"])
        return op.add(scaled, weights[f"{name}.bias"])

    def lookup(name: str, rows: Any) -> Any:
        table = weights[name]
        found = op.convert(op.gather(op.constant(table), rows, np.int64(0)), np.float32)
        if table.dtype != np.int8:
            return found
        return op.multiply(found, op.gather(op.constant(weights[f"{name}.scale"]), rows, np.int64(0)))

    def attention(x: Any, bias: Any, name: str) -> Any:
        # One product for query, key and value, then (3, n, heads, tokens, head).
        qkv = linear(x, *(f"{name}.self.{part}" for part in ("query", "key", "value")))
        qkv = op.reshape(qkv, np.array([0, 0, 3, heads, hidden // heads]), True)
        qkv = op.transpose(qkv, np.array([2, 0, 3, 1, 4]))
        parts = op.split(qkv, np.int64(0), 3).outputs()
        query, key, value = (op.squeeze(part, np.int64(0)) for part in parts)
        scores = op.multiply(op.matmul(query, key, False, True), np.float32((hidden // heads) ** -0.5))
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        return op.reshape(op.transpose(mixed, np.array([0, 2, 1, 3])), np.array([0, 0, hidden]), True)

    ids = op.parameter([-1, -1], np.int64, "input_ids")
    mask = op.parameter([-1, -1], np.int64, "attention_mask")
    kept = op.convert(mask, np.float32)
    bias = op.unsqueeze(op.multiply(op.subtract(np.float32(1), kept), np.float32(-10_000)), np.array([1, 2]))

    length = op.gather(op.shape_of(ids), np.int64(1), np.int64(0))
    positions = op.range(np.int64(0), length, np.int64(1), "i64")
    words = lookup("embeddings.word_embeddings.weight", ids)
    places = lookup("embeddings.position_embeddings.weight", positions)
    first_segment = weights["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(op.add(words, op.add(places, first_segment)), "embeddings.LayerNorm")
    for number in range(layers):
        name = f"encoder.layer.{number}"
        mixed = linear(attention(x, bias, f"{name}.attention"), f"{name}.attention.output.dense")
        x = layer_norm(op.add(mixed, x), f"{name}.attention.output.LayerNorm")
        wide = op.gelu(linear(x, f"{name}.intermediate.dense"), "erf")
        x = layer_norm(op.add(linear(wide, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")

    # The mean and the sum over tokens have the same direction, and only that is left at unit length.
    total = op.reduce_sum(op.multiply(x, op.unsqueeze(kept, np.int64(2))), np.int64(1))
    pooled = op.normalize_l2(total, np.array([1]), _EPSILON, "max")
    if order is not None:
        pooled = op.gather(pooled, np.argsort(order), np.int64(1))
    if shift is not None:
        pooled = op.normalize_l2(op.add(pooled, shift), np.array([1]), _EPSILON, "max")
    for node, label in ((ids, "input_ids"), (mask, "attention_mask")):
        node.output(0).set_names({label})
    return ov.Model([pooled], [ids, mask], "bert")
