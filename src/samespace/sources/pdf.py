"""PDF: the text of each page."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

from samespace.errors import InvalidInput, MissingExtra
from samespace.sources.base import Document
from samespace.sources.plain import read_paragraphs

__all__ = ["read"]


def read(data: bytes) -> Document:
    """Read a PDF. Lines are counted on each page, in the order in which the file holds its text.

    Raises:
        MissingExtra: pypdf is not installed.
        InvalidInput: the file is damaged, wants a password, or holds no text (a scan).
    """
    try:
        import pypdf
    except ImportError as error:
        raise MissingExtra("Reading PDF", "pdf") from error
    # It logs a warning for every small fault that it reads over.
    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else [_valid(page.extract_text()) for page in reader.pages]
        title = reader.metadata.title if reader.metadata and not locked else None
    except Exception as error:  # a damaged file raises whatever its parser stumbled on
        raise InvalidInput(f"it is not a PDF that can be read ({type(error).__name__}: {error})") from error
    if locked:
        raise InvalidInput("it wants a password")
    blocks = [
        replace(block, page=number) for number, text in enumerate(pages, 1) for block in read_paragraphs(text).blocks
    ]
    if not blocks:
        raise InvalidInput("it is a PDF without text, probably scanned; recognise its text first")
    return Document(blocks, str(title).strip() or None if title else None)


def _valid(text: str) -> str:
    """Replace halves of characters, which broken fonts leave and nothing can encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
