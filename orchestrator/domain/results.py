"""The request and the result of one execution, in the names that programs rely on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.files import SkippedFile, StoredFile
from orchestrator.domain.outcomes import KillReason, Outcome
from orchestrator.domain.sandbox import SandboxKind, Survey
from orchestrator.domain.states import ExecutionState


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionRequest:
    """What a caller asks for. `user_files` None means every live file of the owner."""

    code: str
    owner: str
    user_files: Sequence[str] | None = None
    timeout: float | None = None


class Timings(BaseModel):
    """Seconds per phase, measured by the orchestrator outside the sandbox."""

    model_config = ConfigDict(frozen=True)

    queued: float = 0.0
    acquire: float = 0.0
    run: float = 0.0
    harvest: float = 0.0
    total: float = 0.0


class ExecutionResult(BaseModel):
    """What one execution gave back; the JSON of section 7 of the design."""

    model_config = ConfigDict(frozen=True)

    execution_id: str
    owner: str
    success: bool
    outcome: Outcome
    exit_code: int | None
    hint: str | None
    output: str
    error: str
    output_bytes: int
    error_bytes: int
    truncated: bool
    execution_time: float
    timings: Timings
    warm: bool
    generated_files: tuple[StoredFile, ...]
    generated_file_ids: tuple[str, ...]
    skipped_files: tuple[SkippedFile, ...]
    installed_packages: tuple[str, ...] = ()
    failed_packages: tuple[str, ...] = ()
    image: str
    runtime: str


class Execution(BaseModel):
    """One row of the index: where the execution is and, at the end, what happened."""

    model_config = ConfigDict(frozen=True)

    execution_id: str
    owner: str
    state: ExecutionState
    code: str
    user_files: tuple[str, ...] | None = None
    timeout: float | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str | None = None
    lease_holder: str | None = None
    lease_expires_at: datetime | None = None
    image: str | None = None
    runtime: str | None = None
    input_file_ids: tuple[str, ...] = ()
    failure: str | None = None
    """The sentence of the fault, where the state is FAILED or LOST."""
    result: ExecutionResult | None = None
    kill_reason: KillReason | None = None
    """Why somebody, in whichever process, wants it dead; noted before the kill."""
    memory: int | None = None
    """Bytes that it may take, known from its claim on."""
    attestation_id: int | None = None
    """The attack on the host that it stands on; None where the host was not attacked."""

    def runs_in(self, container: Survey) -> bool:
        """Whether the container was made for this execution, or is the standby that its code was given to."""
        if container.kind is SandboxKind.STANDBY:
            return self.container_id == container.container_id
        return container.kind is SandboxKind.EXECUTION and self.execution_id == container.execution_id
