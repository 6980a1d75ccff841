"""``samespace layers``: score every hidden layer and pooling of a model on labelled pairs, and say which to take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.exits import Interrupted
from samespace.cli.progress import progress
from samespace.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from samespace.encoders.pretrained.hidden import HiddenLayerEncoder
    from samespace.evaluation.layers import LayerScores
    from samespace.evaluation.pairs import Pairs
    from samespace.space import Role

__all__ = ["draw", "said"]

_MOST_PAIRS = 2_000  # more would hold gigabytes of vectors, and make an interval that is narrow already narrower
_BAR = 10  # characters
_METRICS = {
    "spearman": "Spearman's correlation with the scores",
    "auc": "the area under the ROC curve of the labels",
    "ndcg@10": "nDCG@10 of finding the positive",
}


@click.command(
    "layers",
    cls=options.Command,
    examples=(
        "samespace layers hf:bert-base-uncased --pairs pairs.csv",
        "samespace layers ./my-model --pairs pairs.jsonl --pooling mean,cls --plot layers.png",
    ),
)
@click.argument("model", metavar="MODEL")
@click.option(
    "--pairs", "file", required=True, metavar="FILE", help="A .jsonl, .csv or .tsv file of pairs, with a header."
)
@click.option("--pooling", metavar="NAMES", help="Poolings to try, with commas between; all if left out.")
@click.option(
    "--limit",
    type=click.IntRange(min=20),
    default=_MOST_PAIRS,
    show_default=True,
    metavar="N",
    help="Draw this many pairs at random of a longer file.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of drawing, halving, resampling.")
@options.plot("Also draw the figures into a .png, .svg or .pdf file.")
@click.option("--trust-code", metavar="MODEL", help="Let Python code of this model's repository run.")
@options.threads
@options.as_json
def layers_command(
    model: str,
    file: str,
    pooling: str | None,
    limit: int,
    seed: int,
    plot: Path | None,
    trust_code: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score the hidden layers of MODEL, a transformer, on pairs of yours, and say which to take.

    The columns of the file are a, b and score (how alike the two are), or a, b and label (1 if they belong
    together, else 0), or anchor and positive. The texts are encoded once, for all layers and poolings. Half of the
    pairs choose, and the other half check what was chosen.
    """
    from samespace.evaluation.layers import score_layers
    from samespace.evaluation.pairs import read_pairs

    encoder = _open(model, threads, trust_code)
    poolings = _poolings(pooling)
    pairs = read_pairs(file)
    if len(pairs) > limit:
        output.note(f"{limit:,} of {len(pairs):,} pairs are used, drawn at random; see --limit", as_json=as_json)
        pairs = _drawn(pairs, limit, seed)
    try:
        tables = _encode(encoder, pairs, poolings, quiet=as_json)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. Nothing was kept.") from None
    scores = score_layers(*tables, pairs, seed=seed)
    best = named(model, scores.best.layer, scores.best.pooling)
    if as_json:
        output.document({"model": model, "encoder": best, **scores.to_dict()})
    else:
        click.echo(f"{model}: {said(scores)}\ntake: {best}")
        output.console().print(_table(scores))
        output.note(_caution(scores))
    if plot is not None:
        draw(model, scores, plot)
        output.note(f"the figures are drawn in {plot}", as_json=as_json)


def _open(model: str, threads: int | None, trust_code: str | None) -> HiddenLayerEncoder:
    from samespace.encoders import encoder
    from samespace.encoders.names import CATALOGUE, FOLDER, HUB, parse

    name = parse(model)
    if name.scheme not in (HUB, FOLDER):
        what = "a model of the catalogue" if name.scheme == CATALOGUE else "a provider"
        raise InvalidInput(
            f"{model!r} is {what}, whose hidden layers cannot be looked into. "
            "Name a transformer: 'hf:owner/name', or a folder such as './my-model'."
        )
    from samespace.encoders.pretrained.hidden import OPTIONS, HiddenLayerEncoder

    if given := [option for option in OPTIONS if option in name.options]:
        raise InvalidInput(f"{model!r} names {' and '.join(given)}; leave that out, since all are tried.")
    opened = encoder(
        str(replace(name, options={**name.options, "layer": "-1"})), threads=threads, cache=False, trust_code=trust_code
    )
    if not isinstance(opened, HiddenLayerEncoder):
        raise InvalidInput(f"{model!r} is no transformer, so it has no hidden layers.")
    return opened


def named(model: str, layer: int, pooling: str) -> str:
    """The name of the encoder that takes this layer with this pooling."""
    return f"{model}{'&' if '?' in model else '?'}layer={layer}&pooling={pooling}"


def _poolings(names: str | None) -> list[str]:
    from samespace.encoders.pretrained.hidden import POOLINGS

    if names is None:
        return list(POOLINGS)
    given = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not given or (unknown := [name for name in given if name not in POOLINGS]):
        raise click.UsageError(
            f"--pooling must name some of {', '.join(POOLINGS)}, with commas between; got "
            f"{', '.join(unknown) if given else 'none'}."
        )
    return given


def _drawn(pairs: Pairs, limit: int, seed: int) -> Pairs:
    import numpy as np

    rows = np.random.default_rng(seed).choice(len(pairs), limit, replace=False)
    return pairs.take(np.sort(rows).tolist())


def _encode(encoder: HiddenLayerEncoder, pairs: Pairs, poolings: Sequence[str], *, quiet: bool) -> tuple[Any, Any]:
    """The tables of both sides; anchors search, and all other texts are documents."""
    from samespace.evaluation.layers import texts_of

    left, right = texts_of(pairs)
    role: Role = "query" if pairs.scores is None else "document"
    with progress("encoding", len(left) + len(right), quiet=quiet) as meter:
        first = encoder.encode_layers(left, poolings, role=role, progress=meter.advance)
        return first, encoder.encode_layers(right, poolings, progress=meter.advance)


def said(scores: LayerScores) -> str:
    """The choice in one sentence."""
    best, last = scores.best, scores.last
    choice = (
        f"layer {best.layer} of {last.layer} with {best.pooling} pooling is the best by {_METRICS[scores.metric]}, "
        f"{best.checked_on} on {output.plural(scores.pairs[1], 'pair')} that had no part in the choice"
    )
    if best.layer == last.layer:
        return f"{choice}. It is the last layer."
    gain = f"{scores.gain.value:+.3f} ({scores.gain.low:+.3f} to {scores.gain.high:+.3f})"
    beside = f"the last layer with {last.pooling} pooling"
    if scores.is_clear:
        return f"{choice}: {gain} against {beside}."
    return f"{choice}. Against {beside} that is {gain}, which is within noise: the last may do as well."


def _caution(scores: LayerScores) -> str:
    return (
        f"the table has the {output.plural(scores.pairs[0], 'pair')} that chose, with the 95 % interval of each "
        "layer's best pooling; the best of many is flattered by being chosen, so go by the figure above the table"
    )


def _table(scores: LayerScores) -> Table:
    poolings = list(dict.fromkeys(cell.pooling for cell in scores.cells))
    table = output.table("", "layer", *poolings, "95 %", "", right=("layer", *poolings))
    for column in table.columns[-2:]:
        column.no_wrap = True
    values = {(cell.layer, cell.pooling): cell.chosen_on.value for cell in scores.cells}
    tops = [scores.of_layer(layer) for layer in range(scores.last.layer + 1)]
    low, high = min(top.chosen_on.low for top in tops), max(top.chosen_on.high for top in tops)
    for top in tops:
        is_best = top.layer == scores.best.layer
        table.add_row(
            "→" if is_best else "",
            str(top.layer),
            *(f"{values[top.layer, pooling]:.3f}" for pooling in poolings),
            f"{top.chosen_on.low:.3f}–{top.chosen_on.high:.3f}",
            _bar((top.chosen_on.value - low) / max(high - low, 1e-9)),
            style="bold" if is_best else "",
        )
    return table


def _bar(share: float) -> str:
    """A bar of up to ten characters, exact to an eighth of one."""
    eighths = round(min(max(share, 0.0), 1.0) * _BAR * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def draw(title: str, scores: LayerScores, path: Path) -> None:
    """Draw a line for each pooling, with its 95 % interval, into a file whose suffix says of which kind.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, pooling in enumerate(dict.fromkeys(cell.pooling for cell in scores.cells)):
        cells = [cell for cell in scores.cells if cell.pooling == pooling]
        at = [cell.layer for cell in cells]
        (line,) = axes.plot(at, [cell.chosen_on.value for cell in cells], marker="os^Dv"[number % 5], label=pooling)
        ends = [cell.chosen_on.low for cell in cells], [cell.chosen_on.high for cell in cells]
        axes.fill_between(at, *ends, alpha=0.12, color=line.get_color(), linewidth=0)
    best = scores.best
    axes.plot(best.layer, best.chosen_on.value, "o", markersize=14, markerfacecolor="none", color="black")
    checked = best.checked_on
    axes.errorbar(
        best.layer,
        checked.value,
        [[checked.value - checked.low], [checked.high - checked.value]],
        fmt="x",
        color="black",
        capsize=4,
        label="the best, on the other half",
    )
    axes.set_xticks(range(scores.last.layer + 1))
    axes.set_xlabel("layer (0: embeddings)")
    axes.set_ylabel(f"{scores.metric} on {scores.pairs[0]:,} pairs")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.25)
    axes.legend()
    figure.savefig(path, dpi=150)
