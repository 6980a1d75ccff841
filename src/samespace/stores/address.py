"""Where a collection is, as a URL: ``postgresql://user@host/db?collection=notes``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from samespace.errors import InvalidInput

__all__ = ["Address"]

T = TypeVar("T")
_ENCODE = "In a password or a name, write %2F for /, %3F for ?, %23 for #, %40 for @, %26 for & and %25 for %."
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SECRET = re.compile(r"pass|pwd|key|token|secret|auth|cred", re.IGNORECASE)
_NO_SECRETS = frozenset({"passfile", "sslkey", "sslkeylogfile", "require_auth"})  # libpq's: names of files, and of ways


@dataclass(frozen=True)
class Address:
    """A store's URL, taken apart.

    ``str`` is a URL of the same collection without what is secret: a password, and options that hold one or a key.
    Where the password is in the environment, it works.

    Attributes:
        scheme: such as ``"qdrant"``, in small letters.
        host: with ``port``, empty for a local path.
        path: what follows the host, without its first slash; all that follows the scheme where there is no host.
        options: of the query string.
        has_host: there is a ``//`` after the scheme, even if nothing but a path follows.
    """

    scheme: str
    host: str
    port: int | None
    user: str | None
    password: str | None = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)
    has_host: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            InvalidInput: it is not one. The message has nothing of it but the scheme, since nobody knows then where in
                it a password is.
        """
        url = url.strip()
        if _CONTROL.search(url):  # urlsplit would drop some of them
            raise _unreadable(url, "it has a line break or another control character.")
        if "#" in url:
            raise _unreadable(url, f"it has a #, which begins nothing in the URL of a store. {_ENCODE}")
        with _reading(url, f"its host cannot be made out. {_ENCODE}"):
            parts = urlsplit(url)
        has_host = url[len(parts.scheme) :].startswith("://")
        if has_host and "@" in parts.path + parts.query:
            raise _unreadable(url, f"it has an @ behind its host. {_ENCODE}")
        with _reading(url, f"its port is no number from 0 to 65535. {_ENCODE}"):
            port = parts.port
        with _reading(url, f"its options are not written as ?one=1&two=2, or their % codes are not UTF-8. {_ENCODE}"):
            strict = bool(parts.query)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=strict, errors="strict")
        options = dict(pairs)
        if len(options) < len(pairs):
            raise _unreadable(url, "it says an option twice.")
        with _reading(url, "its % codes are not UTF-8."):
            path = unquote(parts.path, errors="strict")
            user = unquote(parts.username or "", errors="strict")
            password = None if parts.password is None else unquote(parts.password, errors="strict")
        path = path.removeprefix("/") if has_host else path
        return cls(parts.scheme, parts.hostname or "", port, user or None, password, path, options, has_host)

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
        options = "&".join(
            f"{_quoted(name)}={_quoted(value, '/:')}" for name, value in self.options.items() if not _is_secret(name)
        )
        query = f"?{options}" if options else ""
        path = _quoted(self.path, "/")
        if not self.has_host:
            return f"{self.scheme}:{path}{query}"
        user = "" if self.user is None else f"{_quoted(self.user)}@"
        host = self.host if ":" not in self.host else f"[{self.host}]"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{user}{host}{port}{'/' if path else ''}{path}{query}"


def _is_secret(option: str) -> bool:
    return option not in _NO_SECRETS and _SECRET.search(option) is not None


@contextmanager
def _reading(url: str, reason: str) -> Iterator[None]:
    try:
        yield
    except ValueError:  # its own text may have the password
        raise _unreadable(url, reason) from None


def _unreadable(url: str, reason: str) -> InvalidInput:
    return InvalidInput(f"The URL {url.partition(':')[0]}:… cannot be read: {reason}")


def _quoted(text: str, safe: str = "") -> str:
    """The text with % codes for what has a meaning in URLs or shells; letters of any alphabet stay as they are."""
    return re.sub(rf"[^\w.~,{safe}-]", lambda found: quote(found[0], safe="", errors="surrogatepass"), text)
