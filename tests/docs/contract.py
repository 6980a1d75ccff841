"""The contract of stores as a table: a row for each test, a column for each store, a footnote for each gap."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from samespace.testing.store_contract import Gap, StoreContract

__all__ = ["stores", "table"]

_TESTS = Path(__file__).parents[1]
_NAMES = {
    "TestLocal": "folder",
    "TestPostgres": "PostgreSQL",
    "TestQdrantLocal": "Qdrant, local mode",
    "TestQdrantEdge": "Qdrant Edge",
    "TestWeaviate": "Weaviate",
    "TestPinecone": "Pinecone",
}


def stores() -> dict[str, type[StoreContract]]:
    """The suites that keep the contract, by the store's name."""
    for file in sorted((_TESTS / "stores").rglob("test_*.py")):
        importlib.import_module(".".join(file.relative_to(_TESTS).with_suffix("").parts))
    suites = {cls.__name__: cls for cls in _below(StoreContract)}
    return {title: suites[name] for name, title in _NAMES.items()}


def _below(cls: type[StoreContract]) -> Iterator[type[StoreContract]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def _rows() -> Iterator[tuple[str, str]]:
    """What each test shows, and its name; one row for each case where the cases are named."""
    for name, test in inspect.getmembers(StoreContract, inspect.isfunction):
        if not name.startswith("test_") or name == "test_gaps_name_tests":
            continue
        what = (test.__doc__ or "").rstrip(".")
        cases = [mark.args[1] for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        named = [case for group in cases if isinstance(group, dict) for case in group]
        if named:
            yield from ((f"{what}: {case}", f"{name}[{case}]") for case in named)
        else:
            yield what, name


def table() -> str:
    """Markdown, with the gaps as footnotes below."""
    columns = stores()
    notes: dict[Gap, int] = {}
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    order = list(vars(StoreContract))
    for what, name in sorted(_rows(), key=lambda row: order.index(row[1].partition("[")[0])):
        cells = []
        for suite in columns.values():
            gap = suite.gaps.get(name) or suite.gaps.get(name.partition("[")[0])
            cells.append("yes" if gap is None else f"no ({notes.setdefault(gap, len(notes) + 1)})")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    lines.append("")
    lines += [f"{number}. `{gap.error.__name__}`: {gap.reason}" for gap, number in notes.items()]
    return "\n".join(lines) + "\n"
