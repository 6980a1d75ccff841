"""Turning files, tables and docstrings into texts that an encoder reads whole."""

from samespace.sources.base import Passage, Record
from samespace.sources.files import file_digest, find_files, gone, read_files, read_stream
from samespace.sources.standard_library import docstrings
from samespace.sources.tables import TABLES, Columns, read_jsonl, read_table

__all__ = [
    "TABLES",
    "Columns",
    "Passage",
    "Record",
    "docstrings",
    "file_digest",
    "find_files",
    "gone",
    "read_files",
    "read_jsonl",
    "read_stream",
    "read_table",
]
