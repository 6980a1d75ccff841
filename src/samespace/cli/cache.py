"""``samespace cache``."""

from __future__ import annotations

import click

from samespace.cli import options, output


@click.command("cache", cls=options.Command, examples=("samespace cache", "samespace cache --clear"))
@click.option("--clear", is_flag=True, help="Forget the vectors. They are made, or paid for, again when needed.")
@click.option("--forget-canaries", is_flag=True, help="Also forget what encoders must prove themselves by.")
@options.as_json
def cache_command(clear: bool, forget_canaries: bool, as_json: bool) -> None:
    """Show what the cache of vectors holds, and where it is.

    Every text that is encoded is kept there with its space and role, so that nothing is computed or paid for
    twice. SAMESPACE_CACHE names another folder.
    """
    from samespace.encoders.cache import shared_cache

    cache = shared_cache()
    before, _ = cache.size()
    if clear:
        cache.clear(canaries=forget_canaries)
    elif forget_canaries:
        raise click.UsageError("--forget-canaries goes with --clear.")
    count, size = cache.size()
    if as_json:
        values = {"path": str(cache.path), "vectors": count, "bytes": size, "limit": cache.limit}
        output.document(values | {"forgotten": before - count})
        return
    forgotten = f"; forgot {before - count:,}" if clear else ""
    held = f"{output.plural(count, 'vector')}, {output.size(size)} of at most {output.size(cache.limit)}"
    click.echo(f"{cache.path}: {held}{forgotten}")
