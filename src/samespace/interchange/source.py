"""What can be imported: where it is, what it says of itself, and its rows as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from samespace.errors import InvalidInput
from samespace.interchange.blocks import Block
from samespace.interchange.header import Header
from samespace.interchange.recorded import Recorded
from samespace.space import Space

if TYPE_CHECKING:
    from samespace.interchange.proving import Proof
    from samespace.interchange.survey import Survey

__all__ = ["Columns", "Source"]


@dataclass(frozen=True)
class Columns:
    """Where a file or table that samespace did not write has what. None: by the usual names and types.

    Args:
        id: the column of ids.
        content: the column of the texts that the vectors were made of.
        vector: the column of vectors.
        rows: of a file that holds vectors alone (``.npy``, ``.faiss``): a table of its rows (``.jsonl``, ``.parquet``,
            ``.csv``), in the order of the vectors, or with the index's own ids in its column of ids.
    """

    id: str | None = None
    content: str | None = None
    vector: str | None = None
    rows: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("id", "content", "vector"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidInput(f"Columns.{name} must be the name of a column, got {value!r}.")
        if self.rows is not None and not isinstance(self.rows, str | Path):
            raise InvalidInput(f"Columns.rows must be a path, got {type(self.rows).__name__}.")


@dataclass(eq=False)
class Source:
    """Something to import. Made by :func:`samespace.interchange.read_source`; a context manager.

    Attributes:
        name: as the user called it.
        blocks: begins to read the rows, each time from the first.
        header: if samespace wrote it.
        recorded: what another system recorded of the vectors.
        count: rows, as far as that is known without reading them.
        shared: others may have written into it since it was exported, so its seals are compared.
        remarks: sentences that the user should read.
        finish: closes files and connections.
        found: by the first reading, once that was done.
        proof: of what the vectors are, and of which space, once that was done.
    """

    name: str
    blocks: Callable[[], Iterator[Block]]
    header: Header | None = None
    recorded: Recorded = field(default_factory=Recorded)
    count: int | None = None
    shared: bool = False
    remarks: list[str] = field(default_factory=list)
    finish: Callable[[], None] = lambda: None
    found: Survey | None = None
    proof: tuple[Space, Proof] | None = None

    def close(self) -> None:
        """Close files and connections."""
        self.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
