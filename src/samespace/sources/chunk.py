"""From blocks to chunks that an encoder reads whole.

Blocks under one heading are merged until a target is reached. A block over the limit is cut at its sentences
(or lines), what is still over the limit at its words, and a word that is over the limit between characters.
Nothing is left out: the chunks, one after the other, hold every character of the blocks but white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from samespace.errors import InvalidInput
from samespace.sources.base import Block, CountTokens

__all__ = ["Chunk", "chunk"]

_TARGET_TOKENS = 200
_TARGET_CHARACTERS = 1_000
_LIMIT_CHARACTERS = 2_000

# A tokenizer may make one "unknown" token of a megabyte without a space. No language packs this many
# characters into a token, so a text counts for at least one token in so many characters.
_MOST_CHARACTERS_A_TOKEN = 16

# Only the white space after a sentence is matched, with a fixed look behind: linear on any input.
_SENTENCE_END = re.compile(
    r"""(?<=[.!?\u2026])\s+ | (?<=[.!?\u2026]["'\u201d\u2019\xbb)\]])\s+   # Latin, Greek, Cyrillic …
    | (?<=[\u3002\uff01\uff1f])                                            # Chinese and Japanese
    | \n[^\S\n]*\n\s*                                                      # a blank line""",
    re.VERBOSE,
)
_LINE_END = re.compile(r"\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring text of a document that fits an encoder.

    Args:
        text: without blank lines around it.
        line: where its first word stands in the source, 1-based.
        end_line: where its last word stands.
        headings: the headings above its first block.
        page: where there are pages.
    """

    text: str
    line: int
    end_line: int
    headings: tuple[str, ...]
    page: int | None


@dataclass(slots=True)
class _Piece:
    """A stretch of a block that is not cut further, white space at its end included."""

    text: str
    block: Block
    row: int  # the line of the block's text on which the piece begins
    size: int | None = None  # not measured yet
    whole: bool = False


def chunk(
    blocks: Iterable[Block],
    *,
    count_tokens: CountTokens | None = None,
    max_tokens: int | None = None,
    target: int | None = None,
) -> list[Chunk]:
    """Cut and merge blocks into chunks of at most ``max_tokens`` each.

    Args:
        blocks: of one document, in its order.
        count_tokens: the encoder's own count; called a few times with many texts.
        max_tokens: what the encoder reads of a text, special tokens included. None: there is no limit, and
            sizes are in characters (a chunk has at most 2,000, or the target if that is more).
        target: stop merging here. Default: 200 tokens, or 1,000 characters. A block that is over the target
            and within the limit stays whole.

    Returns:
        Chunks in the order of the source. One that is over the limit can only be a single character.

    Raises:
        InvalidInput: a limit without a count, or a limit with no room beside the special tokens.
    """
    if max_tokens is None:
        ruler = _Ruler(None, max(_LIMIT_CHARACTERS, target or 0))
        goal = target or _TARGET_CHARACTERS
    elif count_tokens is None:
        raise InvalidInput(f"max_tokens={max_tokens} needs count_tokens, the encoder's own count; got None.")
    else:
        ruler = _Ruler(count_tokens, max_tokens)
        goal = target or _TARGET_TOKENS
    goal = max(1, min(goal, ruler.room))
    return _verified(_pack(_cut(blocks, ruler), goal, ruler.room), ruler)


class _Ruler:
    """Measures texts in tokens without the special ones, or in characters."""

    def __init__(self, count_tokens: CountTokens | None, limit: int) -> None:
        self._count = count_tokens
        self._special = int(count_tokens([""])[0]) if count_tokens else 0
        self.room = limit - self._special
        self.most_characters = self.room * (_MOST_CHARACTERS_A_TOKEN if count_tokens else 1)
        if self.room < 1:
            raise InvalidInput(f"max_tokens must leave room beside {self._special} special tokens, got {limit}.")

    def sizes(self, texts: Sequence[str]) -> list[int]:
        if self._count is None:
            return [len(text) for text in texts]
        # Many pieces are alike (words of a list, lines of code), and a repeated one is counted once.
        distinct = list(dict.fromkeys(texts))
        counts = dict(zip(distinct, self._count(distinct).tolist(), strict=True)) if distinct else {}
        return [max(counts[text] - self._special, len(text) // _MOST_CHARACTERS_A_TOKEN) for text in texts]


def _cut(blocks: Iterable[Block], ruler: _Ruler) -> list[_Piece]:
    """Cut what does not fit: blocks into sentences, these into runs of words, these between characters."""
    pieces = [_Piece(block.text, block, 0, whole=True) for block in blocks]
    while True:
        # What is too long by its characters alone is cut before anything is tokenised.
        pieces = [part for piece in pieces for part in _shortened(piece, ruler)]
        new = [piece for piece in pieces if piece.size is None]
        for piece, size in zip(new, ruler.sizes([piece.text for piece in new]), strict=True):
            piece.size = size
        if all(_fits(piece, ruler) for piece in new):
            return pieces
        pieces = [
            part
            for piece in pieces
            for part in ([piece] if _fits(piece, ruler) else _parts(piece, len(piece.text) // 2))
        ]


def _fits(piece: _Piece, ruler: _Ruler) -> bool:
    return len(piece.text) == 1 or (piece.size is not None and piece.size <= ruler.room)


def _shortened(piece: _Piece, ruler: _Ruler) -> list[_Piece]:
    if len(piece.text) <= ruler.most_characters:
        return [piece]
    width = max(1, ruler.most_characters // 4)
    return [
        part
        for unit in (_parts(piece, width) if piece.whole else [piece])
        for part in ([unit] if len(unit.text) <= ruler.most_characters else _parts(unit, width))
    ]


def _parts(piece: _Piece, width: int) -> list[_Piece]:
    """Cut a whole block into its sentences or lines, anything else into slices of ``width`` characters."""
    if piece.whole:
        border = _SENTENCE_END if piece.block.unit == "sentence" else _LINE_END
        texts = _between(piece.text, [match.end() for match in border.finditer(piece.text)])
    else:
        texts = _slices(piece.text, max(1, width))
    parts, row = [], piece.row
    for text in texts:
        parts.append(_Piece(text, piece.block, row))
        row += text.count("\n")
    return parts


def _between(text: str, borders: Sequence[int]) -> Iterator[str]:
    start = 0
    for border in (*borders, len(text)):
        if border > start:
            yield text[start:border]
            start = border


def _slices(text: str, width: int) -> Iterator[str]:
    """Cut at the last white space within each ``width`` characters; after ``width`` if there is none."""
    start = 0
    while start < len(text):
        end = start + width
        if end < len(text):
            border = max(text.rfind(space, start + 1, end) for space in " \n\t\u3000")
            end = border + 1 if border > 0 else end
        yield text[start:end]
        start = end


def _pack(pieces: Iterable[_Piece], goal: int, room: int) -> Iterator[list[_Piece]]:
    """Group neighbours under one heading up to the goal. A heading is kept with what follows it."""
    group: list[_Piece] = []
    size = 0
    for piece in pieces:
        titles_only = all(member.block.heading for member in group)
        added = piece.size or 0
        if group and (
            size + added > (room if titles_only else goal)
            or (piece.block.heading and not titles_only)
            or piece.block.page != group[-1].block.page
            or not _together(group[-1].block.headings, piece.block.headings, titles_only)
        ):
            yield group
            group, size = [], 0
        group.append(piece)
        size += added
    if group:
        yield group


def _together(above: tuple[str, ...], headings: tuple[str, ...], titles_only: bool) -> bool:
    return headings[: len(above)] == above if titles_only else headings == above


def _verified(groups: Iterable[list[_Piece]], ruler: _Ruler) -> list[Chunk]:
    """Count each group as one text, and halve those that are over: tokens do not always add up."""
    waiting = [(group, _chunk_of(group)) for group in map(_trimmed, groups) if group]
    while True:
        sizes = ruler.sizes([made.text for _, made in waiting])
        over = [size > ruler.room and len(made.text) > 1 for size, (_, made) in zip(sizes, waiting, strict=True)]
        if not any(over):
            return [made for _, made in waiting]
        waiting = [
            (half, _chunk_of(half)) if halve else (group, made)
            for halve, (group, made) in zip(over, waiting, strict=True)
            for half in (map(_trimmed, _halves(group)) if halve else [group])
            if half
        ]


def _halves(pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    if len(pieces) == 1:
        pieces = _parts(pieces[0], len(pieces[0].text) // 2)
    middle = (len(pieces) + 1) // 2
    return pieces[:middle], pieces[middle:]


def _trimmed(pieces: list[_Piece]) -> list[_Piece]:
    """Without the pieces at both ends that are white space only."""
    filled = [number for number, piece in enumerate(pieces) if piece.text.strip()]
    return pieces[filled[0] : filled[-1] + 1] if filled else []


def _chunk_of(pieces: Sequence[_Piece]) -> Chunk:
    first, last = pieces[0], pieces[-1]
    text = _join(pieces).rstrip()
    # The first line keeps its indentation, which code needs; blank lines before it go.
    margin = text[: len(text) - len(text.lstrip())]
    return Chunk(
        text=text[margin.rfind("\n") + 1 :],
        line=first.block.lines[first.row + margin.count("\n")],
        end_line=last.block.lines[last.row + last.text.rstrip().count("\n")],
        headings=last.block.headings,
        page=first.block.page,
    )


def _join(pieces: Sequence[_Piece]) -> str:
    texts: list[str] = []
    before: Block | None = None
    for piece in pieces:
        if before is not None and piece.block is not before:
            texts.append("\n" if piece.block.lines[0] == before.lines[-1] + 1 else "\n\n")
        texts.append(piece.text)
        before = piece.block
    return "".join(texts)
