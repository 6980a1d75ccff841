"""A collection as files and databases that other programs read, and theirs as a collection.

Every export carries the space, so that vectors cannot come back into another one: JSON lines as their first line,
Parquet and LanceDB in the schema's metadata, Chroma in the collection's, ``.npy`` and ``.faiss`` in the file of rows
beside them. What samespace did not write is read to the end, and a sample of its texts is encoded again, before the
first vector is let in.
"""

from __future__ import annotations

from samespace.interchange.choosing import encoder_of
from samespace.interchange.header import Header
from samespace.interchange.source import Columns, Source
from samespace.interchange.transfer import (
    export_collection,
    import_collection,
    read_header,
    read_source,
)

__all__ = [
    "Columns",
    "Header",
    "Source",
    "encoder_of",
    "export_collection",
    "import_collection",
    "read_header",
    "read_source",
]
