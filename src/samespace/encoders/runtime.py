"""OpenVINO, imported when it is first used and without its telemetry."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType

__all__ = ["openvino"]

_TELEMETRY = "openvino_telemetry"
_lock = Lock()


def openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report the import itself to a server."""
    with _lock:
        if "openvino" in sys.modules:
            return import_module("openvino")
        # None makes an import fail; OpenVINO then uses the stub that it carries for this case.
        before = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            return import_module("openvino")
        finally:
            if before is None:
                del sys.modules[_TELEMETRY]
            else:
                sys.modules[_TELEMETRY] = before
