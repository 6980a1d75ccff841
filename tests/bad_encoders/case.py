"""A row of the table of bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """Something wrong that a user may do.

    Attributes:
        what: is wrong, in a few words.
        call: as a user writes it.
        act: does it, in an empty folder.
        error: that comes.
        says: a pattern that the message has.
    """

    what: str
    call: str
    act: Callable[[Path], Any]
    error: type[Exception]
    says: str
