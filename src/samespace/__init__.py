"""samespace makes embeddings, stores and searches them, and never lets two vectors of two spaces meet.

>>> import samespace as ss
>>> notes = ss.open("notes.ss")                    # doctest: +SKIP
>>> notes.add(["first text", "second text"])       # doctest: +SKIP
>>> notes.search("what was first?", k=1)           # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samespace.batches import content_id
from samespace.collection import Collection
from samespace.encoders import encoder
from samespace.encoders.base import Encoder
from samespace.errors import (
    AccessDenied,
    CollectionBusy,
    CollectionClosed,
    CollectionCorrupt,
    CostExceeded,
    EncoderError,
    ForeignVectorsWarning,
    InvalidFilter,
    InvalidInput,
    InvalidVectors,
    MissingExtra,
    NotFound,
    PromptWarning,
    ProviderError,
    RecallWarning,
    SamespaceError,
    SpaceMismatch,
    StorageError,
    StorageFull,
    StoreUnavailable,
    TruncationWarning,
    Unsupported,
)
from samespace.hits import Hit, Row
from samespace.opening import open
from samespace.reports import AddReport, CompactReport, Info, Nearest
from samespace.space import Metric, Role, Space
from samespace.vectors import Receipts, Vectors, similarity

if TYPE_CHECKING:
    from samespace.apps.analogy import Words
    from samespace.recall.estimate import Estimate
    from samespace.recall.tune import Curve, Point, Tuning
    from samespace.watch import RecallReport

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddReport",
    "Collection",
    "CollectionBusy",
    "CollectionClosed",
    "CollectionCorrupt",
    "CompactReport",
    "CostExceeded",
    "Curve",
    "Encoder",
    "EncoderError",
    "Estimate",
    "ForeignVectorsWarning",
    "Hit",
    "Info",
    "InvalidFilter",
    "InvalidInput",
    "InvalidVectors",
    "Metric",
    "MissingExtra",
    "Nearest",
    "NotFound",
    "Point",
    "PromptWarning",
    "ProviderError",
    "RecallReport",
    "RecallWarning",
    "Receipts",
    "Role",
    "Row",
    "SamespaceError",
    "Space",
    "SpaceMismatch",
    "StorageError",
    "StorageFull",
    "StoreUnavailable",
    "TruncationWarning",
    "Tuning",
    "Unsupported",
    "Vectors",
    "Words",
    "content_id",
    "encoder",
    "open",
    "similarity",
    "words",
]

_LAZY = {
    "Words": "samespace.apps.analogy",
    "Curve": "samespace.recall.tune",
    "Estimate": "samespace.recall.estimate",
    "Point": "samespace.recall.tune",
    "RecallReport": "samespace.watch",
    "Tuning": "samespace.recall.tune",
}


def words(path: str | Path, *, limit: int | None = None) -> Words:
    """Open word vectors: a file of word2vec, GloVe or fastText, or a folder that ``samespace train words`` made.

    Args:
        path: of the file or folder.
        limit: how many words to read, the most frequent first; None for all.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it does not hold word vectors.
    """
    from samespace.apps.analogy import Words

    return Words(path, limit=limit)


def __getattr__(name: str) -> Any:
    """Names that come with what a first collection loads."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
