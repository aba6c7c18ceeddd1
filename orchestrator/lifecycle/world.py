"""What an execution is given: the collaborators that every one shares, and the job that is its own."""

from dataclasses import dataclass
from datetime import timedelta

from orchestrator.domain.limits import Capacity, Limits
from orchestrator.domain.results import ExecutionRequest
from orchestrator.domain.sandbox import ImageInfo
from orchestrator.lifecycle.listen import OnOutput
from orchestrator.lifecycle.ports import Clock, Engine, Executions, Files, Workspaces
from orchestrator.lifecycle.slots import Ticket
from orchestrator.lifecycle.standby import Standbys
from orchestrator.lifecycle.supervise import Control


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The collaborators of an execution, as `orchestrator.app` wires them."""

    engine: Engine
    executions: Executions
    files: Files
    workspaces: Workspaces
    standbys: Standbys
    clock: Clock
    image: ImageInfo
    runtime: str
    instance: str
    holder: str
    lease: timedelta
    keep_containers: bool = False
    capacity: Capacity | None = None
    disk_reserve: int = 0
    """Free bytes of the data disk below which what writes is ended."""
    attestation_id: int | None = None
    """The attack on this host that the executions stand on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One admitted request with its bounds and the handle that stops it."""

    execution_id: str
    request: ExecutionRequest
    limits: Limits
    control: Control
    ticket: Ticket
    queued_at: float
    """Monotonic seconds."""
    on_output: OnOutput | None = None
