"""From a path to a table: what is a table is opened, anything else is converted once and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from samespace.encoders.names import FOLDER, Name
from samespace.encoders.places import cache_folder, digest_files
from samespace.encoders.words.encoder import WordEncoder
from samespace.encoders.words.formats import format_of
from samespace.encoders.words.source import Reading, open_source
from samespace.encoders.words.table import MARKER, Table
from samespace.encoders.words.writing import write_table
from samespace.errors import InvalidInput, NotFound, StorageError

__all__ = ["open_table", "open_words"]

_PICKLES = (".kv", ".model", ".wordvectors")


def open_words(
    path: str | Path, name: Name | str | None = None, *, limit: int | None = None, progress: Reading | None = None
) -> WordEncoder:
    """Open word vectors as an encoder.

    Args:
        path: a file of word2vec, GloVe, fastText or wink, packed by gzip, bzip2 or xz or not; or the folder that
            training left.
        name: that the encoder goes by, with the option ``limit``; the path if left out.
        limit: use the first vectors of the file only, which are those of the most frequent words.
        progress: called with bytes read and bytes in all while a file is converted, which is done once.

    Raises:
        NotFound: there is nothing at that path.
        InvalidInput: it is not word vectors, or not whole; names the line or the byte.
        StorageError: the disk, or a file on it, stood in the way.
    """
    if isinstance(name, Name):
        name.allow(("limit",))
        limit = name.option("limit", int, "a positive int") if limit is None else limit
    if name is None:
        options = {} if limit is None else {"limit": str(limit)}
        name = Name(FOLDER, str(Path(path).expanduser().absolute()), None, options)
    return WordEncoder(open_table(path, limit=limit, progress=progress), str(name))


def open_table(path: str | Path, *, limit: int | None = None, progress: Reading | None = None) -> Table:
    """Open word vectors as a table. As :func:`open_words`."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidInput(f"limit must be a positive int or None, got {limit!r}.")
    path = Path(path).expanduser()
    if path.is_dir():
        return _open_folder(path, limit)
    if not path.exists():
        raise NotFound(f"There is no file of word vectors {str(path)!r}.")
    if path.name == MARKER:
        return Table(path.parent, limit)
    digest = digest_files([path], path.parent).removeprefix("sha256:")
    # The name of a file is part of that digest: one file under two names is converted twice, and is one space.
    kept = cache_folder("words", digest[:32] + (f"-{limit}" if limit else ""))
    if kept.is_dir():
        try:
            return Table(kept)
        except StorageError:  # somebody tidied up in the cache: what is kept there can be made again
            shutil.rmtree(kept, ignore_errors=True)
    with open_source(path, progress) as source:
        content = format_of(source).read(source, limit)
        return write_table(kept, content.dimension, content.blocks, content.subwords)


def _open_folder(folder: Path, limit: int | None) -> Table:
    if (folder / MARKER).is_file():
        return Table(folder, limit)
    if pickles := sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES):
        raise InvalidInput(
            f"{folder / pickles[0]} is gensim's own file, a pickle, which can run any code when it is opened. In "
            "gensim, export it: KeyedVectors.load(path).save_word2vec_format('vectors.bin', binary=True)"
        )
    raise InvalidInput(f"{folder} holds no {MARKER}, so it is not a folder of word vectors. Name the file of vectors.")
