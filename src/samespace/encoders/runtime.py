"""OpenVINO, imported when it is first used and without its telemetry."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

__all__ = ["core", "openvino"]

_TELEMETRY = "openvino_telemetry"
_lock = Lock()
_core: Any = None


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


def core() -> Any:
    """The one ``openvino.Core`` of this process, which is never given back.

    Each of them gives the thread a stack for signals, and takes away the memory of that stack when it goes: of two,
    the later one leaves the thread with the stack of the earlier, and then Ctrl-C ends the process by a fault.
    """
    global _core
    module = openvino()
    with _lock:
        if _core is None:
            _core = module.Core()
        return _core
