"""Turning files, tables and docstrings into texts that an encoder reads whole."""

from samespace.sources.base import Passage, Record
from samespace.sources.files import file_digest, find_files, gone, read_files

__all__ = ["Passage", "Record", "file_digest", "find_files", "gone", "read_files"]
