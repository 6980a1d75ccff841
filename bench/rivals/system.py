"""What a system must do to take part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
FIELDS = ("number", "words", "digit")
"""Of the metadata; all are whole numbers."""

Found = list[tuple[str, str, dict[str, int]]]
"""Ids, texts and metadata, best first."""


@dataclass(frozen=True)
class Setting:
    """One row of the table: how the search is asked.

    Attributes:
        label: for the table.
        arguments: of :meth:`System.search`.
        truth: which exact answer the recall is measured against: of all rows, of the rows whose ``digit`` is
            3, or none where the search does not go by the vector alone.
    """

    label: str
    arguments: dict[str, Any] = field(default_factory=dict)
    truth: Literal["all", "digit", "none"] = "all"


class System(ABC):
    """A system that keeps rows in a folder and searches them. Vectors have unit length; nearest is by cosine.

    Attributes:
        package: the distribution whose version is reported.
        build: how it was built, for the table.
        settings: the ways of searching to measure.
    """

    package: ClassVar[str]
    build: ClassVar[str]
    settings: ClassVar[Sequence[Setting]]

    @classmethod
    def version(cls) -> str:
        """Version of the installed package."""
        return version(cls.package)

    @abstractmethod
    def __init__(self, folder: Path, dimension: int, threads: int) -> None:
        """Open what is in the folder, or make an empty one. Searches may use ``threads`` threads."""

    @abstractmethod
    def add(self, ids: list[str], texts: list[str], metadata: list[dict[str, int]], vectors: Vector) -> None:
        """Add rows; on return they are on stable storage and searchable, the index built."""

    @abstractmethod
    def search(self, vector: Vector, k: int, **arguments: Any) -> Found:
        """The nearest ``k`` rows of one vector of shape (dimension,)."""

    def settle(self) -> None:
        """Wait for what is still loaded after the first search."""
        return

    @abstractmethod
    def close(self) -> None:
        """Close the files."""
