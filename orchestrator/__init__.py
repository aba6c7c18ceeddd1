"""Sandglass: untrusted Python, one locked-down container per execution, every file it made.

The public names; each is loaded when first asked for, so that `import orchestrator` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator, open_orchestrator
    from orchestrator.clock import SystemClock
    from orchestrator.domain.attestation import Attestation
    from orchestrator.domain.files import SkippedFile, StoredFile, SweepReport
    from orchestrator.domain.limits import Limits
    from orchestrator.domain.outcomes import Outcome
    from orchestrator.domain.results import Execution, ExecutionResult, Timings
    from orchestrator.domain.sandbox import Stream
    from orchestrator.domain.states import ExecutionState
    from orchestrator.domain.status import Bounds, InterpreterStatus
    from orchestrator.erasure import Erasure, erase_owner
    from orchestrator.errors import (
        Fault,
        FileNotFoundOrExpired,
        RateLimited,
        Refused,
        SandglassError,
    )
    from orchestrator.http.client import RemoteOrchestrator, open_remote
    from orchestrator.interface import Sandglass
    from orchestrator.settings import Settings
    from orchestrator.steady import settle, share_arenas

_HOMES = {
    "Attestation": "domain.attestation",
    "Bounds": "domain.status",
    "Erasure": "erasure",
    "Execution": "domain.results",
    "ExecutionResult": "domain.results",
    "ExecutionState": "domain.states",
    "Fault": "errors",
    "FileNotFoundOrExpired": "errors",
    "InterpreterStatus": "domain.status",
    "Limits": "domain.limits",
    "Orchestrator": "app",
    "Outcome": "domain.outcomes",
    "RateLimited": "errors",
    "Refused": "errors",
    "RemoteOrchestrator": "http.client",
    "Sandglass": "interface",
    "SandglassError": "errors",
    "Settings": "settings",
    "SkippedFile": "domain.files",
    "StoredFile": "domain.files",
    "Stream": "domain.sandbox",
    "SweepReport": "domain.files",
    "SystemClock": "clock",
    "Timings": "domain.results",
    "erase_owner": "erasure",
    "open_orchestrator": "app",
    "open_remote": "http.client",
    "settle": "steady",
    "share_arenas": "steady",
}

__all__ = [
    "Attestation",
    "Bounds",
    "Erasure",
    "Execution",
    "ExecutionResult",
    "ExecutionState",
    "Fault",
    "FileNotFoundOrExpired",
    "InterpreterStatus",
    "Limits",
    "Orchestrator",
    "Outcome",
    "RateLimited",
    "Refused",
    "RemoteOrchestrator",
    "Sandglass",
    "SandglassError",
    "Settings",
    "SkippedFile",
    "StoredFile",
    "Stream",
    "SweepReport",
    "SystemClock",
    "Timings",
    "erase_owner",
    "open_orchestrator",
    "open_remote",
    "settle",
    "share_arenas",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
