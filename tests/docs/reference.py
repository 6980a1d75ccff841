"""The generated parts of the reference. Run this file to write them anew; a test compares them.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import tempfile
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samespace import errors
from samespace.encoders import MODELS
from samespace.indexes import ENGINES
from samespace.memory import TIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PAGES", "documented", "renewed"]

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = (
    *(REFERENCE / name for name in ("python.md", "encoders.md", "engines.md", "bad-input.md")),
    *(REFERENCE / name for name in ("bad-input-encoders.md", "bad-input-stores.md", "stores.md")),
    REFERENCE.parent / "how-to" / "choose-what-memory-holds.md",
)

_PART = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)

# What the sections of a docstring are called on the page.
_SECTIONS = {
    "Args:": "Arguments",
    "Attributes:": "Attributes",
    "Returns:": "Returns",
    "Yields:": "Yields",
    "Raises:": "Raises",
}
_ALIASES = {
    "Metric": 'Literal["cosine", "dot", "euclidean"]',
    "Role": 'Literal["document", "query"]',
}


def signature(name: str, target: Any) -> str:
    """``inspect.signature`` as people write it: annotations are text here, and are shown without quotes."""
    found = inspect.signature(target)

    def text(annotation: Any) -> str:
        written = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return re.sub(r"ForwardRef\('(\w+)'\)|(?:\w+\.)+(?=[A-Z])", r"\1", written)

    parts: list[str] = []
    starred = False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            starred = True
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        shown = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            shown += f": {text(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = parameter.default
            is_unspoken = type(default) is object or callable(default) or "factory" in repr(default)
            written = "…" if is_unspoken else repr(default)
            shown += f" = {written}" if ": " in shown else f"={written}"
        parts.append(shown)
    line = f"{name}({', '.join(parts)})"
    if not isinstance(target, type) and found.return_annotation is not found.empty:
        line += f" -> {text(found.return_annotation)}"
    if len(line) <= 100:
        return line
    head, tail = f"{name}(", line[line.rindex(")") :]
    return "\n".join([head, *(f"    {part}," for part in parts), tail])


def prose(docstring: str) -> str:
    """A docstring as Markdown."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", docstring)
    text = text.replace("``", "`")
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if line in _SECTIONS:
            lines += [f"**{_SECTIONS[line]}**", ""]
            inside = True
        elif inside and line.startswith("    ") and not line.startswith("     "):
            entry = line.strip()
            named = re.match(r"([\w, ]+): (.*)", entry)
            lines.append(f"- `{named[1]}`: {named[2]}" if named else f"- {entry}")
        elif inside and line.startswith("        "):
            lines.append("  " + line.strip())
        elif inside and line.strip():
            inside = False
            lines.append(line)
        else:
            lines.append(line)
    return _joined("\n".join(lines)).strip()


def _joined(text: str) -> str:
    # The lines of a Returns or Raises section are one sentence, not one item each.
    def join(match: re.Match[str]) -> str:
        entries = match[2].splitlines()
        kept: list[str] = []
        for entry in entries:
            if entry.startswith("- ") and not entry.startswith("- `") and kept:
                kept[-1] += " " + entry.removeprefix("- ")
            else:
                kept.append(entry)
        if len(kept) == 1 and not kept[0].startswith("- `"):
            kept = [re.sub(r"\n  ", "\n", kept[0].removeprefix("- "))]
        return match[1] + "\n".join(kept) + "\n"

    return re.sub(r"(\*\*(?:Returns|Yields|Raises)\*\*\n\n)((?:[- ] .*\n?)+)", join, text)


def _public(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class adds that has a docstring of its own, in the order of the source."""
    for name, value in vars(cls).items():
        target = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(value, property | cached_property) or inspect.isroutine(target):
            if name.startswith("_") or not target.__doc__:
                continue
            yield name, value


def section(path: str) -> str:
    """One public name: its signature and what its docstring says."""
    module, _, name = path.rpartition(".")
    if name in _ALIASES:
        return f"### {name}\n\n```text\n{path} = {_ALIASES[name]}\n```\n"
    target = getattr(import_module(module), name)
    if isinstance(target, type) and issubclass(target, BaseException):
        bases = ", ".join(base.__name__ for base in target.__bases__)
        return f"### {name}\n\n`{name}({bases})`: {prose(inspect.getdoc(target) or '')}\n"
    parts = [f"### {name}", ""]
    abstract = inspect.isabstract(target)
    made_by = {"Collection": "samespace.open", "Encoder": "samespace.encoder"}.get(name)
    if made_by is None and not abstract:
        parts += ["```text", signature(path, target), "```", ""]
    parts += [prose(inspect.getdoc(target) or ""), ""]
    if isinstance(target, type):
        for member, value in _public(target):
            if isinstance(value, property | cached_property):
                parts += [f"#### {name}.{member}", "", prose(inspect.getdoc(value) or ""), ""]
            else:
                parts += [
                    f"#### {name}.{member}",
                    "",
                    "```text",
                    signature(f"{name}.{member}", getattr(target, member)),
                ]
                parts += ["```", "", prose(inspect.getdoc(value) or ""), ""]
    return "\n".join(parts).rstrip() + "\n"


def names(argument: str) -> str:
    """Sections for names of one module: ``samespace open Collection``."""
    module, *chosen = argument.split()
    return "\n".join(section(f"{module}.{name}") for name in chosen)


def documented(page: str) -> dict[str, list[str]]:
    """The names that a page has sections for, by module."""
    found: dict[str, list[str]] = {}
    for match in _PART.finditer(page):
        kind, *argument = match["name"].split()
        if kind == "names":
            module, *chosen = argument
            found.setdefault(module, []).extend(chosen)
    return found


def error_tree(_argument: str) -> str:
    """The tree that is drawn in samespace.errors."""
    drawing = inspect.cleandoc(errors.__doc__ or "").split("\n\n", 1)[1]
    return f"```text\n{drawing}\n```\n"


def catalogue(_argument: str) -> str:
    """The catalogue of encoders, one row a model."""
    lines = [
        "| name | model | dimension | metric | pooling | unit | tokens | size | licence | comes with |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model in MODELS.values():
        cells = (
            f"`{model.name}`",
            f"{model.source}: {model.summary}",
            str(model.dimension),
            model.metric,
            model.pooling,
            "yes" if model.normalized else "no",
            "all" if model.max_tokens is None else f"{model.max_tokens}",
            f"{model.size / 1e6:.0f} MB",
            model.licence,
            f"`samespace[{model.extra}]`" if model.extra else "samespace",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def engines(_argument: str) -> str:
    """The catalogue of engines."""
    lines = ["| name | how | library | comes with | built |", "|---|---|---|---|---|"]
    for row in ENGINES.values():
        source = f"`samespace[{row.extra}]`" if row.extra not in (None, "scan", "graph") else "samespace"
        built = "in the background" if row.builds else "at once"
        lines.append(f"| `{row.name}` | {row.summary} | {row.library or 'numpy'} | {source} | {built} |")
    return "\n".join(lines) + "\n"


def tiers(_argument: str) -> str:
    """The memory tiers."""
    lines = ["| memory | vectors on disk | bytes on disk | bytes in memory | for |", "|---|---|---|---|---|"]
    lines += [f"| `{t.name}` | {t.precision} | {t.disk} | {t.held} | {t.summary} |" for t in TIERS.values()]
    return "\n".join(lines) + "\n"


def catalogue_files(_argument: str) -> str:
    """The files that each encoder's vectors depend on."""
    lines = ["| encoder | space id | file | distribution | bytes | sha256 |", "|---|---|---|---|---|---|"]
    for model in MODELS.values():
        for asset in model.assets:
            package = f"{asset.distribution} {asset.version}"
            lines.append(
                f"| `{model.name}` | `{model.space.id}` | `{asset.package}/{asset.file}` | {package} | "
                f"{asset.size:,} | `{asset.sha256}` |"
            )
    return "\n".join(lines) + "\n"


def bad_input_names(_argument: str) -> str:
    from test_bad_input import PRELUDE

    return f"```python\n{PRELUDE}```\n"


def bad_inputs(_argument: str) -> str:
    """Every bad input with what it gets, run for real in a folder of its own."""
    from test_bad_input import GROUPS, answer, prepare

    parts: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        namespace = prepare()
        for group in GROUPS:
            parts += [f"### {group.title}", "", "| call | error | it says |", "|---|---|---|"]
            for case in group.cases:
                error = answer(case, namespace)
                cells = (f"`{case.call}`", f"`{type(error).__name__}`", f"`{error}`")
                parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            parts.append("")
        namespace["_other_writer"].close()  # type: ignore[attr-defined]
        for name in ("notes", "bare"):
            namespace[name].close()  # type: ignore[attr-defined]
    return "\n".join(parts)


def bad_encoders(_argument: str) -> str:
    """Every bad input to encoders, training and words with its error, as the tests run it."""
    from test_bad_encoders import CASES

    return _cases(CASES)


def bad_stores(_argument: str) -> str:
    """Every bad input to stores, copies and imports with its error, as the tests run it."""
    from test_bad_stores import CASES

    return _cases(CASES)


def stores(_argument: str) -> str:
    """The kinds of store."""
    from samespace.stores import STORES

    lines = ["| a collection at | needs |", "|---|---|"]
    lines += [f"| `{kind.example}` | `pip install 'samespace[{kind.extra}]'` |" for kind in STORES.values()]
    return "\n".join(lines) + "\n"


def contract(_argument: str) -> str:
    """What each store can, by the suite."""
    from docs.contract import table

    return table()


def _cases(cases: list[Any]) -> str:
    lines = ["| what is wrong | call | error | it says |", "|---|---|---|---|"]
    for case in cases:
        cells = (case.what, f"`{case.call}`", f"`{case.error.__name__}`", f"`{case.says}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


_MAKERS: dict[str, Callable[[str], str]] = {
    "names": names,
    "error-tree": error_tree,
    "catalogue": catalogue,
    "catalogue-files": catalogue_files,
    "engines": engines,
    "tiers": tiers,
    "bad-input-names": bad_input_names,
    "bad-inputs": bad_inputs,
    "bad-encoders": bad_encoders,
    "bad-stores": bad_stores,
    "stores": stores,
    "contract": contract,
}


def renewed(text: str) -> str:
    """``text`` with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        kind, _, argument = match["name"].partition(" ")
        return f"{match[1]}\n{_MAKERS[kind](argument)}\n{match[3]}"

    return _PART.sub(part, text)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
