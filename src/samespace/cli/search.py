"""``samespace search``."""

from __future__ import annotations

import math
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import click

from samespace.cli import options, output
from samespace.cli.exits import INCOMPLETE
from samespace.errors import InvalidInput, SamespaceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from samespace.collection import Collection


@click.command(
    "search",
    cls=options.Command,
    examples=(
        'samespace search notes.ss "what was decided about prices?" -k 5',
        'samespace search notes.ss "prices" --mode hybrid --where \'{"year": {"$gte": 2024}}\'',
    ),
)
@options.collection
@click.argument("query")
@click.option("-k", type=click.IntRange(min=1), metavar="N", default=10, show_default=True, help="How many hits.")
@options.where
@click.option(
    "--mode",
    type=click.Choice(["vector", "text", "hybrid"]),
    default="vector",
    show_default=True,
    help="By meaning, by words, or by both.",
)
@click.option("--min-score", type=float, metavar="X", help="Only hits that score X or more.")
@options.recall("Find this part of the true nearest rows on average; what is declared if left out, and 1 is exact.")
@click.option("--full", is_flag=True, help="Show passages to their end, however long.")
@options.as_json
def search_command(
    collection: str,
    query: str,
    k: int,
    where: Mapping[str, Any] | None,
    mode: Literal["vector", "text", "hybrid"],
    min_score: float | None,
    recall: float | None,
    full: bool,
    as_json: bool,
) -> int:
    """Find the passages of COLLECTION that are nearest to QUERY in meaning.

    A QUERY of - is read from standard input. A higher score is better.
    """
    from samespace.opening import open as open_collection

    if min_score is not None and math.isnan(min_score):
        raise click.UsageError("--min-score must be a number that scores can be compared with, not nan.")
    if query == "-":
        query = sys.stdin.read()
    if not query.strip():
        raise InvalidInput(f"The query must be a text that is not blank, got {query!r}.")
    with output.notes(as_json=as_json), open_collection(collection, create=False) as rows:
        if mode != "text":
            rows.require_encoder()
        with _preparing(rows):
            hits = rows.search(query, k, where=where, mode=mode, min_score=min_score, recall=recall)
    if as_json:
        output.document([output.hit_dict(hit) for hit in hits])
    elif hits:
        from samespace.cli.hits import LINES, show_hits

        lines, decimals = None if full else LINES, 3 if mode == "vector" else 4
        show_hits(output.console(), query, hits, lines=lines, decimals=decimals)
    else:
        output.note("nothing found")
    return 0 if hits else INCOMPLETE


@contextmanager
def _preparing(rows: Collection) -> Iterator[None]:
    """Load the index and rich in a thread, while the body loads the encoder, which is mostly not Python's work."""

    def load() -> None:
        # What is wrong with the index or the store, the search meets too, and says it.
        with suppress(SamespaceError):
            rows.info()
        output.console()

    thread = threading.Thread(target=load, name="load-index")
    thread.start()
    try:
        yield
    finally:
        thread.join()
