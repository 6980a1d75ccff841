"""A corpus made ready for words: lower case, one text a line, in parts that a run can stop between."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samespace.encoders.words.tokens import compounds
from samespace.errors import InvalidInput, NotFound
from samespace.sources import TABLES, Columns, find_files, read_files, read_table
from samespace.training.checkpoint import write_file
from samespace.training.corpus import read_lines
from samespace.training.run import describe_file

__all__ = ["Sentences", "describe", "prepare", "texts_as_words"]

_PART_BYTES = 8 << 20
_MOST_PARTS = 16
_LONGEST = 1_000  # words in a line; gensim drops the rest of a batch beyond 10,000
_HELD_OUT, _MOST_HELD_OUT = 0.01, 5_000
_REPORT_EVERY = 1 << 14
_JOINT = re.compile("[-_]|'s?(?=[-_]|$)")  # "don't" is one word, "dog's" is "dog"


@dataclass(frozen=True)
class Sentences:
    """A corpus on disk.

    Attributes:
        folder: where it is.
        words: in each part, ``part-00.txt`` and so on.
        vocabulary: words and how often they occur, the most frequent first, of equal ones in alphabetical order.
    """

    folder: Path
    words: list[int]
    vocabulary: dict[str, int]

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{number:02}.txt"

    @property
    def held_out(self) -> list[list[str]]:
        """Texts that are not trained on, as words."""
        return [line.split() for line in (self.folder / "held-out.txt").read_text(encoding="utf-8").splitlines()]


def describe(corpus: Sequence[Path]) -> dict[str, Any]:
    """What a corpus consists of: names, sizes and digests of its files.

    Raises:
        NotFound: something is not there.
        InvalidInput: a file is empty, or a folder holds none.
    """
    files = []
    for path in corpus:
        if not path.exists():
            raise NotFound(f"There is no corpus {str(path)!r}.")
        found = [file.path for file in find_files([path], on_skip=_pass)] if path.is_dir() else [path]
        if not found:
            raise InvalidInput(f"The folder {path} holds no files to train on.")
        files += [describe_file(file) for file in found if not path.is_dir() or file.stat().st_size]
    return {"files": files}


def prepare(
    corpus: Sequence[Path],
    text: str,
    folder: Path,
    settings: Mapping[str, Any],
    min_count: int,
    progress: Callable[[int], None],
) -> Sentences:
    """Write the corpus into ``folder``, or take what is there, if it was made with the same settings.

    Texts are dealt out to the parts in turn, so that each is a sample of the whole, however the corpus is ordered.

    Args:
        corpus: text files with one text a line, tables (JSON lines, CSV, Parquet), and folders of files.
        text: the column of tables that holds the texts.
        folder: of the run's checkpoint.
        settings: of the run.
        min_count: occurrences that a word needs.
        progress: called with the words so far.

    Raises:
        InvalidInput: fewer than two words occur so often.
    """
    about = folder / "about.json"
    if about.is_file() and (kept := json.loads(about.read_text(encoding="utf-8")))["settings"] == settings:
        return Sentences(folder, kept["words"], kept["vocabulary"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    size = sum(file["bytes"] for file in settings["corpus"]["files"])
    words = [0] * max(1, min(_MOST_PARTS, size // _PART_BYTES))
    counts: Counter[str] = Counter()
    held = trained = 0
    with ExitStack() as stack:
        parts = [
            stack.enter_context(open(folder / f"part-{number:02}.txt", "w", encoding="utf-8"))  # noqa: PTH123
            for number in range(len(words))
        ]
        aside = stack.enter_context((folder / "held-out.txt").open("w", encoding="utf-8"))
        for number, line in enumerate(texts_as_words(corpus, text)):
            chosen = zlib.crc32(" ".join(line).encode()) < _HELD_OUT * 2**32
            if chosen:  # beyond so many it is in neither, since it may repeat what is held out
                held += 1
                if held <= _MOST_HELD_OUT:
                    aside.write(" ".join(line) + "\n")
                continue
            at = trained % len(parts)
            trained += 1
            parts[at].write(" ".join(line) + "\n")
            words[at] += len(line)
            counts.update(line)
            if number % _REPORT_EVERY == 0:
                progress(sum(words))
    order = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    vocabulary = {word: -count for count, word in order}
    if len(vocabulary) < 2:
        raise InvalidInput(
            f"The corpus has {sum(words):,} words, of which {len(vocabulary)} occur {min_count} times or more. "
            "Give more text, or a lower min_count."
        )
    # Lines go round, so that only the last parts can be empty, and the numbers of the others stay theirs.
    made = Sentences(folder, [count for count in words if count], vocabulary)
    kept = {"settings": settings, "words": made.words, "vocabulary": made.vocabulary}
    write_file(about, json.dumps(kept).encode())
    return made


def texts_as_words(corpus: Sequence[Path], column: str) -> Iterator[list[str]]:
    """The words of each text in lower case, at most 1,000 at a time."""
    for path in corpus:
        for text in _texts(path, column):
            words = []
            for word in compounds(text.lower()):
                if word.isalnum():
                    words.append(word)
                else:
                    words += filter(None, _JOINT.split(word))
            for start in range(0, len(words), _LONGEST):
                yield words[start : start + _LONGEST]


def _texts(path: Path, column: str) -> Iterator[str]:
    if path.is_dir():
        return (passage.content for passage in read_files([path], count_tokens=None, max_tokens=None, on_skip=_pass))
    if path.suffix.lower() in TABLES:
        return (record.content for record in read_table(path, Columns(text=column)))
    return read_lines(path)


def _pass(path: Path, reason: str) -> None:
    """What cannot be read is not trained on."""
    del path, reason
