"""Writes real texts, one a line, out of what Debian carries: enough to fill a collection of a million.

    apt install wordnet-base dict-gcide dict-foldoc dict-jargon bible-kjv-text manpages linux-doc
    apt-get -o Acquire::Languages=en update                   # descriptions of packages, in English
    python bench/texts.py reference reference.txt             # sentences of works of reference
    python bench/texts.py verses verses.txt                   # another kind: the King James Bible
    python bench/corpus.py FOLDER --text reference.txt --rows 1000000 --other verses.txt

A work that is not installed is left out, with a word on it.
"""

from __future__ import annotations

import argparse
import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from corpus import glosses

_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[A-Z`'\"(])")
_PARAGRAPH = re.compile(r"\n\s*\n")
_NOISE = re.compile(r"\[[^\]]*\]|\\[^\\]*\\|--[A-Z][\w. ]*\.?$|^\s*(?:\d+\.|\([a-z]\)|\*|-|::?|\.\.)\s*|[{}`]")
_MARKUP = re.compile(r"\\f[BIRP]|\\&|\\-|:[a-z:]+:|\*\*?|``")


def sentences(text: str) -> Iterator[str]:
    """Sentences of a text of paragraphs, without the marks of its format."""
    for paragraph in _PARAGRAPH.split(text):
        for sentence in _SENTENCE.split(" ".join(paragraph.split())):
            plain = " ".join(_NOISE.sub(" ", sentence).split())
            letters = sum(map(str.isalpha, plain))
            if 4 <= len(plain.split()) <= 80 and letters > 0.6 * len(plain):
                yield plain


def dictionaries(folder: Path) -> Iterator[str]:
    """What the dictionaries of the DICT server explain."""
    for name in ("gcide", "foldoc", "jargon"):
        file = folder / f"{name}.dict.dz"
        if not file.exists():
            print(f"{file} is not there: install dict-{name}.", file=sys.stderr)
            continue
        yield from sentences(gzip.decompress(file.read_bytes()).decode("utf-8", "replace"))


def descriptions(folder: Path) -> Iterator[str]:
    """Descriptions of Debian's packages."""
    files = sorted(folder.glob("*Translation-en*"))
    if not files:
        print(f"{folder} has no Translation-en: apt-get -o Acquire::Languages=en update.", file=sys.stderr)
    for file in files:
        command = ["/usr/lib/apt/apt-helper", "cat-file", str(file)]
        text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")
        body = re.sub(r"^(Package|Description-md5): .*$|^Description-en: ", "\n", text, flags=re.M)
        yield from sentences(re.sub(r"^ \.$", "\n", body, flags=re.M))


def manuals(folder: Path) -> Iterator[str]:
    """Manual pages, and the documentation of Linux."""
    for file in sorted(folder.glob("man/man[1-8]/*.gz")):
        text = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
        prose = "\n".join("" if line[:1] in ".'" else line for line in text.splitlines())
        yield from sentences(_MARKUP.sub("", prose))
    for file in sorted(folder.glob("doc/linux-doc*/Documentation/**/*.rst*")):
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8", "replace")
        yield from sentences(_MARKUP.sub("", text))


def verses() -> Iterator[str]:
    """Verses of the King James Bible, printed by ``bible``."""
    printed = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=True).stdout
    for line in printed.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and ":" in words[0]:
            yield words[1]


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("reference", "verses"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--share", type=Path, default=Path("/usr/share"))
    parser.add_argument("--lists", type=Path, default=Path("/var/lib/apt/lists"))
    arguments = parser.parse_args()
    if arguments.kind == "verses":
        texts = dict.fromkeys(verses())
    else:
        texts = dict.fromkeys(glosses(arguments.share / "wordnet"))
        for source in (
            dictionaries(arguments.share / "dictd"),
            descriptions(arguments.lists),
            manuals(arguments.share),
        ):
            before = len(texts)
            texts |= dict.fromkeys(source)
            print(f"{source.__name__}: {len(texts) - before:,} texts", file=sys.stderr)
    arguments.file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(f"{len(texts):,} texts in {arguments.file}", file=sys.stderr)


if __name__ == "__main__":
    main()
