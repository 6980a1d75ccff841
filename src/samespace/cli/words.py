"""``samespace words``, ``similar``, ``analogy`` and ``odd-one-out``: what word vectors know."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from samespace.cli import options, output
from samespace.cli.progress import progress

if TYPE_CHECKING:
    from samespace.apps.analogy import Near, Words
    from samespace.encoders.words import Table
    from samespace.evaluation.words import Analogies, WordPairs

_MB = 1_000_000
_SHOWN = 12

_file = click.argument("file", metavar="FILE")
_limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Read the first N vectors only, the most frequent words."
)
_count = click.option(
    "-k", type=click.IntRange(min=1), metavar="N", default=10, show_default=True, help="How many words to find."
)
_among = click.option(
    "--among", type=click.IntRange(min=1), metavar="N", help="Find words among the N most frequent only."
)


@click.command(
    "words",
    cls=options.Command,
    examples=("samespace words glove.6B.100d.txt", "samespace words vectors.bin --evaluate"),
)
@_file
@_limit
@click.option("--evaluate", is_flag=True, help="Measure on WordSim-353, SimLex-999 and the analogy questions.")
@click.option(
    "--pairs", metavar="PAIRS", multiple=True, help="Measure on this file: two words and a number a line, with tabs."
)
@click.option("--questions", metavar="QUESTIONS", help="Measure on this file of analogy questions: four words a line.")
@options.as_json
def words_command(
    file: str, limit: int | None, evaluate: bool, pairs: tuple[str, ...], questions: str | None, as_json: bool
) -> None:
    """Open word vectors: a FILE of word2vec, GloVe or fastText, or a folder that 'samespace train words' made.

    A file is read once, and kept in a form that opens at once the next time.
    """
    words = _open(file, limit, as_json)
    table = words.encoder.table
    sets = _sets(table, evaluate, pairs, questions, as_json)
    if as_json:
        output.document(_about(words) | {name: _figures(found) for name, found in sets.items()})
        return
    output.console().print(output.facts(_facts(words)))
    if sets:
        _show(sets)


@click.command("similar", cls=options.Command, examples=("samespace similar vectors.bin coffee -k 5",))
@_file
@click.argument("word")
@_count
@_among
@_limit
@options.as_json
def similar_command(file: str, word: str, k: int, among: int | None, limit: int | None, as_json: bool) -> None:
    """Find the words nearest to WORD."""
    _answer(_open(file, limit, as_json).similar(word, k, among=among), as_json)


@click.command(
    "analogy",
    cls=options.Command,
    examples=(
        "samespace analogy vectors.bin king - man + woman",
        "samespace analogy vectors.bin paris - france + japan",
    ),
)
@_file
@click.argument("expression", metavar="EXPRESSION...", nargs=-1, required=True)
@_count
@click.option(
    "--method",
    type=click.Choice(["add", "multiply"]),
    default="add",
    show_default=True,
    help="Add vectors, or multiply similarities (3CosMul).",
)
@_among
@_limit
@options.as_json
def analogy_command(
    file: str, expression: tuple[str, ...], k: int, method: Any, among: int | None, limit: int | None, as_json: bool
) -> None:
    """Answer an EXPRESSION of words with + and - between: king - man + woman is queen."""
    words = _open(file, limit, as_json)
    _answer(words.analogy(" ".join(expression), k, method=method, among=among), as_json)


@click.command(
    "odd-one-out", cls=options.Command, examples=("samespace odd-one-out vectors.bin breakfast cereal dinner lunch",)
)
@_file
@click.argument("words", metavar="WORDS...", nargs=-1, required=True)
@_limit
@options.as_json
def odd_one_out_command(file: str, words: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Find the word of WORDS that does not belong to the others."""
    if len(words) < 3:
        raise click.UsageError("Name at least three words.")
    odd = _open(file, limit, as_json).odd_one_out(words)
    if as_json:
        output.document({"word": odd})
    else:
        click.echo(output.clean(odd))


def _open(file: str, limit: int | None, quiet: bool) -> Words:
    from samespace.apps.analogy import Words

    with progress("reading, in MB", quiet=quiet) as meter:

        def read(done: int, size: int) -> None:
            meter.expect(size // _MB)
            meter.advance(done // _MB - meter.done)

        return Words(file, limit=limit, progress=read)


def _answer(found: list[Near], as_json: bool) -> None:
    if as_json:
        output.document([asdict(near) for near in found])
        return
    table = output.table("word", "score", right=("score",))
    for near in found:
        table.add_row(output.clean(near.word), f"{near.score:.3f}")
    output.console().print(table)


def _sets(
    table: Table, evaluate: bool, pairs: tuple[str, ...], questions: str | None, quiet: bool
) -> dict[str, WordPairs | Analogies]:
    from samespace.evaluation.words import evaluate_analogies, evaluate_pairs, standard_set

    of_pairs = {path: path for path in pairs}
    of_questions = {questions: questions} if questions else {}
    if evaluate:
        of_pairs |= {name: str(standard_set(name)) for name in ("wordsim353", "simlex999")}
        of_questions |= {"analogies": str(standard_set("analogies"))}
    found: dict[str, WordPairs | Analogies] = {name: evaluate_pairs(table, path) for name, path in of_pairs.items()}
    for name, path in of_questions.items():
        with progress("answering questions", quiet=quiet) as meter:

            def answered(done: int, total: int) -> None:
                meter.expect(total)
                meter.advance(done - meter.done)

            found[name] = evaluate_analogies(table, path, progress=answered)
    return found


def _about(words: Words) -> dict[str, Any]:
    table = words.encoder.table
    return {
        "words": len(words),
        "dimension": table.dimension,
        "lower_case": table.lower,
        "subwords": table.subwords is not None,
        "duplicates": table.duplicates,
        "space": words.space.id,
        "frequent": words.first(min(_SHOWN, len(words))),
    }


def _facts(words: Words) -> dict[str, str]:
    table = words.encoder.table
    facts = {
        "words": f"{len(words):,}, in lower case" if table.lower else f"{len(words):,}",
        "dimension": str(table.dimension),
        "unseen words": "from subwords" if table.subwords else "unknown",
        "most frequent": ", ".join(words.first(_SHOWN)),
        "least frequent": ", ".join(table.words[row] for row in range(max(0, len(table) - _SHOWN), len(table))),
        "space": str(words.space),
    }
    if table.duplicates:
        facts["left out"] = f"{output.plural(table.duplicates, 'vector')} whose word had come before"
    return facts


def _show(sets: dict[str, WordPairs | Analogies]) -> None:
    from samespace.evaluation.words import WordPairs

    columns = ("figure", "known", "unknown")
    table = output.table("", "measure", *columns, right=columns)
    for name, found in sets.items():
        if isinstance(found, WordPairs):
            table.add_row(name, "Spearman", f"{found.spearman:.3f}", f"{found.pairs:,}", f"{found.unknown:,}")
            continue
        for each in (*found.sections, found.total):
            whole = each.name == "total"
            table.add_row(
                name if whole else f"  {each.name}",
                "accuracy",
                f"{each.accuracy:.1%}" if each.asked else "",
                f"{each.asked:,}",
                f"{each.unknown:,}",
                style="" if whole else "dim",
            )
    output.console().print(table)


def _figures(found: WordPairs | Analogies) -> dict[str, Any]:
    from samespace.evaluation.words import WordPairs

    if isinstance(found, WordPairs):
        return asdict(found)
    return {
        "accuracy": found.total.accuracy if found.total.asked else None,
        "correct": found.total.correct,
        "asked": found.total.asked,
        "unknown": found.total.unknown,
        "sections": {each.name: [each.correct, each.asked, each.unknown] for each in found.sections},
    }
