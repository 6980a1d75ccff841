"""What the SDK of Pinecone raises, in the words of the error tree."""

from __future__ import annotations

import re
from types import TracebackType

import httpx
from pinecone.errors.exceptions import (
    ApiError,
    ForbiddenError,
    IndexInitFailedError,
    IndexTerminatedError,
    NotFoundError,
    PaymentRequiredError,
    PineconeConnectionError,
    PineconeError,
    PineconeTimeoutError,
    RateLimitError,
    ResponseParsingError,
    ServiceError,
    UnauthorizedError,
)

from samespace.errors import (
    AccessDenied,
    CollectionClosed,
    InvalidInput,
    NotFound,
    SamespaceError,
    StorageError,
    StorageFull,
    StoreUnavailable,
)

__all__ = ["Failures", "is_refusal"]

_QUOTA = re.compile(r"quota|max(imum)? (storage|write units|serverless)|storage (limit|allowed)", re.IGNORECASE)


class Failures:
    """Turns what the SDK and its transport raise into the error tree. No message shows the key.

    Args:
        where: the collection's address.
        key: that may not be shown.
    """

    def __init__(self, where: str, key: str) -> None:
        self._where = where
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SamespaceError):
            return
        if isinstance(error, RuntimeError) and "closed" in str(error):
            raise CollectionClosed(f"{self._where} was closed while it was used. Open it again.") from error
        # The SDK wraps most of what httpx raises, and not all; of the system's errors it wraps none.
        if isinstance(error, PineconeError | httpx.HTTPError | httpx.InvalidURL | httpx.StreamError | OSError):
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> SamespaceError:
        said = str(error).strip().rstrip(".").replace(self._key, "***")[:500]
        match error:
            case UnauthorizedError():
                return AccessDenied(
                    f"{self._where}: Pinecone does not know the key in PINECONE_API_KEY ({said}). "
                    "Set it to a key of the project that has the index."
                )
            case ForbiddenError() if _QUOTA.search(said):
                return StorageFull(f"{self._where}: a quota of the Pinecone project is reached ({said}).")
            case ForbiddenError() | PaymentRequiredError():
                return AccessDenied(
                    f"{self._where}: Pinecone does not allow this ({said}). Give the key in PINECONE_API_KEY the role "
                    "that it needs, or use another."
                )
            case NotFoundError():
                return NotFound(f"{self._where}: Pinecone has no such index or namespace ({said}). Was it deleted?")
            case RateLimitError():
                return StoreUnavailable(
                    f"{self._where}: Pinecone asks for fewer requests ({said}). Try again later, from fewer threads."
                )
            case ResponseParsingError():
                return StorageError(f"{self._where}: the answer is not one of Pinecone's ({said}). Is host= right?")
            case ServiceError() | IndexInitFailedError() | IndexTerminatedError():
                return StoreUnavailable(f"{self._where}: Pinecone cannot answer now ({said}). Try again later.")
            case ApiError(status_code=400 | 413 | 422):
                return StorageError(f"{self._where}: Pinecone refuses the request ({said}).")
            case PineconeTimeoutError() | httpx.TimeoutException():
                return StoreUnavailable(
                    f"{self._where}: Pinecone did not answer in time ({said}). Try again, or raise timeout=."
                )
            case PineconeConnectionError() | httpx.HTTPError() | OSError():
                return StoreUnavailable(f"{self._where}: Pinecone cannot be reached ({said}). Is the network there?")
            case ValueError() | TypeError() | httpx.InvalidURL():
                return InvalidInput(f"{self._where}: the SDK of Pinecone refuses this ({said}).")
        return StorageError(f"{self._where}: Pinecone could not do this ({said}).")


def is_refusal(error: StorageError) -> bool:
    """Tell whether Pinecone refused a request for what it asks, such as a result that is too large."""
    return isinstance(error.__cause__, ApiError) and error.__cause__.status_code in (400, 413, 422)
