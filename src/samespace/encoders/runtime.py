"""OpenVINO, imported when it is first used and without its telemetry."""

from __future__ import annotations

import sys
from threading import Lock
from types import ModuleType

__all__ = ["openvino"]

_TELEMETRY = "openvino_telemetry"
_lock = Lock()


def openvino() -> ModuleType:
    """Import OpenVINO. Its package reports its own import to a server unless its telemetry cannot be imported."""
    with _lock:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        # None makes an import fail; OpenVINO then uses the stub that it carries for this case.
        before = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            if before is None:
                del sys.modules[_TELEMETRY]
            else:
                sys.modules[_TELEMETRY] = before
    return openvino
