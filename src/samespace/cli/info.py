"""``samespace info`` and ``samespace compact``: what a collection is made of, and giving space back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output

if TYPE_CHECKING:
    from samespace.reports import Info


@click.command("info")
@options.collection
@options.as_json
def info_command(collection: str, as_json: bool) -> None:
    """Show what COLLECTION holds: its space and encoder, rows, sizes and index."""
    from samespace.opening import open as open_collection

    with open_collection(collection, create=False) as rows:
        info = rows.info()
    if as_json:
        output.document(_as_json(info))
    else:
        output.console().print(output.facts(_as_facts(info)))


@click.command("compact")
@options.collection
@click.option("--memory", metavar="TIER", help="Convert the vectors: full is float32, half is float16.")
@options.as_json
def compact_command(collection: str, memory: str | None, as_json: bool) -> None:
    """Give back the space that deleted and replaced rows of COLLECTION take."""
    from samespace.opening import open as open_collection
    from samespace.stores import shown

    with open_collection(collection, create=False) as rows:
        report = rows.compact(memory=memory)
    if as_json:
        output.document(report._asdict())
    else:
        click.echo(f"{shown(collection)}: {output.size(report.before)} before, {output.size(report.after)} now.")


def _as_json(info: Info) -> dict[str, Any]:
    values = {field.name: getattr(info, field.name) for field in dataclasses.fields(info)}
    return values | {
        "path": str(info.path),
        "space": info.space.to_dict() | {"id": info.space.id},
        "running_recall": None if info.running_recall is None else info.running_recall.to_dict(),
        "tuning": None if info.tuning is None else info.tuning.to_dict(),
    }


def _as_facts(info: Info) -> dict[str, str]:
    from samespace.reports import SERVED

    space = info.space
    shape = [f"{space.dimension} dimensions", space.metric]
    if space.layer is not None:
        shape.append(f"layer {space.layer}")
    if space.pooling:
        shape.append(f"{space.pooling} pooling")
    prompts = "; ".join(f"{role}: {prompt!r}" for role, prompt in space.prompts.items())
    rows = f"{info.count:,}"
    if info.truncated:
        rows += f", of which {info.truncated:,} truncated by the encoder"
    if info.deleted:
        rows += f"; {output.plural(info.deleted, 'dead slot')} ('samespace compact' gives them back)"
    sizes = {"vectors": info.bytes_vectors, "catalog": info.bytes_catalog, "index": info.bytes_index}
    total, parts = output.size(sum(sizes.values())), ", ".join(f"{name} {output.size(n)}" for name, n in sizes.items())
    is_served = info.memory == SERVED
    engine = f"{info.engine}, index over {output.plural(info.indexed, 'row' if is_served else 'slot')}"
    facts = {
        "collection": str(info.path),
        "rows": rows,
        "encoder": info.encoder or "none; vectors are made elsewhere",
        "model": space.model,
        "space": f"{', '.join(shape)}, id {space.id}",
        "prompts": prompts,
        "tasks": "; ".join(f"{role}: {task!r}" for role, task in space.tasks.items()),
        "library": space.library or "",
        "canaries": "kept; an encoder under another name proves itself by them" if info.proven else "",
        "digest": space.digest or "",
        "engine": engine if is_served else f"{engine}, {output.size(info.memory_index)} of memory",
        **_recall(info),
        "note": info.note,
        "on disk": (total if any(sizes.values()) else "") if is_served else f"{total}: {parts}",
    }
    return {name: value for name, value in facts.items() if value}


def _recall(info: Info) -> dict[str, str]:
    """What is declared, what was measured, and what live searches show."""
    from samespace.cli.tune import interval

    tuning, running = info.tuning, info.running_recall
    from samespace.reports import SERVED

    facts = {"recall": f"{info.declared_recall:g} declared", "measured": "not yet; 'samespace tune' does it"}
    if info.memory == SERVED and tuning is None:
        facts = {"recall": "up to the engine; 'samespace tune' measures it where the engine lets one choose"}
    if tuning is not None:
        point, curve = tuning.point, tuning.curve
        setting = tuning.engine if tuning.effort is None else f"{tuning.engine} at effort {tuning.effort:,}"
        facts["measured"] = f"{tuning.time}: {setting}, chosen for {tuning.recall:g}"
        if point is not None:
            of = output.plural(point.recall.queries, "query", "queries")
            facts["measured"] += f", finds {interval(point.recall)}, {of}"
        points = () if curve is None else [point for point in curve.points if point.k == 10 and point.effort]
        facts["curve"] = ", ".join(f"{point.effort:,}: {point.recall.recall:.4f}" for point in points)
    if running is not None:
        facts["running"] = (
            f"{interval(running)} of the last {output.plural(running.queries, 'checked search', 'checked searches')}"
        )
        facts["running"] += f"; {output.plural(info.alarms, 'alarm')}" if info.alarms else ""
    if info.building:
        facts["building"] = "an index, in the background"
    return facts
