"""An encoder that a person can check by hand, for tests that need vectors and not meaning."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from samespace.encoders.base import Encoder, Progress
from samespace.space import Metric, Role, Space
from samespace.vectors import Matrix, Receipts, unit

__all__ = ["CharacterEncoder"]


_MODEL = "samespace/characters"


class CharacterEncoder(Encoder):
    """Counts character trigrams. Deterministic on every machine, instant, and similar for similar spellings.

    A text has one token for each of its characters: the trigram centred on it, where a space stands before
    the first character and after the last. The trigram adds 1 to coordinate ``crc32(trigram) % dimension``;
    under cosine the sum is scaled to unit length. Queries carry a prompt, so that a test notices when the
    roles are mixed up.

    Args:
        dimension: length of the vectors.
        max_tokens: characters that are read, prompt included; None reads everything.
        metric: of the space.
        model: name in the space; another name than the default begins the checksums with its own, so that two
            models make two kinds of vectors.
        prompts: by role.
        name: of the encoder.
    """

    cached = False

    def __init__(
        self,
        dimension: int = 32,
        *,
        max_tokens: int | None = None,
        metric: Metric = "cosine",
        model: str = _MODEL,
        prompts: Mapping[Role, str] | None = None,
        name: str = "characters",
    ) -> None:
        self.name = name
        self._seed = 0 if model == _MODEL else zlib.crc32(model.encode())
        self.max_tokens = max_tokens
        self.space = Space(
            model,
            dimension,
            metric,
            digest="crc32",
            pooling="sum",
            prompts={"query": "? "} if prompts is None else prompts,
            normalized=metric == "cosine",
        )

    def _encode(
        self,
        texts: Sequence[str],
        role: Role,  # noqa: ARG002 the prompt says it
        progress: Progress,
    ) -> tuple[Matrix, Receipts]:
        total = np.array([len(text) for text in texts], np.int32)
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        for row, text in zip(array, texts, strict=True):
            read = text[: self.max_tokens]
            padded = f" {read} " if read.strip() else ""
            for start in range(len(padded) - 2):
                row[zlib.crc32(padded[start : start + 3].encode(), self._seed) % self.space.dimension] += 1
            progress(1)
        if self.space.normalized and array.any(axis=1).all():
            array = unit(array)
        return array, Receipts(np.minimum(total, self.max_tokens or total), total)
