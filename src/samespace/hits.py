"""What a collection gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hit", "Row"]


class Hit(NamedTuple):
    """One result of a search. A higher score is better, whatever the metric or mode."""

    id: str
    score: float
    content: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One stored row.

    Attributes:
        vector: float32 of shape (dimension,); unit length in a cosine space, where it is stored so.
        tokens_seen: tokens that the encoder read; None if the vector came from elsewhere.
        tokens_total: tokens that the content has; more than ``tokens_seen`` means that it was truncated.
    """

    id: str
    content: str | None
    metadata: Mapping[str, Any]
    vector: NDArray[np.float32]
    tokens_seen: int | None
    tokens_total: int | None

    @property
    def truncated(self) -> bool:
        """The encoder did not read the whole content."""
        return self.tokens_seen is not None and self.tokens_total is not None and self.tokens_seen < self.tokens_total
