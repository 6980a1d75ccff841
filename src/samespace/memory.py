"""What a collection holds where: memory tiers, as rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from samespace.errors import NotFound

__all__ = ["TIERS", "Tier", "tier_by_name"]


@dataclass(frozen=True, slots=True)
class Tier:
    """A row of the table. Bytes are for a vector of d dimensions; what they cost in recall is in bench/README.md.

    Attributes:
        name: what users call it.
        precision: of the vectors on disk, from where they are memory-mapped.
        builds: a built engine may be held in memory where it pays.
        engine: the only one that is used; None leaves the choice.
        disk: bytes a vector on disk.
        held: bytes a vector in memory.
        summary: one line for people who choose.
    """

    name: str
    precision: Literal["float32", "float16"]
    builds: bool
    engine: str | None
    disk: str
    held: str
    summary: str


TIERS: Mapping[str, Tier] = {
    tier.name: tier
    for tier in (
        Tier("full", "float32", True, None, "4d", "d/2, and 6d for a graph", "as fast as it can be"),
        Tier("codes", "float32", False, None, "4d", "d/2", "4-bit codes in memory, and never a graph"),
        Tier("half", "float16", False, None, "2d", "d/2", "half of the disk; scores are rounded to three digits"),
        Tier("disk", "float32", False, "exact", "4d", "0", "nothing in memory; every search reads all vectors"),
    )
}


def tier_by_name(name: str) -> Tier:
    """Find a tier.

    Raises:
        NotFound: there is none of that name.
    """
    if name not in TIERS:
        raise NotFound(f"There is no memory tier {name!r}; the tiers are {', '.join(TIERS)}.")
    return TIERS[name]
