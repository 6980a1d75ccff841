"""``samespace demo``: the standard library of the Python that runs it, searched by meaning."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.encoders.places import cache_folder
from samespace.errors import InvalidInput

if TYPE_CHECKING:
    from samespace.collection import Collection
    from samespace.encoders import Encoder

_QUERIES = (
    "undo gzip",
    "how long did my function take",
    "run another program and read what it prints",
    "pick one thing out of a list by chance",
    "how alike are two texts",
)


@dataclass(frozen=True)
class _Made:
    """What a demo collection was made of. It is kept beside the collection, and decides if it is still good.

    Attributes:
        complete: False from the beginning of the first run to its end.
    """

    python: str
    samespace: str
    space: str
    complete: bool


@click.command(
    "demo",
    cls=options.Command,
    examples=(
        "samespace demo",
        'samespace demo "undo gzip"',
    ),
)
@click.argument("query", required=False)
@click.option(
    "-k", type=click.IntRange(min=1), metavar="N", help="How many hits; 5, or 2 for each sample, if left out."
)
@click.option("--into", metavar="COLLECTION", help="Keep the collection here, not in your cache folder.")
@click.option("--encoder", metavar="NAME", default="minilm", show_default=True, help="The encoder.")
@options.threads
@options.as_json
def demo_command(
    query: str | None, k: int | None, into: str | None, encoder: str, threads: int | None, as_json: bool
) -> None:
    """Search the documentation of Python's standard library by meaning.

    The first run indexes thousands of functions and classes of the Python that runs it, which takes a minute
    or so; later runs start at once. Without a QUERY it asks a few of its own.
    """
    from samespace.encoders import encoder as encoder_by_name
    from samespace.stores import is_url, shown

    if query is not None and not query.strip():
        raise InvalidInput(f"The query must be a text that is not blank, got {query!r}.")
    if into and is_url(into):
        raise InvalidInput(f"The demo's collection is in a folder, got {shown(into)}.")
    chosen = encoder_by_name(encoder, threads=threads)
    path = Path(into) if into else cache_folder(f"demo-{encoder}.ss")
    with output.notes(as_json=as_json), _ready(path, chosen, quiet=as_json) as rows:
        begun = time.perf_counter()
        rows.search("warm up", 1)  # loads the encoder and the index, which is no part of a search's time
        seconds = time.perf_counter() - begun
        if not as_json:
            output.note(f"{len(rows):,} passages in {path}, ready in {seconds:.1f} s")
        answers = [_ask(rows, text, k or (5 if query else 2)) for text in ([query] if query else _QUERIES)]
    if as_json:
        output.document([answer | {"hits": [output.hit_dict(h) for h in answer["hits"]]} for answer in answers])
    else:
        from samespace.cli.hits import LINES

        _show(answers, lines=LINES if query else 3)
        if not query:
            output.note('now ask your own: samespace demo "open a web page"')


def _ready(path: Path, encoder: Encoder, *, quiet: bool) -> Collection:
    """Open the demo's collection; make it, go on making it, or bring it up to date first."""
    from importlib.metadata import version

    from samespace.opening import open as open_collection

    wanted = _Made(platform.python_version(), version("samespace"), encoder.space.id, complete=True)
    label = path.with_name(f"{path.name}.json")
    made = _read(label) if path.exists() else None
    if made is None and path.exists():
        raise InvalidInput(f"{path} is there, and 'samespace demo' did not make it. Name another with --into.")
    if made == wanted:
        return open_collection(path, encoder, create=False)
    if made is not None and made.space != wanted.space:
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(label, replace(wanted, complete=False))
    rows = open_collection(path, encoder)
    try:
        _fill(rows, quiet=quiet)
    except BaseException:
        rows.close()
        raise
    _write(label, wanted)
    return rows


def _fill(rows: Collection, *, quiet: bool) -> None:
    from samespace.cli.intake import take_in
    from samespace.sources import docstrings

    encoder = rows.require_encoder()
    begun = time.perf_counter()
    passages = docstrings(count_tokens=encoder.count_tokens, max_tokens=encoder.max_tokens)
    tally = take_in(rows, passages, label="indexing the standard library", quiet=quiet)
    rows.delete([name for name in rows.ids() if name not in tally.ids])
    if not quiet:
        seconds = time.perf_counter() - begun
        output.note(
            f"indexed {tally.done:,} passages of the standard library of Python {platform.python_version()} "
            f"in {seconds:.0f} s, and kept them for the next time"
        )


def _read(label: Path) -> _Made | None:
    try:
        return _Made(**json.loads(label.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write(label: Path, made: _Made) -> None:
    draft = label.with_name(f"{label.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(made)))
    draft.replace(label)


def _ask(rows: Collection, query: str, k: int) -> dict[str, Any]:
    begun = time.perf_counter()
    hits = rows.search(query, k)
    return {"query": query, "milliseconds": round((time.perf_counter() - begun) * 1000, 1), "hits": hits}


def _show(answers: list[dict[str, Any]], *, lines: int) -> None:
    from rich.text import Text

    from samespace.cli.hits import show_hits

    console = output.console()
    for number, answer in enumerate(answers):
        if number:
            console.print()
        title = Text.assemble((output.clean(answer["query"]), "bold"), (f"  {answer['milliseconds']:.0f} ms", "dim"))
        console.print(title)
        show_hits(console, answer["query"], answer["hits"], lines=lines)
