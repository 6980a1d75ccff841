"""What Weaviate and its client raise, in the words of the error tree."""

from __future__ import annotations

from types import TracebackType

import grpc  # type: ignore[import-untyped]
import httpx
from weaviate.exceptions import (
    AuthenticationFailedError,
    InsufficientPermissionsError,
    ResponseCannotBeDecodedError,
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
)

from samespace.errors import (
    AccessDenied,
    CollectionClosed,
    CollectionCorrupt,
    NotFound,
    SamespaceError,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)

__all__ = ["NOT_UNDERSTOOD", "Failures", "TooLarge", "refusal", "status_of"]

NOT_UNDERSTOOD = (ResponseCannotBeDecodedError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the client stumbles over where an answer is not what it knows."""

_GONE = (
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
    httpx.TransportError,
)
_GONE_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # too many requests; a message that is too large is told apart
)
_GONE_STATUSES = (408, 429, 502, 503, 504)


class TooLarge(StorageError):
    """An answer has more bytes than the client takes at once; ask for fewer rows."""


class Failures:
    """Turns what the client raises into the error tree, and lets nobody in after ``close``."""

    def __init__(self, address: str) -> None:
        self.is_closed = False
        self._address = address

    def __enter__(self) -> None:
        if self.is_closed:
            raise self._closed()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SamespaceError) or not isinstance(error, Exception):
            return
        if self.is_closed:  # by another thread; the client then raises whatever it stumbles over
            raise self._closed() from error
        if isinstance(error, WeaviateBaseError | grpc.RpcError | httpx.HTTPError | OSError):
            raise self._translated(error) from error

    def _closed(self) -> CollectionClosed:
        return CollectionClosed(f"The collection {self._address} was closed. Open it again with samespace.open().")

    def _translated(self, error: BaseException) -> SamespaceError:
        where, said = self._address, _said(error)
        code, status = _code_of(error), status_of(error)
        if isinstance(error, WeaviateClosedClientError):
            return self._closed()
        if (
            isinstance(error, AuthenticationFailedError | InsufficientPermissionsError)
            or code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
            or status in (401, 403)
            or "extract auth" in said  # how servers say it that have no code for it
        ):
            return AccessDenied(
                f"{where} does not let us: {said} Give a key that may in WEAVIATE_API_KEY, or as the URL's password."
            )
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in said:
            return TooLarge(f"{where} has rows so large that one answer cannot hold those asked for: {said}")
        if isinstance(error, _GONE) or code in _GONE_CODES or status in _GONE_STATUSES:
            return StoreUnavailable(f"Cannot reach {where}: {said} Is the server up, with REST and gRPC? Try again.")
        return refusal(where, said)


def refusal(where: str, said: str) -> SamespaceError:
    """The error for what a server says no to."""
    low = said.lower()
    if "query maximum results exceeded" in low:
        return Unsupported(
            f"{where} gives no more results at once: {said} Ask for fewer, or raise QUERY_MAXIMUM_RESULTS there."
        )
    if "read-only" in low or "readonly" in low or "no space left" in low:
        return StorageFull(f"{where} takes no more writes, as when its disk is nearly full: {said}")
    if "vector lengths" in low or "dimension" in low:
        return CollectionCorrupt(
            f"{where} has vectors of another length than its space says; something else wrote them: {said} Find them "
            "with samespace verify."
        )
    if "could not find class" in low or "class not found" in low or "does not exist in schema" in low:
        return NotFound(f"The collection {where} is gone; something else deleted it: {said}")
    return StorageError(f"{where} failed: {said}")


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, if it does."""
    # The client gives gRPC's numbers in the same place; those of HTTP begin at 100.
    if isinstance(error, UnexpectedStatusCodeError) and error.status_code >= 100:
        return error.status_code
    return None


def _code_of(error: BaseException) -> grpc.StatusCode | None:
    """The gRPC status at the bottom of an error: the client keeps its text only, and raises while handling it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, grpc.Call):
            code: grpc.StatusCode = seen.code()
            return code
        seen = seen.__cause__ or seen.__context__
    return None


def _said(error: BaseException) -> str:
    """What the error says, in one line that ends with a full stop."""
    text = " ".join(str(error).split())[:500] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
