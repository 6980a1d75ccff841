"""Static models: one vector for each token, and a text is the mean of its tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.catalogue import Model
from samespace.space import Role
from samespace.vectors import Matrix, Receipts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["StaticEncoder"]

_SLICE = 64  # texts tokenised at once: the tokenizer's records of a token are large


class StaticEncoder(Encoder):
    """Looks up a vector for each token and takes the mean, which is not of unit length.

    Args:
        row: of the catalogue.
        threads: 1 keeps the tokenizer to one thread; it uses all cores otherwise.
    """

    cached = False

    def __init__(self, row: Model, threads: int | None = None) -> None:
        self.name, self.space, self.max_tokens = row.name, row.space, row.max_tokens
        self._row = row
        self._parallel = threads != 1

    def _encode(
        self,
        texts: Sequence[str],
        role: Role,  # noqa: ARG002 it treats both alike
        progress: Progress,
    ) -> tuple[Matrix, Receipts]:
        tokenizer, table = self._loaded
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        total = np.zeros(len(texts), np.int32)
        for row, ids in enumerate(self._ids(tokenizer, texts)):
            total[row] = len(ids)
            if ids:
                array[row] = table[ids].mean(axis=0, dtype=np.float32)
            progress(1)
        return array, Receipts(total, total)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return np.fromiter((len(ids) for ids in self._ids(self._loaded[0], texts)), np.int32, len(texts))

    def _ids(self, tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[list[int]]:
        for start in range(0, len(texts), _SLICE):
            part = list(texts[start : start + _SLICE])
            if self._parallel and len(part) > 1:
                encodings = tokenizer.encode_batch_fast(part, add_special_tokens=False)
            else:
                encodings = [tokenizer.encode(text, add_special_tokens=False) for text in part]
            for encoding in encodings:
                yield encoding.ids

    @cached_property
    def _loaded(self) -> tuple[Tokenizer, Matrix]:
        self._row.require()
        from safetensors.numpy import load
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._row.tokenizer.read().decode())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        (table,) = load(self._row.weights.read()).values()
        return tokenizer, np.ascontiguousarray(table, np.float32)
