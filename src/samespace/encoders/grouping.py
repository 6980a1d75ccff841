"""Put the hidden channels of a BERT model in an order that costs less when activations become int8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.graph import Weights

__all__ = ["by_gain"]

# The rows of these are hidden channels, or else their columns are.
_ROWS = ("output.dense.weight", "output.dense.weight.scale", "output.dense.bias")
_COLUMNS = ("query.weight", "key.weight", "value.weight", "intermediate.dense.weight")


def by_gain(weights: Weights) -> tuple[Weights, NDArray[np.intp]]:
    """Sort the hidden channels by their size, so that those of similar size are neighbours.

    A runtime that quantises activations gives each run of neighbouring channels one scale, which one large
    channel spoils for all the others. What a LayerNorm makes of a channel has the second moment
    gain² + bias², so the sizes are read off the weights, with no text to calibrate on.

    Channels have no order of their own: the model computes the same numbers as before, in the new order.

    Returns:
        The weights in the new order, and the order: the old number of each channel.
    """
    names = [name.removesuffix(".weight") for name in weights if name.endswith("LayerNorm.weight")]
    moments = [weights[f"{name}.weight"] ** 2 + weights[f"{name}.bias"] ** 2 for name in names]
    sizes = [np.log(np.maximum(moment / np.median(moment), 1e-6)) for moment in moments]
    order = np.argsort(-np.mean(sizes, axis=0), kind="stable")

    def sort(name: str) -> NDArray[np.generic]:
        tensor = weights[name]
        if "LayerNorm" in name or name.endswith(_ROWS):
            return tensor[order]
        if name.endswith(_COLUMNS) or (name.startswith("embeddings.") and name.endswith(".weight")):
            return np.take(tensor, order, axis=1)
        return tensor

    return {name: sort(name) for name in weights}, order
