"""A collection to a file or another database, and back."""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from samespace.collection import AddReport, Collection, Where
from samespace.encoders.base import Encoder
from samespace.encoders.canaries import Canaries
from samespace.errors import InvalidInput, InvalidVectors, SamespaceError, SpaceMismatch
from samespace.interchange.blocks import Block, Progress, counts
from samespace.interchange.formats import place_of
from samespace.interchange.header import Header
from samespace.interchange.proving import Proof, prove
from samespace.interchange.source import Columns, Source
from samespace.interchange.survey import Survey, check_of, survey
from samespace.space import Space
from samespace.vectors import Receipts, Vectors, are_vectors, unit

__all__ = [
    "check_source",
    "export_collection",
    "import_collection",
    "read_header",
    "read_source",
    "survey_source",
    "unknown",
]

Tell = Callable[[str], None]


def export_collection(
    collection: Collection,
    target: str | Path | IO[str],
    where: Where = None,
    *,
    progress: Progress | None = None,
) -> int:
    """Write all rows, or those that meet a condition, with their vectors.

    Args:
        collection: to read.
        target: a path that ends in .jsonl, .parquet, .npy or .faiss (these two get their rows beside them, in
            ``NAME.npy.jsonl``); ``"lancedb:FOLDER?table=NAME"``; ``"chroma:FOLDER?collection=NAME"``; or an open text
            file for JSON lines. What is there is replaced at the end, when everything is written.
        where: a filter (:mod:`samespace.where`).
        progress: called with the number of rows just written.

    Returns:
        rows written.

    Raises:
        InvalidInput: another ending; a table or collection of that name that samespace did not export.
        MissingExtra: the format's library is not installed.
        StorageError: the file cannot be written.
    """
    report = progress or (lambda _rows: None)
    rows = collection.rows(where)
    header = Header(collection.space, collection.info().encoder, collection.canaries())
    if not isinstance(target, str | Path):
        if not isinstance(target, io.TextIOBase):
            raise InvalidInput(f"Expected a path or an open text file, got {type(target).__name__}.")
        from samespace.interchange.jsonl import write_lines

        return write_lines(target, header, rows, report)
    place = place_of(target)
    written: int = place.module().write(place, header, rows, report)
    return written


def read_source(source: str | Path, columns: Columns | None = None) -> Source:
    """Open what can be imported, and read what it says of itself.

    Args:
        source: as ``target`` of :func:`export_collection`; samespace need not have written it.
        columns: where it has what, if the usual names do not say.

    Raises:
        NotFound: there is no such file, folder or table.
        InvalidInput: it cannot be read, or does not say where its vectors are.
        MissingExtra: the format's library is not installed.
    """
    if columns is not None and not isinstance(columns, Columns):
        raise InvalidInput(f"columns must be Columns, got {type(columns).__name__}.")
    place = place_of(source)
    found: Source = place.module().read(place, columns or Columns())
    return found


def read_header(path: str | Path) -> Header:
    """The space and encoder of an export.

    Raises:
        NotFound: no such file.
        InvalidInput: it is not an export of ours.
    """
    with read_source(path) as source:
        return source.header or Header.from_json("{}", source.name)


def import_collection(
    collection: Collection,
    source: str | Path | Source,
    *,
    columns: Columns | None = None,
    space: Space | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> AddReport:
    """Add the rows of a file or another database, vectors included; rows with the same id are replaced.

    What samespace exported comes in if its space is the collection's. For anything else the collection's encoder
    encodes a sample of the texts again, and no vector comes in unless it makes the same ones.

    Args:
        collection: to add to.
        source: as ``target`` of :func:`export_collection`, or what :func:`read_source` opened.
        columns: where a foreign file has what, if the usual names do not say.
        space: of a foreign file whose model is not here: the collection's, on your word. Nothing is proven then.
        progress: called with the number of rows just made durable.
        tell: called with sentences that the user should read: what was proven, and what differs.

    Raises:
        SpaceMismatch: the vectors live in another space than the collection's; nothing is imported.
        InvalidInput: a row cannot be read or stored; the message says where, and what was imported before.
    """
    if not isinstance(source, Source):
        with read_source(source, columns) as found:
            return import_collection(collection, found, space=space, progress=progress, tell=tell)
    said = tell or (lambda _sentence: None)
    is_empty = collection.count() == 0  # only then do canaries of the source stand for all rows
    canaries, scaled = _admitted(collection, source, space, said)
    total, done = AddReport(0, 0, 0, 0), 0
    try:
        for block in _blocks(source):
            report = _add(collection, block, scaled=scaled, progress=progress)
            total = AddReport(*map(operator.add, total, report))
            done += len(block.ids)
    except (InvalidInput, InvalidVectors) as error:
        raise InvalidInput(
            f"{source.name} cannot be imported beyond its first {done:,} rows, which were: {error} "
            f"Rows are counted from there."
        ) from error
    if is_empty and canaries is not None:
        collection.keep_canaries(canaries)
    for sentence in source.remarks:
        said(sentence)
    return total


def survey_source(source: Source, progress: Progress | None = None, *, to_prove: bool = True) -> Survey | None:
    """Read all of a source that others may have written to; once, :func:`import_collection` does not repeat it.

    Args:
        source: to read.
        progress: called with the number of rows just read.
        to_prove: an encoder is to prove its vectors; False where their space is declared.

    Returns:
        what was found; None for what only samespace writes.

    Raises:
        InvalidInput, InvalidVectors: a row cannot be imported; the message names it.
    """
    if source.header is not None and not source.shared:
        return None
    if source.found is None or (to_prove and not source.found.sampled):
        source.found = survey(source, progress or (lambda _rows: None), to_prove=to_prove)
    return source.found


def check_source(source: Source, encoder: Encoder | None, space: Space | None = None) -> Proof | None:
    """Prove that a source's vectors are of the encoder's space; once, :func:`import_collection` does not repeat it.

    Args:
        source: to read.
        encoder: that is to prove it; None where the space is declared, or nobody else wrote to the source.
        space: declared.

    Returns:
        the proof; None where there was nothing to prove.

    Raises:
        SpaceMismatch: the encoder makes other vectors of the texts.
        InvalidInput, InvalidVectors: a row cannot be imported; or nothing says which model made the vectors.
    """
    found = survey_source(source, to_prove=space is None)
    if found is None:
        return None
    target = space or (encoder.space if encoder else source.header.space if source.header else None)
    if target is not None and target.metric == "cosine" and found.zero:
        raise InvalidVectors(
            f"{source.name}: the vector of {found.zero} is all zeros, which has no direction. Leave the row out. "
            "Nothing was imported."
        )
    if not found.strange or not found.rows:
        return None
    if space is not None:
        _check_declared(source, found, space)
        return None
    if encoder is None:
        raise InvalidInput(unknown(source, found))
    if source.proof is None or source.proof[0] != encoder.space:
        source.proof = (encoder.space, prove(source, found, encoder))
    return source.proof[1]


def _blocks(source: Source) -> Iterator[Block]:
    """The rows, which must be those that the first reading found, if there was one."""
    for number, block in enumerate(source.blocks()):
        if source.found is not None and check_of(block) != source.found.checks[number : number + 1]:
            raise InvalidInput(f"{source.name} was changed while it was imported. Import it again.")
        yield block


def _admitted(collection: Collection, source: Source, space: Space | None, tell: Tell) -> tuple[Canaries | None, bool]:
    """Canaries that stand for the source's vectors, and whether these must be brought to length 1."""
    action = f"import {source.name} into {collection.path}"
    header = source.header
    if header is not None:
        collection.space.require(header.space, action)
    if space is not None:
        collection.space.require(space, action)
    found = survey_source(source, to_prove=space is None)
    if found is None or not found.strange:
        return None if header is None else header.canaries, False
    encoder = None if space is not None else _encoder_of(collection, source)
    proof = check_source(source, encoder, space)
    metric = source.recorded.metric
    if metric is not None and not _alike(metric, collection.space):
        tell(
            f"{source.name} compared its vectors by {metric}; {collection.path} compares them by "
            f"{collection.space.metric}, so hits may come in another order."
        )
    tell(
        str(proof) if proof else f"Not proven: that the vectors of {source.name} are of {space} is taken on your word."
    )
    if header is not None:
        return header.canaries, True
    return None if proof is None or encoder is None else encoder.prove(), True


def _encoder_of(collection: Collection, source: Source) -> Encoder:
    """The collection's encoder, which is to prove the source.

    Raises:
        InvalidInput: it has none, and nothing else says which model made the source's vectors.
    """
    try:
        return collection.require_encoder()
    except SpaceMismatch:
        raise
    except SamespaceError as error:
        raise InvalidInput(f"{error} {unknown(source, source.found)}") from error


def _add(collection: Collection, block: Block, *, scaled: bool, progress: Progress | None) -> AddReport:
    array: Any = block.array
    if scaled and collection.space.metric == "cosine":
        array = unit(np.ascontiguousarray(array, np.float32))
    receipts = Receipts(counts(block.seen), counts(block.total))
    return collection.add(
        block.contents,
        ids=block.ids,
        metadata=block.metadata,
        vectors=Vectors(array, collection.space, "document", receipts=receipts),
        progress=progress,
    )


def _check_declared(source: Source, found: Survey, space: Space) -> None:
    """Raise if the vectors cannot be of the space that was declared."""
    if found.dimension != space.dimension:
        raise SpaceMismatch(
            f"Cannot import {source.name}: its vectors have dimension {found.dimension}, those of {space} have "
            f"{space.dimension}. Declare the space of the model that made them."
        )
    extremes = np.zeros((2, space.dimension), np.float32)
    extremes[:, 0] = found.shortest, found.longest
    if space.metric != "cosine" and space.normalized and not are_vectors(extremes, space).all():
        raise InvalidVectors(
            f"{source.name} has vectors of lengths from {found.shortest:.4g} to {found.longest:.4g}, and {space} says "
            "that they have length 1."
        )


def unknown(source: Source, found: Survey | None) -> str:
    """What to do where nothing says which model made the vectors."""
    if source.header is not None and found is not None:
        return (
            f"{found.strange:,} of the {found.rows:,} rows of {source.name} are not as samespace exported them: "
            "another program wrote or changed them, so its header does not say which model made their vectors. Import "
            "it with the encoder that made them, which is then proven: --encoder NAME."
        )
    recorded = source.recorded
    said = f"{recorded.said}, which samespace calls {recorded.encoder}" if recorded.encoder else recorded.said
    return (
        f"{said or f'{source.name} does not say which model made its vectors'}. Name the encoder that made them, which "
        "is then proven on their texts: --encoder NAME; or declare the space of a model that is not here: --space FILE."
    )


def _alike(metric: str, space: Space) -> bool:
    """Whether a source's metric orders the rows as the space's does: of vectors of unit length, any does."""
    return metric == space.metric or (space.metric == "cosine" and space.normalized)
