"""Batches of texts of similar length, and the requests that compute several of them at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Progress
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

__all__ = ["BUDGET", "Inputs", "Requests", "batches", "padded"]

BUDGET = 512
"""Tokens in a batch, padding included. Measured: with one core to a stream, more no longer fit its cache."""

Inputs = dict[str, NDArray[np.int64]]
"""Arrays of shape (texts, tokens) by the name of the model's input."""


def batches(lengths: NDArray[np.int32], budget: int = BUDGET) -> Iterator[NDArray[np.intp]]:
    """Rows of similar length, the longest first, as many as fit the budget when padded to their longest."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


def padded(ids: Sequence[Sequence[int]], padding: int = 0) -> Inputs:
    """``input_ids`` and ``attention_mask`` of texts, padded on the right.

    On the right for every model, also where its tokenizer would pad on the left: a token then has the same
    position in every batch, a causal model never sees the padding behind it, and pooling goes by the mask.
    """
    shape = (len(ids), max(map(len, ids)))
    tokens, mask = np.full(shape, padding, np.int64), np.zeros(shape, np.int64)
    for row, each in enumerate(ids):
        tokens[row, : len(each)] = each
        mask[row, : len(each)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


class Requests:
    """The requests of a compiled model, kept to be used again. Safe to use from several threads.

    Args:
        model: that takes :data:`Inputs` and gives float32 of shape (texts, dimension).
    """

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._idle: deque[InferRequest] = deque()
        self._streams = int(model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def run(self, work: Iterator[tuple[NDArray[np.intp], Inputs]], array: Matrix, progress: Progress) -> None:
        """Compute batches side by side.

        Args:
            work: the rows of each batch and its inputs; read as fast as requests become free.
            array: float32 of shape (texts, dimension), into which the results go.
            progress: called with the number of texts just finished.
        """
        # Two requests to a stream, so that none waits while this thread reads a result.
        requests = [self._request() for _ in range(2 * self._streams)]
        running: deque[tuple[InferRequest, NDArray[np.intp]]] = deque()

        def finish() -> None:
            request, rows = running[0]
            request.wait()
            array[rows] = request.get_output_tensor().data
            running.popleft()
            requests.append(request)
            progress(len(rows))

        try:
            for rows, inputs in work:
                if not requests:
                    finish()
                running.append((requests.pop(), rows))
                running[-1][0].start_async(inputs)
            while running:
                finish()
        finally:
            # After Ctrl-C or an error, what was started still runs; a request is reused only when it is done.
            for request, _ in running:
                request.wait()
                requests.append(request)
            self._idle.extend(requests)

    def _request(self) -> InferRequest:
        try:
            return self._idle.pop()
        except IndexError:
            return self._model.create_infer_request()
