"""The first reading of what samespace did not write: that every row is sound, and samples to try."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from samespace.batches import check_id, check_unicode
from samespace.errors import InvalidInput, InvalidVectors
from samespace.interchange.blocks import Block, seals
from samespace.interchange.sample import Outliers, RandomRows, Sample
from samespace.interchange.source import Source
from samespace.vectors import Matrix, as_matrix

__all__ = ["SAMPLE", "Survey", "check_of", "survey"]

SAMPLE = 64
"""Rows drawn at random. All of them fit where a twentieth of the rows do not with a chance of 4 %."""
_CANDIDATES = 4 * SAMPLE  # of outliers, some of which an encoder cannot read whole


@dataclass(eq=False)
class Survey:
    """What the first reading found.

    Attributes:
        rows: how many there are.
        strange: those that samespace did not write, or that were changed since.
        dimension: of all vectors; 0 if there are none.
        sample: of the strange rows that have a text, at random.
        outliers: those of the others whose vectors are least like the rest, the farthest first.
        shortest, longest: lengths of vectors.
        zero: the first row whose vector is all zeros, with its id.
        checks: of each block, by :func:`check_of`.
        sampled: whether samples were taken.
    """

    rows: int = 0
    strange: int = 0
    dimension: int = 0
    sample: Sample = field(default_factory=lambda: Sample.of([]))
    outliers: Sample = field(default_factory=lambda: Sample.of([]))
    shortest: float = np.inf
    longest: float = 0.0
    zero: str = ""
    checks: list[int] = field(default_factory=list)
    sampled: bool = True


def survey(source: Source, progress: Callable[[int], None] = lambda _rows: None, *, to_prove: bool = True) -> Survey:
    """Read everything once, so that nothing is let in of what cannot be let in whole.

    Args:
        source: to read.
        progress: called with the number of rows just read.
        to_prove: take samples, by which an encoder proves that it made the vectors.

    Raises:
        InvalidInput: an id is none, or stands twice; a text that is not Unicode.
        InvalidVectors: a vector has NaN or infinity, or another dimension. Names the row.
    """
    found, hashes = Survey(sampled=to_prove), []
    drawn, outliers = RandomRows(SAMPLE), Outliers(_CANDIDATES)
    for block in source.blocks():
        vectors = _checked(source, block, found)
        found.checks += check_of(block)
        hashes.append(np.fromiter(map(hash, block.ids), np.int64, len(block.ids)))
        strange = _strange(source, block, vectors)
        found.strange += len(strange)
        if to_prove:
            texts = ((row, _readable(block.contents[row])) for row in strange)
            rows = [(block.ids[row], text, vectors[row]) for row, text in texts if text]
            drawn.extend(rows)
            outliers.extend(rows)
        found.rows += len(block.ids)
        progress(len(block.ids))
    _refuse_twins(source, hashes)
    found.sample = Sample.of(drawn.rows)
    found.outliers = Sample.of(row for row in outliers.rows() if row[0] not in found.sample.ids)
    return found


def check_of(block: Block) -> list[int]:
    """A checksum of a block's ids, contents and vectors, by which the second reading is compared with the first."""
    texts = "\0".join([*block.ids, *(content or "" for content in block.contents)])
    vectors = np.ascontiguousarray(block.array, np.float32)
    return [zlib.crc32(vectors.tobytes(), zlib.crc32(texts.encode("utf-8", "surrogatepass")))]


def _checked(source: Source, block: Block, found: Survey) -> Matrix:
    """The vectors of a block in which everything is sound."""
    for row, (name, content) in enumerate(zip(block.ids, block.contents, strict=True), found.rows):
        check_id(name, f"{source.name}: the id of row {row}")
        if content is None:
            continue
        if not isinstance(content, str):
            raise InvalidInput(f"{source.name}: the content of row {row} must be a text, got {type(content).__name__}.")
        if not content.isascii():
            check_unicode(content, f"{source.name}: the content of row {row}")
    if len(block.array) != len(block.ids):
        raise InvalidVectors(f"{source.name} has {len(block.array)} vectors for {len(block.ids)} rows.")
    width = np.shape(block.array)[-1]
    if found.dimension and width != found.dimension:
        raise InvalidVectors(
            f"{source.name}: row {found.rows} ({block.ids[0]!r}) has a vector of dimension {width}, those before it "
            f"have {found.dimension}."
        )
    found.dimension = width
    vectors = as_matrix(block.array, width)
    lengths = np.sqrt(np.vecdot(vectors, vectors, dtype=np.float64))
    if not np.isfinite(lengths).all():
        row = int(np.flatnonzero(~np.isfinite(lengths))[0])
        what = "NaN" if np.isnan(vectors[row]).any() else "infinity"
        raise InvalidVectors(
            f"{source.name}: the vector of row {found.rows + row} ({block.ids[row]!r}) contains {what}. Leave the row "
            "out, or encode it again. Nothing was imported."
        )
    if not found.zero and not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        found.zero = f"row {found.rows + row} ({block.ids[row]!r})"
    found.shortest = min(found.shortest, float(lengths.min(initial=np.inf)))
    found.longest = max(found.longest, float(lengths.max(initial=0)))
    return vectors


def _strange(source: Source, block: Block, vectors: Matrix) -> list[int]:
    """Rows that samespace did not write as they are."""
    if source.header is None or block.seals is None or vectors.shape[1] != source.header.space.dimension:
        return list(range(len(block.ids)))
    made = seals(source.header.space, block.ids, block.contents, vectors)
    return [row for row, pair in enumerate(zip(made, block.seals, strict=True)) if pair[0] != pair[1]]


def _readable(content: str | None) -> str | None:
    """The text, if there is one that an encoder can read."""
    return content if content is not None and content.strip() else None


def _refuse_twins(source: Source, hashes: list[np.ndarray]) -> None:
    """Raise if an id stands twice. Only hashes are held; a second reading names the rows."""
    every = np.concatenate(hashes) if hashes else np.empty(0, np.int64)
    ordered = np.sort(every)
    twice = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not twice:
        return
    seen: dict[str, int] = {}
    first = 0
    for block in source.blocks():
        for row, name in enumerate(block.ids, first):
            if hash(name) in twice and seen.setdefault(name, row) != row:
                raise InvalidInput(
                    f"{source.name}: rows {seen[name]} and {row} have one id, {name!r}; the second would replace the "
                    "first. Name a column of ids that are all different: --id COLUMN. Nothing was imported."
                )
        first += len(block.ids)
