"""Word vectors: files of word2vec, GloVe and fastText as encoders, mapped into memory."""

from samespace.encoders.words.encoder import WordEncoder
from samespace.encoders.words.opening import open_table, open_words
from samespace.encoders.words.source import Reading
from samespace.encoders.words.table import Table
from samespace.encoders.words.writing import write_table

__all__ = ["Reading", "Table", "WordEncoder", "open_table", "open_words", "write_table"]
