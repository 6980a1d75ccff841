"""Keys: read from the environment, shown to their own server, and to nobody else."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from samespace.errors import InvalidInput

__all__ = ["Key", "check_url", "find_key", "hide", "host_variable", "is_familiar", "said"]

# They write down the headers of answers when somebody asks for all details, and a server may echo a key there.
_TALKATIVE = (
    *(f"{core}.{part}" for core in ("httpcore", "httpcore2") for part in ("connection", "http11", "http2", "proxy")),
    *("httpx", "httpx2", "openai._base_client"),
)
_TELLING = 8  # characters of a key in a row that nobody needs to see
_LONGEST = 300  # characters of a server's words that go into a message


class Key:
    """A key that does not show itself.

    Args:
        text: the secret.
        variable: the environment variable that held it.
    """

    __slots__ = ("_text", "variable")

    def __init__(self, text: str, variable: str) -> None:
        self._text = text
        self.variable = variable

    def reveal(self) -> str:
        """The secret itself, for the header of a request and for nothing else."""
        return self._text

    def scrub(self, text: str) -> str:
        """Take out of a text every word that has a part of the key in it."""

        def clean(match: re.Match[str]) -> str:
            word = match.group()
            parts = (word[start : start + _TELLING] for start in range(max(1, len(word) - _TELLING + 1)))
            return "***" if any(len(part) == _TELLING and part in self._text for part in parts) else word

        return re.sub(r"\S+", clean, text.replace(self._text, "***"))

    def __repr__(self) -> str:
        return f"Key({self.variable})"

    def __reduce__(self) -> str:
        raise TypeError("A key is not written anywhere.")


def said(words: str, key: Key | None) -> str:
    """What a server said, fit for a message: one line, not too long, nothing a terminal acts on, and no key."""
    clean = "".join(char if char.isprintable() else " " for char in words[: 20 * _LONGEST])
    line = " ".join((key.scrub(clean) if key else clean).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


class _Hidden(logging.Filter):
    """Takes a key out of the lines of a log."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self._key = key

    def hides(self, key: Key) -> bool:
        """It is this key that it takes out."""
        return self._key.reveal() == key.reveal()

    def filter(self, record: logging.LogRecord) -> bool:
        line = record.getMessage()
        if self._key.reveal() in line:
            record.msg, record.args = line.replace(self._key.reveal(), "***"), ()
        return True


def hide(key: Key) -> None:
    """Keep a key out of the logs of the libraries that it is given to."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Hidden) and known.hides(key) for known in logger.filters):
            logger.addFilter(_Hidden(key))


def find_key(variables: Sequence[str]) -> Key | None:
    """The key in the first of these environment variables that is set.

    Raises:
        InvalidInput: it holds what no key has. The value is not shown.
    """
    for variable in variables:
        if text := os.environ.get(variable, "").strip():
            if not re.fullmatch(r"[!-~]{8,4096}", text):
                # A header with such a character would be an error whose text is the header.
                raise InvalidInput(
                    f"{variable} does not hold a key: expected 8 or more ASCII characters without blanks. "
                    "Set it again; its value is not shown here."
                )
            return Key(text, variable)
    return None


def host_variable(url: str) -> str:
    """The environment variable of the key for a URL that is no provider's own.

    A hyphen counts twice, so that ``my-host.com`` does not get the key of ``my.host.com``, and without TLS the
    port is always named, so that nobody can have a key sent in the clear that is meant for TLS.
    """
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else None)
    place = f"{parts.hostname}_{port}" if port else f"{parts.hostname}"
    return "SAMESPACE_KEY_" + re.sub(r"[^A-Z0-9]", "_", place.upper().replace("-", "__"))


def is_familiar(url: str) -> bool:
    """A URL that may be used though somebody else named it: on this machine, or one that the user has set a key for."""
    host = urlsplit(url).hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return local or host_variable(url) in os.environ


def check_url(url: str, where: str) -> str:
    """The URL without a slash at its end.

    Args:
        url: as it was given.
        where: it was given, to begin the sentence.

    Raises:
        InvalidInput: it is not a URL of HTTP, or it carries a secret, which would be kept with the collection.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or any(char.isspace() or not char.isprintable() for char in url):
        raise InvalidInput(f"{where} must be a URL such as http://localhost:11434/v1, got {said(url, None)!r}.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise InvalidInput(
            f"{where} must not carry a user or a password, since it is kept with the collection. Put the key into "
            f"the environment: {host_variable(url)}."
        )
    if parts.query or parts.fragment:
        raise InvalidInput(f"{where} must end with its path, but has {'?' if parts.query else '#'}… behind it.")
    return url.rstrip("/")
