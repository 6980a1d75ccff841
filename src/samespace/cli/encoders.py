"""``samespace encoders``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output

if TYPE_CHECKING:
    from samespace.encoders import Model


@click.command(
    "encoders",
    cls=options.Command,
    examples=("samespace encoders", "samespace encoders ./my-model", "samespace encoders 'hf:owner/model?layer=-2'"),
)
@click.argument("name", required=False)
@options.as_json
def encoders_command(name: str | None, as_json: bool) -> None:
    """List the encoders that come with samespace; or open the encoder NAME and show what it is.

    NAME is one of the list, a folder, a model of the hub or a provider's. It is opened as --encoder opens it,
    and must prove that it is what it was when it was first opened here.
    """
    if name is None:
        _list(as_json)
    else:
        _show(name, as_json)


def _show(name: str, as_json: bool) -> None:
    from samespace.encoders import encoder

    opened = encoder(name)
    with output.notes(as_json=as_json):
        opened.prove()
    space = opened.space
    if as_json:
        limits = {"max_tokens": opened.max_tokens, "setup": opened.setup, "name": opened.name}
        output.document(limits | {"space": space.to_dict() | {"id": space.id}})
        return
    facts = {"encoder": opened.name, "space": space.id}
    facts |= {key: str(value) for key, value in space.to_dict().items()}
    facts["reads"] = "any length" if opened.max_tokens is None else f"{opened.max_tokens:,} tokens"
    facts["runs on"] = opened.setup
    output.console().print(output.facts({key: value for key, value in facts.items() if value}))


def _list(as_json: bool) -> None:
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
    output.note("a folder is an encoder too (./my-model), as is a model of the hub (hf:owner/model) or a provider's")


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
