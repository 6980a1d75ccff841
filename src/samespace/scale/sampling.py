"""Some of the rows that are to be done, which say what the others are like."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import accumulate, groupby, islice

from samespace.errors import InvalidInput, NotFound
from samespace.scale.shards import Fields, Part, kind_of, weigh

__all__ = ["Sample", "samples"]

_ROWS, _CHARACTERS = 1_000, 2**20  # of a sample: it ends with either
_PLACES = 8  # that it is taken from
_TRIES = 32  # parts that are opened for it, since some may be tiny, and some unreadable


def samples(parts: Iterable[Part], fields: Fields) -> list[Sample]:
    """A sample of the parts of each kind of shard."""
    some = sorted((part for part in parts if part.end > part.begin), key=lambda part: kind_of(part.path))
    return [Sample(list(alike), fields) for _, alike in groupby(some, lambda part: kind_of(part.path))]


class Sample:
    """Texts of some rows, from several places, read as they are taken. Rows that cannot be used have none.

    Args:
        parts: of shards of one kind, none of them empty.
        fields: what their columns are.

    Attributes:
        texts: how many were taken.
    """

    def __init__(self, parts: Sequence[Part], fields: Fields) -> None:
        self._parts, self._fields = parts, fields
        ends = list(accumulate(part.end - part.begin for part in parts))
        self._size = ends[-1]
        self._places = sorted({bisect_right(ends, self._size * place // _PLACES) for place in range(_PLACES)})
        self._characters, self._weight = 0, 0.0
        self.texts = 0

    def __iter__(self) -> Iterator[str]:
        for part in islice(self._spread(), _TRIES):
            yield from self._some(part)
            if self.texts >= _ROWS or self._characters >= _CHARACTERS:
                return

    @property
    def times(self) -> float:
        """How many times as much there is in all."""
        return self._size / self._weight

    def _some(self, part: Part) -> Iterator[str]:
        """A share of the texts; none of a shard that cannot be read, which is told of when it is done."""
        enough = self._characters + _CHARACTERS / len(self._places)
        try:
            with closing(weigh(part, self._fields)) as rows:
                for text, weight in islice(rows, -(-_ROWS // len(self._places))):
                    self._weight += weight
                    if text is not None:
                        self.texts += 1
                        self._characters += len(text)
                        yield text
                    if self._characters >= enough:
                        return
        except (InvalidInput, NotFound):
            return

    def _spread(self) -> Iterator[Part]:
        """The parts at equal distances of what is to be read, then those that come after each of them."""
        tried = set()
        for offset in range(len(self._parts)):
            for place in self._places:
                number = (place + offset) % len(self._parts)
                if number not in tried:
                    tried.add(number)
                    yield self._parts[number]
