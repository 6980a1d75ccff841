"""What the client, its transport and the server raise, in the words of the error tree."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import grpc  # type: ignore[import-untyped]
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from samespace.errors import (
    AccessDenied,
    CollectionBusy,
    CollectionClosed,
    CollectionCorrupt,
    InvalidInput,
    NotFound,
    SamespaceError,
    StorageError,
    StorageFull,
    StoreUnavailable,
    Unsupported,
)

__all__ = ["Failures"]

T = TypeVar("T")

_FULL = re.compile(r"no space left|disk (is )?full|out of disk|not enough (disk )?space", re.IGNORECASE)
_AWAY = {408, 429, 502, 503, 504}
_PAUSES = (0.1, 0.4, 1.6)  # seconds before each further try
_STATUS = {
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
}


class Failures:
    """Calls the client, and raises errors of the tree.

    Every call may be made again: a write has its ids and its numbers before the first try. So what fails on the way is
    tried again, a few times, and no try begins later than ``timeout``.

    Args:
        address: for messages; without keys.
        timeout: seconds.
        local: the client is its own local mode, which raises Python's plain errors.
    """

    def __init__(self, address: str, timeout: float, *, local: bool = False) -> None:
        self._address = address
        self._timeout = timeout
        self._local = local

    def __call__(self, act: Callable[[], T]) -> T:
        end = time.monotonic() + self._timeout
        for pause in (*_PAUSES, None):
            try:
                return act()
            except SamespaceError:
                raise
            except Exception as error:  # the local mode raises any
                found = self._mapped(error)
                if pause is None or not isinstance(found, StoreUnavailable) or time.monotonic() + pause > end:
                    raise found from error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _mapped(self, error: Exception) -> SamespaceError:
        where = self._address
        match error:
            case UnexpectedResponse():
                return self._answered(error.status_code or 0, _said(error))
            case ResourceExhaustedResponse():
                return self._answered(429, str(error))
            case ResponseHandlingException():
                return self._unheard(error.source)
            case grpc.RpcError():
                code = error.code() if isinstance(error, grpc.Call) else None
                said = error.details() if isinstance(error, grpc.Call) else str(error)
                return self._answered(_STATUS.get(code, 500) if code else 500, said or "")
            case httpx.HTTPError():
                return self._unheard(error)
            case sqlite3.Error():
                name = getattr(error, "sqlite_errorname", "")
                if name.startswith("SQLITE_FULL"):
                    return StorageFull(f"No space left on the disk of {where}.")
                if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                    return CollectionCorrupt(f"{where} is damaged ({error}). Restore it from a backup.")
                if "closed database" in str(error):
                    return _closed(where)
                return StorageError(f"Cannot use {where}: {error}.")
            case OSError():
                full = _FULL.search(str(error))
                return (
                    StorageFull(f"No space left for {where}.")
                    if full
                    else StorageError(f"Cannot use {where}: {error}.")
                )
        return self._said_locally(error) if self._local else self._unheard(error)

    def _said_locally(self, error: Exception) -> SamespaceError:
        """What the client's local mode means by its plain errors."""
        where, said = self._address, str(error)
        if "already accessed by another instance" in said:
            return CollectionBusy(f"Another process has {where} open; the local mode takes one. Close it there first.")
        if "instance is closed" in said:
            return _closed(where)
        if re.search(r"[Cc]ollection .* not found", said):
            return NotFound(f"There is no collection at {where}.")
        if isinstance(error, json.JSONDecodeError):
            return CollectionCorrupt(f"{where} has an index of collections that is not JSON. Restore it from a backup.")
        if isinstance(error, ValueError):
            return InvalidInput(f"{where} does not take this: {said.strip().rstrip('.')}.")
        return StorageError(f"{where}: {type(error).__name__}: {said}")

    def _unheard(self, error: Exception) -> SamespaceError:
        where = self._address
        if isinstance(error, httpx.TimeoutException):
            return StoreUnavailable(f"{where} did not answer within {self._timeout:g} s. Try again, or raise timeout=.")
        if isinstance(error, httpx.TransportError):
            return StoreUnavailable(
                f"Cannot reach {where} ({type(error).__name__}: {error}). Is Qdrant running there, and are host, port "
                "and https= right?"
            )
        if isinstance(error, ValidationError | ValueError):
            return StorageError(f"{where} answered with something that is not Qdrant's. Is it another server?")
        return StoreUnavailable(f"Cannot reach {where} ({type(error).__name__}: {error}).")

    def _answered(self, status: int, said: str) -> SamespaceError:
        where = self._address
        if status in (401, 403):
            return AccessDenied(f"{where} refuses: {said or status}. Set QDRANT_API_KEY to a key that may do this.")
        if status == 404:
            return NotFound(f"There is no collection at {where} ({said or status}).")
        if _FULL.search(said):
            return StorageFull(f"No space left on the disk of {where}: {said}.")
        if status in _AWAY:
            return StoreUnavailable(f"{where} cannot answer now ({status}: {said}). Try again later.")
        if status == 501:
            return Unsupported(f"{where} does not know this request ({said}). Upgrade Qdrant.")
        if status in (400, 409, 413, 422):
            return InvalidInput(f"{where} does not take this ({status}): {said}.")
        return StorageError(f"{where} answered {status}: {said}.")


def _closed(where: str) -> CollectionClosed:
    return CollectionClosed(f"The collection {where} was closed. Open it again with samespace.open().")


def _said(error: UnexpectedResponse) -> str:
    """The server's own sentence, if it sent one."""
    try:
        status = json.loads(error.content)["status"]
        return str(status["error"] if isinstance(status, dict) else status).strip().rstrip(".")
    except (ValueError, KeyError, TypeError):
        return error.content[:200].decode(errors="replace").strip()
