"""Check that every module of samespace imports lower floors only, and that every module has a floor.

Run: python tools/check_floors.py
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "samespace"

# A room is a module or a package below samespace. Rooms of one floor do not know each other, except where a
# tuple says that they are one after the other. The list is exhaustive: a module that is not here is an error.
_THIRD = (
    "batches",
    "ranking",
    "recall",
    "builder",
    "cover",
    "upkeep",
    "watch",
    "searcher",
    "memory",
    "reports",
    "belonging",
    "indexed",
    "served",
    "collection",
    "opening",
    "interchange",
    "evaluation",
    "training",
)
FLOORS: dict[int, tuple[str, ...]] = {
    0: ("errors",),
    1: ("space", "vectors", "where", "hits"),
    2: ("encoders", "indexes", "stores", "sources"),
    3: _THIRD,
    4: ("keeping",),
    5: ("apps", "scale"),
    6: ("cli", "testing"),
}
# Rooms that may know the ones before them on their own floor.
IN_ORDER = {1: ("space", "vectors"), 3: _THIRD}
ENTRANCES = {"__init__", "__main__"}  # the public surface and the command may see everything


def floor_of(room: str) -> int:
    """Tell on which floor a room is."""
    for floor, rooms in FLOORS.items():
        if room in rooms:
            return floor
    raise KeyError(room)


def imported_rooms(tree: ast.AST) -> set[str]:
    """Rooms of samespace that a module imports, wherever in the file the import stands."""
    rooms: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                rooms.add("(relative import)")
            elif node.module == "samespace":
                rooms.update(alias.name for alias in node.names)
            elif node.module and node.module.startswith("samespace."):
                rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            rooms.update(a.name.split(".")[1] for a in node.names if a.name.startswith("samespace."))
            if any(alias.name == "samespace" for alias in node.names):
                rooms.add("(samespace itself)")
    return rooms


def may_import(importer: str, imported: str) -> bool:
    """Tell whether one room may know another."""
    if importer == imported:
        return True
    high, low = floor_of(importer), floor_of(imported)
    order = IN_ORDER.get(high, ())
    if high == low and importer in order and imported in order:
        return order.index(imported) < order.index(importer)
    return low < high


def main() -> int:
    """Print what is wrong; the exit status is 1 if anything is."""
    problems = []
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room in ENTRANCES:
            continue
        try:
            floor_of(room)
        except KeyError:
            problems.append(f"{path}: the room {room!r} has no floor; give it one in tools/check_floors.py")
            continue
        for imported in sorted(imported_rooms(ast.parse(path.read_text(encoding="utf-8")))):
            # The command line is the outermost room: what it needs of the public surface it may take there.
            if floor_of(room) == 6 and imported in {"__version__", "(samespace itself)", "open", "Collection"}:
                continue
            try:
                allowed = may_import(room, imported)
            except KeyError:
                problems.append(f"{path}: imports samespace.{imported}, which is no room; import the module itself")
                continue
            if not allowed:
                problems.append(
                    f"{path}: {room} (floor {floor_of(room)}) may not import {imported} (floor {floor_of(imported)})"
                )
    sys.stdout.write("\n".join(problems) + "\n" if problems else "floors: every import goes down\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
