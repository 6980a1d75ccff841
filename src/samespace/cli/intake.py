"""From a stream of passages to rows of a collection, batch by batch, so that Ctrl-C costs one batch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from samespace.batches import content_id
from samespace.cli.exits import Interrupted
from samespace.cli.progress import progress
from samespace.cli.readahead import ReadAhead
from samespace.errors import TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from samespace.collection import Collection
    from samespace.sources import Passage, Record

__all__ = ["Tally", "take_in"]

# A batch is what Ctrl-C can cost and how often the bar moves; a larger one encodes hardly faster.
_BATCH = 256

# Passages that are read and wait to be encoded, at most: some 50 MB of text. Reading is much faster than
# encoding, so that the total is known early.
_READ_AHEAD = 50_000


@dataclass
class Tally:
    """What became of the passages.

    Attributes:
        saved: of the batch in which Ctrl-C came, what was committed all the same.
        ids: of every passage that came, for who wants to know what is gone.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    truncated: int = 0
    saved: int = 0
    ids: set[str] = field(default_factory=set)

    @property
    def done(self) -> int:
        """Passages that are in the collection now."""
        return self.added + self.replaced + self.unchanged + self.saved


def take_in(collection: Collection, passages: Iterable[Passage | Record], *, label: str, quiet: bool = False) -> Tally:
    """Add passages, showing progress.

    Raises:
        Interrupted: Ctrl-C; its message says how many passages are in the collection.
    """
    tally = Tally()
    encoder = collection.require_encoder()
    size = encoder.window if encoder.paid else _BATCH
    with progress(label, quiet=quiet) as meter, warnings.catch_warnings():
        # The tally counts what is truncated; one warning for each batch would say it many times.
        warnings.simplefilter("ignore", TruncationWarning)
        stream = ReadAhead(passages, _READ_AHEAD, meter.expect)
        try:
            for batch in _batches(iter(stream), size):
                _add(collection, batch, tally)
                meter.advance(len(batch))
        except KeyboardInterrupt:
            of = "" if meter.total is None else f" of {meter.total:,}"
            raise Interrupted(
                f"Interrupted. {tally.done:,}{of} passages are in {collection.path}; "
                "run the same command again to go on from there."
            ) from None
        finally:
            stream.close()
    return tally


def _add(collection: Collection, batch: list[Passage | Record], tally: Tally) -> None:
    ids = [content_id(passage.content) if passage.id is None else passage.id for passage in batch]
    try:
        report = collection.add(
            [passage.content for passage in batch], ids=ids, metadata=[passage.metadata for passage in batch]
        )
    except KeyboardInterrupt:
        tally.saved = len(collection.get(set(ids)))
        raise
    tally.added += report.added
    tally.replaced += report.replaced
    tally.unchanged += report.unchanged
    tally.truncated += report.truncated
    tally.ids.update(ids)


def _batches(passages: Iterator[Passage | Record], size: int) -> Iterator[list[Passage | Record]]:
    while batch := list(islice(passages, size)):
        yield batch
