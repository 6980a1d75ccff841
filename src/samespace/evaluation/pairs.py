"""Pairs of texts, read from a file; and how well scores agree with what people said of them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samespace.errors import InvalidInput, NotFound
from samespace.sources.decoding import encoding_of
from samespace.sources.values import json_object

__all__ = ["Pairs", "auc", "read_pairs", "spearman"]

_FIRST = ("anchor", "query", "a", "sentence1")
_SECOND = ("positive", "b", "sentence2")
_SCORE = ("score", "label")
_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv")
_NEEDED = "anchor and positive (and negative), or a and b (or sentence1 and sentence2) with score or label"


@dataclass(frozen=True)
class Pairs:
    """Texts that belong together; or any two texts, with a score that says how much they do.

    Attributes:
        first: anchors, or the left texts.
        second: positives, or the right texts; as many.
        negatives: for each pair texts that do not belong to the anchor; no negatives at all, or one entry a pair.
        scores: float64 of shape (n,); None for pairs that all belong together.
    """

    first: Sequence[str]
    second: Sequence[str]
    negatives: Sequence[Sequence[str]] = ()
    scores: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        counts = {len(self.first), len(self.second)}
        counts |= {len(self.negatives)} if self.negatives else set()
        counts |= {len(self.scores)} if self.scores is not None else set()
        if len(counts) != 1:
            raise InvalidInput(f"Every part of Pairs must be of one length, got {sorted(counts)}.")

    @property
    def labelled(self) -> bool:
        """The scores are labels: 0 and 1, and both of them occur."""
        return self.scores is not None and set(self.scores.tolist()) == {0.0, 1.0}

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int]) -> Pairs:
        """Some of the pairs."""
        return Pairs(
            [self.first[row] for row in rows],
            [self.second[row] for row in rows],
            [self.negatives[row] for row in rows] if self.negatives else (),
            self.scores[list(rows)] if self.scores is not None else None,
        )


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    Raises:
        InvalidInput: not two arrays of one length of at least 2, a NaN, or all values of a side are equal.
    """
    left, right = (np.asarray(side, np.float64) for side in (a, b))
    if left.ndim != 1 or left.shape != right.shape or len(left) < 2:
        raise InvalidInput(f"Expected two arrays of one length of at least 2, got {left.shape} and {right.shape}.")
    if np.isnan(left).any() or np.isnan(right).any():
        raise InvalidInput("A score is NaN, which has no rank.")
    x, y = (ranks - ranks.mean() for ranks in (_ranks(left), _ranks(right)))
    if not x.any() or not y.any():
        raise InvalidInput("All scores of one side are equal, so there is no order to compare.")
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """The chance that a pair of label 1 has a higher score than one of label 0; equal scores count half.

    Raises:
        InvalidInput: shapes differ, a NaN, a label that is not 0 or 1, or one of the labels does not occur.
    """
    values, kinds = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    if values.ndim != 1 or values.shape != kinds.shape or np.isnan(values).any():
        raise InvalidInput(f"Expected two arrays of one length without NaN, got {values.shape} and {kinds.shape}.")
    if set(kinds.tolist()) != {0.0, 1.0}:
        raise InvalidInput(f"Labels must be 0 and 1, and both must occur; got {sorted(set(kinds.tolist()))[:5]}.")
    positive = kinds == 1
    count, others = int(positive.sum()), int((~positive).sum())
    # The Mann-Whitney statistic by ranks.
    return float((_ranks(values)[positive].sum() - count * (count + 1) / 2) / (count * others))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places]
    return ranks


def read_pairs(path: str | os.PathLike[str]) -> Pairs:
    """Read pairs from JSON lines, CSV or TSV, as the file's suffix says.

    CSV and TSV need a header. The columns are ``anchor`` and ``positive``, and ``negative`` if there are any
    (in JSON lines a text or a list of texts); or ``a`` and ``b``, or ``sentence1`` and ``sentence2``, with
    ``score`` or ``label``. Other columns are passed over.

    Raises:
        NotFound: there is no such file.
        InvalidInput: another suffix, a missing column, a broken row, a blank text, a score that is no finite
            number; no pairs at all. Names the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.")
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"A file of pairs ends in {', '.join(_SUFFIXES)}; got {str(path)!r}.")
    first: list[str] = []
    second: list[str] = []
    negatives: list[Sequence[str]] = []
    scores: list[float] = []
    columns: tuple[str, str, str | None] | None = None
    for place, row in _rows(path):
        columns = columns or _columns(path, row)
        left, right, value = columns
        first.append(_text(row, left, place))
        second.append(_text(row, right, place))
        if value is not None:
            scores.append(_score(row.get(value), value, place))
        elif (given := row.get("negative")) not in (None, "", []):
            texts = given if isinstance(given, list) else [given]
            negatives.append([_text({"negative": text}, "negative", place) for text in texts])
        else:
            negatives.append([])
    if not first:
        raise InvalidInput(f"{path} holds no pairs. Expected rows with {_NEEDED}.")
    return Pairs(first, second, negatives if any(negatives) else (), np.array(scores) if scores else None)


def _columns(path: Path, row: Mapping[str, Any]) -> tuple[str, str, str | None]:
    left, right, value = (next((name for name in names if name in row), None) for names in (_FIRST, _SECOND, _SCORE))
    if left is None or right is None or (right != "positive" and value is None):
        found = ", ".join(map(repr, row)) or "none"
        raise InvalidInput(f"{path} has the columns {found}; expected {_NEEDED}.")
    return left, right, None if right == "positive" else value


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text.strip():
        what = "nothing" if text is None else "a blank text" if isinstance(text, str) else type(text).__name__
        raise InvalidInput(f"{place}: expected a text in {name!r}, got {what}. Leave the row out.")
    return text


def _score(value: Any, name: str, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{place}: expected a finite number in {name!r}, got {value!r}.")
    return number


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows by column, each with its place in words."""
    try:
        with path.open("rb") as file:
            encoding = encoding_of(file.read(1 << 20).rpartition(b"\n")[0])
    except InvalidInput as error:
        raise InvalidInput(f"{path} cannot be read as pairs: {error}.") from error
    if encoding == "cp1252":
        raise InvalidInput(f"{path} is not UTF-8. Save it as UTF-8: iconv -f latin1 -t utf-8.")
    try:
        with path.open(encoding=encoding, newline="") as file:
            yield from (_json_rows if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows)(path, file)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not {error.encoding}: {error.reason}. Save it as UTF-8.") from error


def _json_rows(path: Path, lines: Iterator[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        yield place, json_object(line, place)


def _csv_rows(path: Path, lines: Iterator[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tabs = path.suffix.lower() == ".tsv"
    # TSV has no quoting: a quotation mark in a text is one.
    rows = csv.reader(lines, delimiter="\t" if tabs else ",", strict=True, quoting=csv.QUOTE_NONE if tabs else 0)
    header: list[str] = []
    try:
        for values in rows:
            place = f"{path}, line {rows.line_num}"
            if not header:
                header = [name.strip().lower() for name in values]
                _columns(path, dict.fromkeys(header))
            elif values:
                if len(values) != len(header):
                    raise InvalidInput(f"{place}: expected {len(header)} fields, as the header has, got {len(values)}.")
                yield place, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {rows.line_num} is not CSV: {error}.") from error
