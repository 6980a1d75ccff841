"""The original in numpy, float32: what `minilm` is held against."""

from __future__ import annotations

import numpy as np


def gelu(x):
    # erf by Abramowitz and Stegun 7.1.26, whose error is below 2e-7.
    z = np.abs(x) * 0.5**0.5
    t = 1 / (1 + 0.3275911 * z)
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return 0.5 * x * (1 + np.sign(x) * (1 - series * np.exp(-z * z)))


def embed(weights, ids, layers=6, heads=12):
    """Vector of unit length for one text's token ids."""

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def layer_norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    words, places, segments = (weights[f"embeddings.{name}.weight"] for name in names)
    x = layer_norm(words[ids] + places[: len(ids)] + segments[0], "embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{name}.attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1], dtype=np.float32)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = ((scores / scores.sum(-1, keepdims=True)) @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        mixed = linear(mixed, f"{name}.attention.output.dense")
        x = layer_norm(mixed + x, f"{name}.attention.output.LayerNorm")
        wide = gelu(linear(x, f"{name}.intermediate.dense"))
        x = layer_norm(linear(wide, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
