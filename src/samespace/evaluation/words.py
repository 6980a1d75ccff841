"""How well word vectors agree with people: similarity of pairs, and analogies. The protocol is gensim's.

The sets that people use are not ours to pass on; gensim's package carries them, and :func:`standard_set` finds them
there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from samespace.encoders.words.table import Table
from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.evaluation.pairs import spearman
from samespace.vectors import Matrix, unit

__all__ = [
    "STANDARD_SETS",
    "Analogies",
    "Section",
    "WordPairs",
    "evaluate_analogies",
    "evaluate_pairs",
    "evaluate_words",
    "standard_set",
]

STANDARD_SETS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt", "analogies": "questions-words.txt"}
"""WordSim-353 (Finkelstein et al. 2002), SimLex-999 (Hill, Reichart and Korhonen 2015), and the analogy questions
of Mikolov et al. 2013, as gensim's package names their files."""

_MOST_FREQUENT = 300_000
_AT_ONCE = 512  # questions


@dataclass(frozen=True, slots=True)
class WordPairs:
    """Agreement with people's judgement of pairs.

    Attributes:
        spearman: rank correlation of cosine similarity with the judgements.
        pairs: that were compared.
        unknown: pairs left out, because a word of theirs is not known.
    """

    spearman: float
    pairs: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Section:
    """Questions of one kind.

    Attributes:
        name: of the kind.
        correct: questions whose answer was the nearest word.
        asked: questions all of whose words are known.
        unknown: the others.
    """

    name: str
    correct: int
    asked: int
    unknown: int

    @property
    def accuracy(self) -> float:
        """The part of the questions asked that was answered; NaN if none was asked."""
        return self.correct / self.asked if self.asked else float("nan")


@dataclass(frozen=True, slots=True)
class Analogies:
    """Answers to analogy questions.

    Attributes:
        sections: by kind, in the order of the file.
    """

    sections: tuple[Section, ...]

    @property
    def total(self) -> Section:
        """All sections together."""
        counts = [(each.correct, each.asked, each.unknown) for each in self.sections]
        return Section("total", *(sum(column) for column in zip(*counts, strict=True)))


def standard_set(name: str) -> Path:
    """Find one of the :data:`STANDARD_SETS` in gensim's package, which is not imported.

    Raises:
        NotFound: there is no set of that name.
        MissingExtra: gensim is not installed.
    """
    if name not in STANDARD_SETS:
        raise NotFound(f"There is no standard set {name!r}. The sets are: {', '.join(STANDARD_SETS)}.")
    spec = find_spec("gensim")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, "test", "test_data", STANDARD_SETS[name])).is_file():
            return path
    raise MissingExtra(f"The set {name}, which gensim's package carries,", "train")


def evaluate_words(table: Table, *, most_frequent: int = _MOST_FREQUENT) -> dict[str, float]:
    """Measure words on all standard sets.

    Returns:
        Spearman's correlation under ``wordsim353`` and ``simlex999``, the accuracy under ``analogies``. A set of
        which too few words are known has no figure.

    Raises:
        MissingExtra: gensim is not installed.
    """
    figures: dict[str, float] = {}
    for name in ("wordsim353", "simlex999"):
        try:
            figures[name] = evaluate_pairs(table, standard_set(name), most_frequent=most_frequent).spearman
        except InvalidInput:  # of a small vocabulary
            continue
    answers = evaluate_analogies(table, standard_set("analogies"), most_frequent=most_frequent).total
    if answers.asked:
        figures["analogies"] = answers.accuracy
    return figures


def evaluate_pairs(table: Table, path: str | Path, *, most_frequent: int = _MOST_FREQUENT) -> WordPairs:
    """Compare similarities of words with people's.

    Args:
        table: of word vectors.
        path: of a file with two words and a number on each line, tabs between; lines with ``#`` are comments.
        most_frequent: words beyond these count as unknown. Case does not matter; of several spellings that
            differ in it the most frequent stands for all.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a line is not as described; or fewer than two pairs are known.
    """
    rows = _rows(table, most_frequent)
    known: list[tuple[int, int]] = []
    judged: list[float] = []
    unknown = 0
    for number, line in _lines(path):
        if line.startswith("#"):
            continue
        try:
            a, b, value = line.split("\t")
            judgement = float(value)
        except ValueError:
            raise InvalidInput(
                f"{path}, line {number}: expected two words and a number with tabs between, got {line[:60]!r}."
            ) from None
        if a.upper() in rows and b.upper() in rows:
            known.append((rows[a.upper()], rows[b.upper()]))
            judged.append(judgement)
        else:
            unknown += 1
    if len(known) < 2:
        raise InvalidInput(f"{table.folder} knows {len(known)} of the {len(known) + unknown} pairs of {path}.")
    left, right = (_unit(table, list(column)) for column in zip(*known, strict=True))
    return WordPairs(spearman(np.vecdot(left, right), judged), len(known), unknown)


def evaluate_analogies(
    table: Table,
    path: str | Path,
    *,
    most_frequent: int = _MOST_FREQUENT,
    progress: Callable[[int, int], None] | None = None,
) -> Analogies:
    """Answer questions ``a b c d``, where ``d`` should be the word nearest to ``b - a + c``, these left out.

    Args:
        table: of word vectors.
        path: of a file with four words on each line, and lines ``: name`` that begin a section.
        most_frequent: words beyond these count as unknown, and are no answers. Case does not matter.
        progress: called with questions answered and questions in all.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a line is not as described, or stands before the first section.
    """
    rows = _rows(table, most_frequent)
    spellings = _spellings(table, most_frequent)
    sections: dict[str, list[tuple[int, ...]]] = {}
    unknown: dict[str, int] = {}
    name = None
    for number, line in _lines(path):
        if line.startswith(":"):
            name = line[1:].strip()
            sections.setdefault(name, [])
            unknown.setdefault(name, 0)
            continue
        words = line.upper().split()
        if name is None or len(words) != 4:
            what = "four words" if name is not None else "the name of a section, such as ': capitals',"
            raise InvalidInput(f"{path}, line {number}: expected {what}, got {line[:60]!r}.")
        if all(word in rows for word in words):
            sections[name].append(tuple(rows[word] for word in words))
        else:
            unknown[name] += 1
    if name is None:
        raise InvalidInput(f"{path} holds no questions.")
    total, done = sum(map(len, sections.values())), 0
    counted = []
    for name, questions in sections.items():
        correct = 0
        for start in range(0, len(questions), _AT_ONCE):
            part = questions[start : start + _AT_ONCE]
            correct += _answered(table, part, spellings, most_frequent)
            done += len(part)
            if progress:
                progress(done, total)
        counted.append(Section(name, correct, len(questions), unknown[name]))
    return Analogies(tuple(counted))


def _answered(table: Table, questions: list[tuple[int, ...]], spellings: dict[int, list[int]], among: int) -> int:
    a, b, c, expected = (list(column) for column in zip(*questions, strict=True))
    sums = _unit(table, b) - _unit(table, a) + _unit(table, c)
    sums[~sums.any(axis=1)] = 1.0  # a question whose words cancel out has no right answer
    given = [[row for word in question[:3] for row in spellings.get(word, [word])] for question in questions]
    found, _ = table.best(unit(sums), 1, leave_out=given, among=among)
    pairs = zip(found[:, 0].tolist(), expected, strict=True)
    return sum(row in spellings.get(right, [right]) for row, right in pairs)


def _rows(table: Table, most_frequent: int) -> dict[str, int]:
    """The first row of each word, whatever its case."""
    words = table.words.first(most_frequent)
    return {word.upper(): row for row, word in zip(range(len(words) - 1, -1, -1), reversed(words), strict=True)}


def _spellings(table: Table, most_frequent: int) -> dict[int, list[int]]:
    """For the first row of a word all its rows, where there are several."""
    groups: dict[str, list[int]] = {}
    for row, word in enumerate(table.words.first(most_frequent)):
        groups.setdefault(word.upper(), []).append(row)
    return {rows[0]: rows for rows in groups.values() if len(rows) > 1}


def _unit(table: Table, rows: list[int]) -> Matrix:
    lengths = np.maximum(table.norms[rows], np.finfo(np.float32).tiny)
    vectors: Matrix = (table.vectors[rows] / lengths[:, None]).astype(np.float32, copy=False)
    return vectors


def _lines(path: str | Path) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no file {str(path)!r}.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8.") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
