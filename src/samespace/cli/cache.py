"""``samespace cache``."""

from __future__ import annotations

import re

import click

from samespace.cli import options, output


@click.command(
    "cache",
    cls=options.Command,
    examples=(
        "samespace cache",
        "samespace cache --clear",
        "samespace cache --forget 8cf75db4ac6ba18813113305c35d26c9",
    ),
)
@click.option("--clear", is_flag=True, help="Forget the vectors. They are made, or paid for, again when needed.")
@click.option("--forget", metavar="SPACE", help="Forget the vectors and canaries of the space with this id.")
@options.as_json
def cache_command(clear: bool, forget: str | None, as_json: bool) -> None:
    """Show what the cache of vectors holds, and where it is.

    Every text that is encoded is kept there with its space and role, so that nothing is computed or paid for
    twice. SAMESPACE_CACHE names another folder.
    """
    from samespace.encoders.cache import shared_cache

    cache = shared_cache()
    before, _ = cache.size()
    if clear:
        cache.clear()
    if forget is not None:
        if not re.fullmatch(r"[0-9a-f]{32}", forget):
            raise click.UsageError(f"--forget takes the id of a space, 32 hexadecimal digits, got {forget!r}.")
        cache.forget(forget)
    count, size = cache.size()
    if as_json:
        values = {"path": str(cache.path), "vectors": count, "bytes": size, "limit": cache.limit}
        output.document(values | {"forgotten": before - count})
        return
    forgotten = f"; forgot {before - count:,}" if clear or forget else ""
    held = f"{output.plural(count, 'vector')}, {output.size(size)} of at most {output.size(cache.limit)}"
    click.echo(f"{cache.path}: {held}{forgotten}")
