"""Where a collection can be written to and read from, as rows of data: files by their ending, databases by a URL."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from samespace.errors import InvalidInput, MissingExtra
from samespace.stores import is_url, shown
from samespace.stores.address import Address

__all__ = ["FORMATS", "Format", "Place", "place_of"]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file or database.

    Attributes:
        mark: the ending of a file, or the scheme of a URL with its colon.
        module: below this package, with ``read(place, columns)`` and ``write(place, header, rows, progress)``.
        title: in a sentence.
        extra: of samespace, that brings its library; None where none is needed.
        option: of a URL, that names a table of the database.
    """

    mark: str
    module: str
    title: str
    extra: str | None = None
    option: str = ""


FORMATS = (
    Format(".npy", "npy", "NumPy"),
    Format(".faiss", "faiss", "Faiss", "faiss"),
    Format(".jsonl", "jsonl", "JSON lines"),
    Format(".parquet", "parquet", "Parquet", "parquet"),
    Format("lancedb:", "lancedb", "LanceDB", "lancedb", "table"),
    Format("chroma:", "chroma", "Chroma", "chroma", "collection"),
)

_FILES = [row for row in FORMATS if not row.option]
_DATABASES = [row for row in FORMATS if row.option]
_ENDINGS = ", ".join(row.mark for row in _FILES[:-1]) + f" or {_FILES[-1].mark}"
_URLS = " and ".join(f"{row.mark}FOLDER?{row.option}=NAME" for row in _DATABASES)


@dataclass(frozen=True)
class Place:
    """A file, or a table in a database's folder.

    Attributes:
        path: of the file or folder.
        table: its name in a database; None where it was not named.
        text: what the user called it.
    """

    format: Format
    path: Path
    table: str | None
    text: str

    def module(self) -> Any:
        """The code that reads and writes it.

        Raises:
            MissingExtra: its library is not installed.
        """
        try:
            return import_module(f"samespace.interchange.{self.format.module}")
        except ModuleNotFoundError as error:
            if self.format.extra is None or (error.name or "").startswith("samespace"):
                raise
            raise MissingExtra(self.format.title, self.format.extra) from None

    def named(self, tables: list[str]) -> str:
        """The table that is meant, of those that there are.

        Raises:
            InvalidInput: none was named, and there is not exactly one.
        """
        option, kind = self.format.option, f"{self.format.option}s"
        if self.table is not None:
            return self.table
        if len(tables) == 1:
            return tables[0]
        there = f"There are {', '.join(map(repr, sorted(tables)))}" if tables else f"There are no {kind}"
        raise InvalidInput(f"Which {option} of {self.text}? {there}. Name it: {self.format.mark}PATH?{option}=NAME.")

    def __str__(self) -> str:
        return self.text


def place_of(target: str | Path) -> Place:
    """Find what a path or URL means. Nothing is opened.

    Raises:
        InvalidInput: it is neither, or of a kind that is not in :data:`FORMATS`.
    """
    if not isinstance(target, str | Path):
        raise InvalidInput(f"Expected a path, got {type(target).__name__}.")
    for row in _DATABASES:
        if isinstance(target, str) and target.startswith(row.mark):
            address = Address.parse(target)
            address.only(row.option)
            table = address.options.get(row.option)
            if not address.path or target.startswith(f"{row.mark}//") or table == "":
                raise InvalidInput(
                    f"{row.title} is read and written in its folder on this machine: "
                    f"{row.mark}FOLDER?{row.option}=NAME; got {target!r}."
                )
            return Place(row, Path(address.path).expanduser(), table, target)
    path = Path(target)
    for row in _FILES:
        if path.suffix == row.mark:
            return Place(row, path, None, str(target))
    if isinstance(target, str) and is_url(target):
        raise InvalidInput(f"{shown(target)} is a store, not a file. To move a collection there: samespace copy.")
    raise InvalidInput(f"The file's ending chooses the format: {_ENDINGS}, got {path.name!r}. Databases are {_URLS}.")
