"""From a stream of passages to rows of a collection, batch by batch, so that Ctrl-C costs one batch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

from samespace.batches import content_id
from samespace.cli.exits import Interrupted
from samespace.cli.progress import progress
from samespace.errors import TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from samespace.collection import Collection
    from samespace.sources import Passage, Record

__all__ = ["Tally", "take_in"]

# A batch is what Ctrl-C can cost and how often the bar moves; a larger one encodes hardly faster.
_BATCH = 512

# Passages that are read before the first is encoded, so that the bar knows its end: some 50 MB of text.
_READ_AHEAD = 50_000


@dataclass
class Tally:
    """What became of the passages.

    Attributes:
        ids: of every passage that came, for who wants to know what is gone.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    truncated: int = 0
    ids: set[str] = field(default_factory=set)

    @property
    def done(self) -> int:
        """Passages that are in the collection now."""
        return self.added + self.replaced + self.unchanged


def take_in(
    collection: Collection, passages: Iterable[Passage | Record], *, label: str, quiet: bool = False
) -> Tally:
    """Add passages, showing progress.

    Raises:
        Interrupted: Ctrl-C; the message says how many passages are in the collection.
    """
    tally, total = Tally(), None
    try:
        with progress("reading", None, quiet=quiet) as advance:
            stream = iter(passages)
            ahead = []
            for passage in islice(stream, _READ_AHEAD):
                ahead.append(passage)
                advance(1)
        if len(ahead) < _READ_AHEAD:
            total = len(ahead)
        with progress(label, total, quiet=quiet) as advance, warnings.catch_warnings():
            # The tally counts what is truncated; one warning for each batch would say it many times.
            warnings.simplefilter("ignore", TruncationWarning)
            for batch in _batches(chain(_emptied(ahead), stream)):
                _add(collection, batch, tally)
                advance(len(batch))
    except KeyboardInterrupt:
        of = "" if total is None else f" of {total:,}"
        raise Interrupted(
            f"Interrupted. {tally.done:,}{of} passages are in {collection.path}; "
            "run the same command again to go on from there."
        ) from None
    return tally


def _add(collection: Collection, batch: list[Passage | Record], tally: Tally) -> None:
    ids = [content_id(passage.content) if passage.id is None else passage.id for passage in batch]
    report = collection.add(
        [passage.content for passage in batch], ids=ids, metadata=[passage.metadata for passage in batch]
    )
    tally.added += report.added
    tally.replaced += report.replaced
    tally.unchanged += report.unchanged
    tally.truncated += report.truncated
    tally.ids.update(ids)


def _batches(passages: Iterator[Passage | Record]) -> Iterator[list[Passage | Record]]:
    while batch := list(islice(passages, _BATCH)):
        yield batch


def _emptied(passages: list[Passage | Record]) -> Iterator[Passage | Record]:
    """Go through a list and let go of each item, so that memory shrinks as the work goes on."""
    passages.reverse()
    while passages:
        yield passages.pop()
