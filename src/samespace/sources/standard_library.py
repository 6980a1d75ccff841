"""The documentation strings of the Python that is running, as passages: the demo's corpus.

What is written in Python is read by its source and never imported, so nothing opens a browser or a window.
What is compiled is imported and looked at. A definition appears under its shortest public name
(``time.perf_counter``, ``os.path.join``, ``random.randint``), wherever it is defined.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.machinery import ExtensionFileLoader
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from samespace.sources.base import Block, CountTokens, Passage
from samespace.sources.chunk import chunk

__all__ = ["docstrings"]

# Not documented for use, about Python's own development, or toys; and parts that many systems leave out.
_LEFT_OUT = frozenset(
    """antigravity distutils encodings ensurepip idlelib lib2to3 pydoc_data readline test this tkinter
    turtledemo""".split()  # noqa: SIM905
)
# Public by their names only: what they define is documented in the module that imports it from them.
_INTERNAL = frozenset(
    """genericpath nt ntpath nturl2path opcode posix posixpath pyexpat sre_compile sre_constants
    sre_parse""".split()  # noqa: SIM905
)
_TESTS = frozenset({"__main__", "test", "tests"})
# Modules that take names from compiled ones at run time, which no import statement shows.
_TAKES_FROM = {"hashlib": ("_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_sha3", "_blake2")}

# Modules that are known under another name than their file's.
_KNOWN_AS = {os.path.__name__: "os.path", "_collections_abc": "collections.abc"}

# A vector of a few sentences says more exactly what they are about than one of a page. Of several sizes and
# forms, measured with MiniLM on 35 questions whose answers are known, this one found the most.
_TARGET_TOKENS = 60
_TARGET_CHARACTERS = 250
_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_BOUND = re.compile(r"\$\w+(?:, /)?(?:, )?")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A definition that has a docstring. ``origin`` is the same for one object under several names."""

    kind: str
    origin: str
    signature: str
    doc: str
    path: str | None = None
    line: int | None = None


@dataclass(slots=True)
class _Module:
    """What a module defines, and what it takes from others."""

    name: str
    entry: _Entry | None = None
    entries: dict[str, _Entry] = field(default_factory=dict)  # by name within the module: "Thread.join"
    imports: list[tuple[str, str, str]] = field(default_factory=list)  # module, its name or "*", name here
    exported: set[str] | None = None  # __all__, if it can be read without running the module

    def shows(self, name: str) -> bool:
        top = name.partition(".")[0]
        return not top.startswith("_") and (self.exported is None or top in self.exported)


def docstrings(*, count_tokens: CountTokens | None = None, max_tokens: int | None = None) -> Iterator[Passage]:
    """Read every public module, class, function and method of the standard library that has a docstring.

    Args:
        count_tokens: the encoder's own count.
        max_tokens: what the encoder reads of a text; None for no limit.

    Returns:
        Passages in the order of their names. ``id`` is the full name; further parts of a long docstring have
        ``#2``, ``#3`` … behind it. Metadata: ``name``, ``module``, ``kind`` (module, class, function,
        method), and for what is written in Python ``path`` (from the library's folder) and ``line``.
    """
    named = _Library().public()
    contents = {name: _contents(name, entry, parts) for name, entry, parts in _parted(named, count_tokens, max_tokens)}
    for name, texts in _fitting(contents, count_tokens, max_tokens).items():
        entry = named[name]
        facts: dict[str, Any] = {"name": name, "kind": entry.kind, "module": _module_of(name, entry)}
        if entry.path is not None:
            facts.update(path=entry.path, line=entry.line)
        for number, text in enumerate(texts, 1):
            yield Passage(name if number == 1 else f"{name}#{number}", text, facts)


def _parted(
    named: dict[str, _Entry], count_tokens: CountTokens | None, max_tokens: int | None
) -> Iterator[tuple[str, _Entry, list[str]]]:
    """Cut every docstring into parts of a few sentences."""
    limited = count_tokens is not None and max_tokens is not None
    blocks = [
        Block(paragraph, range(paragraph.count("\n") + 1), (name,))
        for name, entry in sorted(named.items())
        for paragraph in _PARAGRAPHS.split(entry.doc)
        if paragraph.strip()
    ]
    # Under headings of their own they are never merged, so all of them can be cut and counted at once.
    parts = chunk(
        blocks,
        count_tokens=count_tokens if limited else None,
        max_tokens=max_tokens * 2 // 3 if limited and max_tokens else None,  # the name and the call need room
        target=_TARGET_TOKENS if limited else _TARGET_CHARACTERS,
    )
    for (name,), group in groupby(parts, key=lambda part: part.headings):
        yield name, named[name], [part.text for part in group]


def _contents(name: str, entry: _Entry, parts: Sequence[str]) -> list[str]:
    """Write what the encoder reads: the name as words, how it is called, and the docstring."""
    words = " ".join(word.lower() for word in _WORDS.findall(name))
    return [f"{words}\n{name}{entry.signature}\n{parts[0]}", *(f"{name}\n{part}" for part in parts[1:])]


def _fitting(
    contents: dict[str, list[str]], count_tokens: CountTokens | None, max_tokens: int | None
) -> dict[str, list[str]]:
    """Cut what does not fit because of a very long name or call."""
    if count_tokens is None or max_tokens is None:
        return contents
    texts = [text for group in contents.values() for text in group]
    sizes = dict(zip(texts, count_tokens(texts).tolist(), strict=True))
    return {
        name: [
            part
            for text in group
            for part in ([text] if sizes[text] <= max_tokens else _cut(text, count_tokens, max_tokens))
        ]
        for name, group in contents.items()
    }


def _cut(text: str, count_tokens: CountTokens, max_tokens: int) -> list[str]:
    block = Block(text, range(text.count("\n") + 1), unit="line")
    return [part.text for part in chunk([block], count_tokens=count_tokens, max_tokens=max_tokens)]


def _module_of(name: str, entry: _Entry) -> str:
    if entry.kind == "module":
        return name
    levels = 2 if entry.kind == "method" else 1
    return ".".join(name.split(".")[:-levels]) or "builtins"


class _Library:
    """Reads each module once."""

    def __init__(self) -> None:
        self._folder = Path(os.__file__).parent
        self._modules: dict[str, _Module | None] = {}

    def public(self) -> dict[str, _Entry]:
        """Every entry under its shortest public name."""
        candidates: list[tuple[str, _Entry]] = []
        for name in self._public_modules():
            module = self._load(name)
            if module is None:
                continue
            shown = _KNOWN_AS.get(name, name)
            if module.entry is not None:
                candidates.append((shown, module.entry))
            prefix = "" if name == "builtins" else f"{shown}."
            candidates.extend((prefix + inner, entry) for inner, entry in self._visible(module, set()).items())
        # One object has one origin. Some are one in all but that: copied with their docstring.
        chosen: dict[str, _Entry] = {}
        origins: set[str] = set()
        copies: set[tuple[str, str]] = set()
        for name, entry in sorted(candidates, key=lambda pair: (pair[0].count("."), len(pair[0]), pair[0])):
            copy = (name.rpartition(".")[2], entry.doc)
            if entry.origin not in origins and copy not in copies and name not in chosen:
                chosen[name] = entry
            origins.add(entry.origin)
            copies.add(copy)
        return chosen

    def _public_modules(self) -> Iterator[str]:
        for name in sorted(sys.stdlib_module_names - _LEFT_OUT):
            if name not in _KNOWN_AS and (name.startswith("_") or name in _INTERNAL):
                continue
            yield name
            package = self._folder / name
            for path in sorted(package.rglob("*.py")) if (package / "__init__.py").is_file() else ():
                parts = path.relative_to(self._folder).with_suffix("").parts
                if not any(part.startswith("_") or part in _TESTS for part in parts[1:]):
                    yield ".".join(parts)

    def _visible(self, module: _Module, on_the_way: set[str]) -> dict[str, _Entry]:
        """Find what a module shows: its own definitions, and what it takes from its insides."""
        shown = {name: entry for name, entry in module.entries.items() if module.shows(name)}
        for source, name, here in module.imports:
            if source in on_the_way or (other := self._load(source)) is None:
                continue
            given = self._visible(other, on_the_way | {module.name}) if name == "*" else other.entries
            for inner, entry in given.items():
                top, dot, rest = inner.partition(".")
                outer = f"{top if name == '*' else here}{dot}{rest}"
                # Without __all__, one Python module that names another's class only uses it.
                used = name != "*" and module.exported is None and entry.path is not None
                if name in {"*", top} and module.shows(outer) and not used:
                    shown.setdefault(outer, entry)
        return shown

    def _load(self, name: str) -> _Module | None:
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        path = self._folder.joinpath(*name.split("."))
        for source in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if source.is_file():
                return _read_source(name, source, source.relative_to(self._folder).as_posix())
        return _read_compiled(name)


def _read_source(name: str, source: Path, path: str) -> _Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in old strings
            tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    module = _Module(name)
    if doc := ast.get_docstring(tree):
        module.entry = _Entry("module", name, "", doc, path, 1)
    module.imports += [(other, "*", "*") for other in _TAKES_FROM.get(name, ())]
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    instances: dict[str, str] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _define(module, node, "", path)
        elif isinstance(node, ast.ImportFrom):
            other = _absolute(node, package)
            inside = source.name == "__init__.py" and other.startswith(f"{name}.")
            if inside or other.startswith("_") or other in _INTERNAL:
                module.imports += [(other, alias.name, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
            _assign(module, node, instances)
    return module


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is loaded; what stands in for a missing import is left out."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])
        else:
            yield node


def _define(
    module: _Module, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, prefix: str, path: str
) -> None:
    name = prefix + node.name
    is_class = isinstance(node, ast.ClassDef)
    # A property's docstring is a few words about a value, too little to be found by its meaning.
    is_property = any(ast.unparse(decorator).endswith("property") for decorator in node.decorator_list)
    if not is_property and (doc := ast.get_docstring(node)):
        kind = "class" if is_class else "method" if prefix else "function"
        signature = "" if isinstance(node, ast.ClassDef) else _signature(node.args, bound=bool(prefix))
        module.entries.setdefault(name, _Entry(kind, f"{module.name}:{name}", signature, doc, path, node.lineno))
    if is_class and not prefix:
        for inner in _statements(node.body):
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                _define(module, inner, f"{name}.", path)


def _signature(arguments: ast.arguments, *, bound: bool) -> str:
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if bound and names and names[0] in {"self", "cls"}:
        names = names[1:]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    names += [argument.arg for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        names.append(f"**{arguments.kwarg.arg}")
    return f"({', '.join(names)})"


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def _assign(module: _Module, node: ast.Assign | ast.AugAssign | ast.Expr, instances: dict[str, str]) -> None:
    """Read ``__all__``, and functions that are the methods of one hidden object, as in ``random``."""
    match node:
        case ast.Assign(targets=[ast.Name("__all__")], value=value):
            names = _literal(value)
            module.exported = None if names is None else set(names)
        case ast.AugAssign(target=ast.Name("__all__"), value=value) | ast.Expr(
            ast.Call(func=ast.Attribute(ast.Name("__all__"), "extend"), args=[value])
        ):
            names = _literal(value)
            module.exported = None if names is None or module.exported is None else module.exported | set(names)
        case ast.Expr(ast.Call(func=ast.Attribute(ast.Name("__all__"), "append"), args=[ast.Constant(str(name))])):
            if module.exported is not None:
                module.exported.add(name)
        case ast.Assign(targets=[ast.Name(here)], value=ast.Call(func=ast.Name(kind), args=[])):
            instances[here] = kind
        case ast.Assign(targets=[ast.Name(here)], value=ast.Attribute(ast.Name(instance), method)):
            entry = module.entries.get(f"{instances.get(instance)}.{method}")
            if entry is not None:
                module.entries.setdefault(here, replace(entry, kind="function"))
        case _:
            pass


def _literal(value: ast.expr) -> list[str] | None:
    try:
        names = ast.literal_eval(value)
    except ValueError:
        return None
    return [str(name) for name in names]


def _read_compiled(name: str) -> _Module | None:
    if name not in sys.stdlib_module_names or name in _LEFT_OUT:
        return None
    try:
        spec = importlib.util.find_spec(name)
        if spec is None or not (spec.origin == "built-in" or isinstance(spec.loader, ExtensionFileLoader)):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some are to be removed
            loaded = importlib.import_module(name)
    except (ImportError, ValueError):
        return None  # another system's
    module = _Module(name)
    if loaded.__doc__:
        module.entry = _Entry("module", name, "", inspect.cleandoc(loaded.__doc__))
    for inner, value in sorted(vars(loaded).items()):
        if not inner.startswith("_") and not isinstance(value, ModuleType):
            _look_at(module, inner, value)
    return module


def _look_at(module: _Module, name: str, value: object) -> None:
    is_class = isinstance(value, type)
    if not is_class and not inspect.isroutine(value):
        return  # a constant has its type's docstring
    kind = "class" if is_class else "method" if "." in name else "function"
    doc = getattr(value, "__doc__", None)
    if isinstance(doc, str) and doc.strip():
        origin = f"{getattr(value, '__module__', None) or module.name}:{getattr(value, '__qualname__', name)}"
        signature = _BOUND.sub("", getattr(value, "__text_signature__", None) or "")
        module.entries[name] = _Entry(kind, origin, signature, inspect.cleandoc(doc))
    if is_class and "." not in name:
        for inner, member in sorted(vars(value).items()):
            if not inner.startswith("_") and not isinstance(member, type):
                _look_at(module, f"{name}.{inner}", member)
