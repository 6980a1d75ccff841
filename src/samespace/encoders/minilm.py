"""all-MiniLM-L6-v2 on OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.batching import Requests, batches, padded
from samespace.encoders.catalogue import Model
from samespace.encoders.graph import Weights, bert
from samespace.encoders.grouping import by_gain
from samespace.encoders.runtime import core
from samespace.encoders.wordpiece import WordPiece
from samespace.space import Role
from samespace.vectors import Matrix, Receipts

__all__ = ["MiniLM", "weights"]

_LAYERS, _HEADS = 6, 12


class MiniLM(Encoder):
    """Encodes texts with the model of a row, batches of similar length side by side on all cores.

    Args:
        row: of the catalogue.
        threads: to use; None for all cores.
    """

    max_tokens: int

    def __init__(self, row: Model, threads: int | None = None) -> None:
        self.name, self.space, self.max_tokens = row.name, row.space, row.max_tokens or 512
        self.setup = f"openvino {version('openvino')}"
        self._row = row
        self._threads = threads
        self._lock = Lock()

    def _encode(
        self,
        texts: Sequence[str],
        role: Role,  # noqa: ARG002 it treats both alike
        progress: Progress,
    ) -> tuple[Matrix, Receipts]:
        ids, total = self._tokenizer(texts, self.max_tokens)
        seen = np.minimum(total, self.max_tokens)
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        work = ((rows, padded([ids[row] for row in rows])) for rows in batches(seen))
        self._requests.run(work, array, progress)
        array[total <= 2] = 0  # [CLS] and [SEP] alone: nothing that the model knows
        return array, Receipts(seen, total)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return self._tokenizer(texts, self.max_tokens)[1]

    @cached_property
    def _tokenizer(self) -> WordPiece:
        return WordPiece(self._row.tokenizer.read(), parallel=self._threads != 1)

    @cached_property
    def _requests(self) -> Requests:
        with self._lock:
            found: Requests | None = self.__dict__.get("_requests")
            if found is not None:
                return found
            tensors, order = by_gain(weights(self._row.weights.read()))
            shift = np.frombuffer(self._row.others[0].read(), "<f4") if self._row.others else None
            graph = bert(tensors, layers=_LAYERS, heads=_HEADS, order=order, shift=shift)
            settings: dict[str, Any] = {
                "PERFORMANCE_HINT": "THROUGHPUT",
                # int8 activations, one scale for 64 of them: the best exchange of speed for error, measured.
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64,
            }
            if self._threads:
                settings["INFERENCE_NUM_THREADS"] = self._threads
            return Requests(core().compile_model(graph, "CPU", settings))


def weights(onnx: bytes) -> Weights:
    """Take the tensors out of the ONNX file and give them the names and the orientation of the checkpoint."""
    found = {
        node.get_friendly_name(): node.data
        for node in core().read_model(onnx).get_ordered_ops()
        if node.get_type_name() == "Constant"
    }
    named = {
        name.removeprefix("inner.").removesuffix("_q").replace("weight_scale", "weight.scale"): tensor
        for name, tensor in found.items()
        if name.startswith("inner.")
    }
    # The exporter numbered the layers' matrices in the order of their use, and stored them (inputs, outputs).
    numbers = sorted(int(name[4:-2]) for name in found if name.startswith("val_") and name.endswith("_q"))
    for number, name in zip(numbers, _matrices(), strict=True):
        named[name] = found[f"val_{number}_q"].T
        named[f"{name}.scale"] = found[f"val_{number}_scale"].T
    return named


def _matrices() -> Iterator[str]:
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    for layer in range(_LAYERS):
        for part in (*parts, "intermediate.dense", "output.dense"):
            yield f"encoder.layer.{layer}.{part}.weight"
