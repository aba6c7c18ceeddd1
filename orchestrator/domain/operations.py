"""What an operator sees: live sandboxes, the queue, a lockdown read back, usage, owners, replays."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.domain.attestation import Attestation
from orchestrator.domain.results import Execution, ExecutionResult
from orchestrator.domain.sandbox import SandboxKind
from orchestrator.domain.states import ExecutionState


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSandbox:
    """One container of ours, with what its row says."""

    container_id: str
    execution_id: str
    owner: str
    kind: SandboxKind
    status: str
    """In the engine's words: created, running, exited ..."""
    state: ExecutionState | None
    """None where no row names the container."""
    age: float
    """Seconds since it was created."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """One execution in the queue of some process."""

    execution_id: str
    owner: str
    position: int
    """Among all that wait, in the order of their turns, from 1."""
    waited: float
    """Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Population:
    """Everything that is alive or waits."""

    sandboxes: tuple[LiveSandbox, ...]
    queue: tuple[Waiting, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Defence:
    """One field of a container: asked for, and as the engine has it."""

    name: str
    wished: Any
    effective: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LockdownReading:
    """A container's lockdown read back from the engine; `differences` is empty where it is what was asked."""

    defences: tuple[Defence, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """One execution, and the lockdown of its container while there is one."""

    execution: Execution
    container_id: str | None
    lockdown: LockdownReading | None
    attestation: Attestation | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Logs:
    """What is kept of an execution's output."""

    execution_id: str
    state: ExecutionState
    output: str
    error: str
    truncated: bool
    note: str | None
    """Why there is nothing, or not yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One look at a container: cpu seconds used so far, bytes, processes and threads."""

    cpu_seconds: float
    memory: int
    memory_limit: int
    pids: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a running sandbox takes now; `cpu` in cores, measured between two samples."""

    execution_id: str
    owner: str
    container_id: str
    cpu: float
    memory: int
    memory_limit: int
    pids: int


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """One owner in figures; sizes in bytes."""

    owner: str
    uid: int
    created_at: datetime
    executions: int
    unfinished: int
    last_execution_at: datetime | None
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedInput:
    """A file that an execution was given, with the hash that it had then."""

    file_id: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """An execution run again; `differences` says what was not the same, before and after."""

    original: Execution
    result: ExecutionResult
    differences: tuple[str, ...]
