"""What can go wrong with a request, and what is to be done about it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

__all__ = ["Failure", "Stopped", "of_status", "retry_after"]

Remedy = Literal["wait", "again", "wrong", "no"]


class Failure(Exception):
    """A request that brought no vectors.

    Its words are fit to be shown: it is made of a server's answer after the key was taken out, and never raised
    from the SDK's own error, whose requests and headers hold the key.

    Args:
        words: what happened.
        remedy: ``"wait"``: the server asks for time. ``"again"``: it may go well next time. ``"wrong"``: an answer
            came, and is not one to the question. ``"no"``: it would be refused again.
        status: of HTTP, if one came.
        delay: seconds that the server asks for.
        billed: the server may have done the work, so that it costs.
    """

    def __init__(
        self,
        words: str,
        remedy: Remedy,
        *,
        status: int | None = None,
        delay: float | None = None,
        billed: bool = False,
    ) -> None:
        super().__init__(words)
        self.remedy = remedy
        self.status = status
        self.delay = delay
        self.billed = billed


class Stopped(Exception):
    """The run was stopped while this request waited for its turn."""


def of_status(status: int, headers: Mapping[str, str], words: str, code: object = None) -> Failure:
    """Make the failure of an answer's status.

    Args:
        status: of the answer.
        headers: of the answer, whose keys are found in any case.
        words: of the server, fit to be shown.
        code: the server's own name for the error.
    """
    # Too many requests pass with time; a quota that is used up, which OpenAI gives the same number, does not.
    if status == 429 and code != "insufficient_quota":
        remedy: Remedy = "wait"
    elif status in (408, 409, 425) or status >= 500:
        remedy = "again"
    else:
        remedy = "no"
    hint = {401: " Check the key.", 403: " Check what the key may do.", 404: " Check the model's name and the URL."}
    moved = " Redirects are not followed, since texts and keys would go elsewhere." if 300 <= status < 400 else ""
    text = f"HTTP {status}{f': {words}' if words else ''}{hint.get(status, moved)}"
    return Failure(text, remedy, status=status, delay=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: ``Retry-After`` as a number or an HTTP date; None if it does not.

    OpenAI's ``retry-after-ms`` is more exact and goes before it.
    """
    value = (headers.get("retry-after") or "").strip()
    exact = (headers.get("retry-after-ms") or "").strip()
    try:
        seconds = float(exact) / 1000 if exact else float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
