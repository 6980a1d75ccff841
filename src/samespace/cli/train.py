"""``samespace train``: word vectors, a small BERT, an encoder fine-tuned on pairs, a static model."""

from __future__ import annotations

import math
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.exits import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from samespace.training.run import Report, Step

__all__: list[str] = []

_SECONDS_BETWEEN_LINES = 10.0
_positive = click.IntRange(min=1)
_above_zero = click.FloatRange(min=0.0, min_open=True)

_into = click.option("--into", required=True, metavar="FOLDER", help="Where the model goes; a new folder.")
_seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of everything random.")
_epochs = click.option("--epochs", type=_positive, metavar="N", help="How often the texts are read.")
_learning_rate = click.option("--learning-rate", type=_above_zero, metavar="X", help="At its highest.")
_threads = click.option("--threads", type=_positive, metavar="N", help="Threads that train; all cores if left out.")
_from = click.option(
    "--from", "from_", metavar="MODEL", help="The model before: minilm, ./folder or hf:owner/name@revision."
)


def _dimensions(_ctx: click.Context, _option: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"must be numbers with commas between, such as 64,128; got {text!r}.") from None


@click.group("train", no_args_is_help=True)
def train_command() -> None:
    """Train an encoder of your own; it ends in a folder for --encoder.

    Each command measures before and after on texts that it holds out, and keeps checkpoints: after Ctrl-C, a crash
    or a power cut, the same command goes on where it was.
    """


@train_command.command(
    "words", cls=options.Command, examples=("samespace train words corpus.txt --into words --subwords",)
)
@click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...")
@_into
@click.option("--cbow", is_flag=True, help="Predict words from those around them: faster, less accurate.")
@click.option("--subwords", is_flag=True, help="Learn parts of words too, so that unseen words have a vector.")
@click.option("--dimension", default=100, show_default=True, type=_positive, help="Of the vectors.")
@click.option("--window", default=5, show_default=True, type=_positive, help="Words on each side, at most.")
@click.option("--min-count", default=5, show_default=True, type=_positive, help="Occurrences that a word needs.")
@_epochs
@_learning_rate
@_seed
@_threads
@options.as_json
def words_command(
    corpus: tuple[str, ...], cbow: bool, into: str, threads: int | None, as_json: bool, **settings: Any
) -> None:
    """Train word vectors (Word2Vec; with --subwords FastText) on a CORPUS: text files, tables or folders."""
    from samespace.training.words import train_words

    algorithm: Any = "cbow" if cbow else "skip-gram"
    _run(train_words, list(corpus), into, as_json, algorithm=algorithm, threads=threads, **settings)


@train_command.command(
    "bert",
    cls=options.Command,
    examples=(
        "samespace train bert corpus.txt --into bert --epochs 3",
        "samespace train bert more.txt --from ./bert --into better",
    ),
)
@click.argument("corpus", metavar="CORPUS")
@_into
@_from
@click.option("--layers", default=4, show_default=True, type=_positive, help="Of a model from nothing.")
@click.option("--hidden", default=256, show_default=True, type=_positive, help="Length of its vectors.")
@click.option("--heads", default=4, show_default=True, type=_positive, help="Of each layer's attention.")
@click.option("--vocabulary", default=8192, show_default=True, type=click.IntRange(min=100), help="Tokens, at most.")
@click.option("--max-tokens", default=128, show_default=True, type=click.IntRange(min=8), help="That it reads.")
@click.option("--steps", type=_positive, metavar="N", help="Batches; what --epochs make if left out.")
@_epochs
@click.option("--batch", default=32, show_default=True, type=_positive, help="Blocks of tokens in a batch.")
@_learning_rate
@_seed
@_threads
@options.as_json
def bert_command(corpus: str, into: str, as_json: bool, **settings: Any) -> None:
    """Train a tokenizer and a small BERT by masked language modelling on a CORPUS of one text a line.

    With --from it goes on from a model, and takes that model's tokenizer and shape.
    """
    from samespace.training.bert import train_bert

    _run(train_bert, corpus, into, as_json, **settings)


@train_command.command(
    "pairs",
    cls=options.Command,
    examples=(
        "samespace train pairs questions.jsonl --into mine",
        "samespace train pairs questions.csv --from hf:BAAI/bge-large-en-v1.5 --lora 16 --into mine",
    ),
)
@click.argument("pairs", metavar="PAIRS")
@_into
@_from
@_epochs
@click.option("--batch", default=64, show_default=True, type=click.IntRange(min=2), help="Pairs in a batch.")
@_learning_rate
@click.option("--hard-negatives", default=0, type=click.IntRange(min=0), metavar="N", help="Mine N for each pair.")
@click.option("--matryoshka", callback=_dimensions, metavar="DIMS", help="Shorter dimensions to train too: 64,128.")
@click.option("--lora", type=_positive, metavar="RANK", help="Train adapters of this rank, for large models.")
@click.option("--chunk", type=_positive, metavar="N", help="Encode N texts at a time: large batches, little memory.")
@click.option(
    "--held-out", default=0.1, show_default=True, type=click.FloatRange(0, 1, max_open=True), help="Part to measure on."
)
@_seed
@_threads
@options.as_json
def pairs_command(pairs: str, into: str, as_json: bool, **settings: Any) -> None:
    """Fine-tune an encoder on PAIRS of texts that belong together: a .jsonl, .csv or .tsv file.

    Its columns are anchor and positive, and negative if there are any.
    """
    from samespace.training.pairs import train_pairs

    _run(train_pairs, pairs, into, as_json, **settings)


@train_command.command(
    "static",
    cls=options.Command,
    examples=(
        "samespace train static --into fast",
        "samespace train static --from ./mine --corpus texts.txt --into fast",
    ),
)
@_into
@_from
@click.option("--corpus", metavar="FILE", help="Texts, one a line, to train on beyond the tokens alone.")
@click.option("--dimension", default=256, show_default=True, type=_positive, help="Of the vectors.")
@click.option("--vocabulary", default=0, type=click.IntRange(min=0), metavar="N", help="Add N words of the corpus.")
@_epochs
@_learning_rate
@_seed
@_threads
@options.as_json
def static_command(into: str, as_json: bool, **settings: Any) -> None:
    """Distil a static model: hundreds of times as fast as the model before, less accurate, blind to word order."""
    from samespace.training.static import distil_static

    _run(lambda _, into, **more: distil_static(into, **more), None, into, as_json, **settings)


def _run(train: Callable[..., Report], data: Any, into: str, as_json: bool, **settings: Any) -> None:
    """Train, show how it goes, and show what came of it. Settings that are None are the function's own to choose."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        with _shown(quiet=as_json) as progress:
            report = train(data, into, progress=progress, **given)
    except KeyboardInterrupt:
        kept = any(Path(into, "checkpoint").glob("state-*"))
        raise Interrupted(
            f"Interrupted. The same command goes on from the checkpoint in {into}."
            if kept
            else "Interrupted before the first checkpoint; the same command begins anew."
        ) from None
    picture = Path(into, "curve.png")
    if as_json:
        output.document(report.to_dict() | {"picture": str(picture) if picture.is_file() else None})
        return
    output.console().print(_table(report))
    click.echo(f"The model is in {into}. Use it with: --encoder {_as_encoder(into)}")
    if picture.is_file():
        output.note(f"the curve of the loss is drawn in {picture}")


def _as_encoder(into: str) -> str:
    return into if Path(into).is_absolute() or into.startswith(".") else f"./{into}"


def _table(report: Report) -> Any:
    table = output.table("on held-out data", "before", "after", right=("before", "after"))
    for name in {**report.before, **report.after}:
        table.add_row(name, *(_figure(side.get(name)) for side in (report.before, report.after)))
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4f}"


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show steps on stderr: a bar for people, a line now and then for logs, nothing for programs."""
    if quiet:
        yield lambda _step: None
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=output.console(err=True), transient=True, speed_estimate_period=60) as bar:
            task = bar.add_task("training", total=None, pace="")

            def draw(step: Step) -> None:
                bar.update(
                    task, description=step.stage, total=step.total or None, completed=step.done, pace=_pace(step)
                )

            yield draw
    else:
        last = ("", -math.inf)

        def write(step: Step) -> None:
            nonlocal last
            now = time.monotonic()
            if step.stage != last[0] or now - last[1] >= _SECONDS_BETWEEN_LINES:
                last = (step.stage, now)
                click.echo(f"{step.stage}{': ' if step.done else ''}{_pace(step)}", err=True)

        yield write


def _pace(step: Step) -> str:
    """How far, how fast, and the loss: ``120 of 900 steps, 1.5/s, loss 2.345``."""
    if not step.done:
        return ""
    of = f" of {step.total:,}" if step.total else ""
    rate = f", {step.rate:,.0f}/s" if step.rate >= 10 else f", {step.rate:.2g}/s" if step.rate else ""
    loss = "" if math.isnan(step.loss) else f", loss {step.loss:.3f}"
    return f"{step.done:,}{of} {step.unit}{rate}{loss}"
