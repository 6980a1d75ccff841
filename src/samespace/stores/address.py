"""Where a collection is, as a URL: ``postgresql://user@host/db?collection=notes``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from samespace.errors import InvalidInput

__all__ = ["Address"]

T = TypeVar("T")
_SECRET = re.compile(r"pass|key|token|secret", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A store's URL, taken apart. As text it shows no password and no key.

    Attributes:
        scheme: such as ``"qdrant"``.
        host: with ``port``, empty for a local path.
        path: what follows the host, without its first slash; all that follows the scheme where there is no host.
        options: of the query string.
    """

    scheme: str
    host: str
    port: int | None
    user: str | None
    password: str | None = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)
    url: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            InvalidInput: it is not one. The message shows no password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise InvalidInput(f"{_hidden(url)!r} is not the URL of a store: {error}.") from None
        options = dict(pairs)
        if len(options) < len(pairs):
            raise InvalidInput(f"{_hidden(url)!r} says an option twice.")
        is_remote = url[len(parts.scheme) :].startswith("://")
        path = unquote(parts.path)
        return cls(
            parts.scheme,
            parts.hostname or "",
            port,
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
            path.removeprefix("/") if is_remote else path,
            options,
            url,
        )

    def take(self, name: str, convert: Callable[[str], T], default: T) -> T:
        """An option, converted.

        Raises:
            InvalidInput: it cannot be.
        """
        if name not in self.options:
            return default
        try:
            return convert(self.options[name])
        except (ValueError, KeyError):
            raise InvalidInput(f"{self}: the option {name}={self.options[name]!r} cannot be read.") from None

    def only(self, *known: str) -> None:
        """Raise unless all options are among the known.

        Raises:
            InvalidInput: naming the one that is not, and those that are.
        """
        for name in self.options:
            if name not in known:
                raise InvalidInput(f"{self}: there is no option {name!r}; the options are {', '.join(known)}.")

    def __str__(self) -> str:
        where = self.host if ":" not in self.host else f"[{self.host}]"
        port = "" if self.port is None else f":{self.port}"
        user = "" if self.user is None else f"{quote(self.user)}@"
        shown = "&".join(f"{key}={'***' if _SECRET.search(key) else value}" for key, value in self.options.items())
        base = (
            f"{self.scheme}://{user}{where}{port}/" if self.url.startswith(f"{self.scheme}://") else f"{self.scheme}:"
        )
        return f"{base}{self.path}{'?' if shown else ''}{shown}"


def _hidden(url: str) -> str:
    """The URL without what may be a password."""
    return re.sub(r"(?<=://)[^@/]*(?=@)", "***", re.sub(r"(?<==)[^&]*", "***", url))
