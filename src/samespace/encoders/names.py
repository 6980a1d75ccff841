"""What a user calls an encoder, taken apart: ``scheme:target@revision?option=value&option=value``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, quote

from samespace.errors import InvalidInput

__all__ = ["CATALOGUE", "FOLDER", "HUB", "Name", "parse"]

CATALOGUE, FOLDER, HUB = "catalogue", "folder", "hf"

_SCHEME = re.compile(r"([a-z][a-z0-9-]+):(?!//)(.+)", re.DOTALL)  # at least two letters: C: is a drive
_T = TypeVar("_T")


@dataclass(frozen=True)
class Name:
    """A name of an encoder.

    Attributes:
        scheme: :data:`CATALOGUE`, :data:`FOLDER`, :data:`HUB`, or the name of a provider.
        target: what the scheme calls the model; of a folder its absolute path.
        revision: of a model on the hub; None where none was given.
        options: by name, as they were given.
    """

    scheme: str
    target: str
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The name in its one canonical spelling; :func:`parse` reads it."""
        prefix = "" if self.scheme in (CATALOGUE, FOLDER) else f"{self.scheme}:"
        revision = f"@{self.revision}" if self.revision else ""
        options = "&".join(f"{key}={quote(value, safe='/:,')}" for key, value in sorted(self.options.items()))
        return f"{prefix}{self.target}{revision}{'?' if options else ''}{options}"

    def option(self, name: str, convert: Callable[[str], _T], expected: str) -> _T | None:
        """Read an option.

        Args:
            name: of the option.
            convert: makes the value of the text; a ValueError says that it cannot.
            expected: what the value must be, to end the sentence "must be …".

        Returns:
            The value, or None if the option was not given.

        Raises:
            InvalidInput: the text is not such a value.
        """
        text = self.options.get(name)
        if text is None:
            return None
        try:
            return convert(text)
        except ValueError:
            raise InvalidInput(f"{name}= in {str(self)!r} must be {expected}, got {text!r}.") from None

    def allow(self, known: Iterable[str]) -> None:
        """Raise unless every option is one of ``known``.

        Raises:
            InvalidInput: naming those that are not, and those that there are.
        """
        names = sorted(known)
        if unknown := sorted(set(self.options) - set(names)):
            raise InvalidInput(
                f"The encoder {str(self)!r} has no option {', '.join(unknown)}. "
                + (f"Its options are: {', '.join(names)}." if names else "It has none.")
            )


def parse(text: str) -> Name:
    """Take a name apart. Nothing is opened.

    A target is a path if it begins with ``.``, ``/``, ``~`` or a drive, or if something of that name is there
    and it has a separator; what has a scheme is the hub's or a provider's; anything else is in the catalogue.

    Raises:
        InvalidInput: it is not a text, or its options are not ``name=value``.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InvalidInput(f"An encoder's name must be a text, got {text!r}.")
    body, mark, query = text.strip().partition("?")
    options = _options(query, text) if mark else {}
    if _is_path(body):
        try:
            return Name(FOLDER, str(Path(body).expanduser().absolute()), None, options)
        except RuntimeError:
            raise InvalidInput(f"{text!r} begins with a user that is not known here. Write the path out.") from None
    if not (match := _SCHEME.fullmatch(body)):
        return Name(CATALOGUE, body, None, options)
    scheme, target = match.groups()
    revision = None
    if scheme == HUB:
        target, at, revision = target.partition("@")
        if at and not revision:
            raise InvalidInput(f"A revision must follow the '@' in {text!r}: a branch, a tag or a commit.")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", target) or ".." in target:
            raise InvalidInput(f"A model on the hub is called 'hf:owner/name', got {text!r}.")
    return Name(scheme, target, revision or None, options)


def _is_path(body: str) -> bool:
    separators = {os.sep, "/", *((os.altsep,) if os.altsep else ())}
    if body.startswith((".", "~", *separators)) or Path(body).drive:
        return True
    return not _SCHEME.fullmatch(body) and any(mark in body for mark in separators)


def _options(query: str, text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise InvalidInput(f"What follows '?' in {text!r} must be option=value, with & between.") from None
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"{text!r} gives {', '.join(repeated)} twice.")
    return dict(pairs)
