"""Which reader reads which file: a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from samespace.sources import markdown, pdf, plain, python_code, rst, webpage
from samespace.sources.base import Document
from samespace.sources.decoding import decode

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Args:
        name: what people call it.
        suffixes: in lower case, with their dot.
        read_text: its reader, if the file is text.
        read_bytes: its reader, if it is not.
    """

    name: str
    suffixes: tuple[str, ...]
    read_text: Callable[[str], Document] | None = None
    read_bytes: Callable[[bytes], Document] | None = None

    def read(self, data: bytes) -> tuple[Document, str | None]:
        """Read a file's bytes.

        Returns:
            The document, and the encoding of its text (None where there is none to choose).

        Raises:
            InvalidInput: saying why the file cannot be read.
            MissingExtra: the reader's package is not installed.
        """
        if self.read_bytes is not None:
            return self.read_bytes(data), None
        text, encoding = decode(data)
        return (self.read_text or plain.read_lines)(text), encoding


KINDS: tuple[Kind, ...] = (
    Kind("plain text", (".txt", ".text", ".log", ".eml", ".srt", ".vtt", ".tex"), plain.read_paragraphs),
    Kind("Markdown", (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"), markdown.read),
    Kind("reStructuredText", (".rst", ".rest"), rst.read),
    Kind("HTML", (".html", ".htm", ".xhtml"), webpage.read),
    Kind("Python", (".py", ".pyi", ".pyw"), python_code.read),
    Kind("PDF", (".pdf",), read_bytes=pdf.read),
)
# Any other file is read by its lines if it is text: source code, configuration, data, and what has no suffix.
_OTHER = Kind("text", (), plain.read_lines)
_PROSE_NAMES = frozenset({"authors", "changelog", "changes", "copying", "license", "news", "notice", "readme"})
_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}


def kind_of(path: PurePath) -> Kind:
    """Choose the kind by the file's name; whether an unknown file is text shows when it is read."""
    if not path.suffix and path.name.lower() in _PROSE_NAMES:
        return KINDS[0]
    return _BY_SUFFIX.get(path.suffix.lower(), _OTHER)
