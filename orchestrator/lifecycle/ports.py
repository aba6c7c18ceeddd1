"""What the lifecycle needs of the world, as Protocols; the adapters are handed in by `orchestrator.app`."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from orchestrator.domain.files import Harvest, Manifest, Space, StoredFile
from orchestrator.domain.limits import Capacity, Limits
from orchestrator.domain.operations import LockdownReading, Sample
from orchestrator.domain.outcomes import ExitStatus, KillReason
from orchestrator.domain.results import Execution, ExecutionRequest, ExecutionResult
from orchestrator.domain.sandbox import ImageInfo, SandboxSpec, Stream, Survey
from orchestrator.domain.states import ExecutionState


class Clock(Protocol):
    """Aware UTC and a monotonic counter; injected everywhere, so that tests can move it."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Sandbox(Protocol):
    """One created container whose lockdown was verified; used once."""

    @property
    def container_id(self) -> str: ...

    @property
    def has_ended(self) -> bool:
        """True for a started one that is known to be dead, or can no longer be followed."""
        ...

    async def start(self) -> None: ...

    async def ready(self, timeout: float) -> None:
        """Return when the runner of a warm one waits for its request; `EngineFault` if it does not."""
        ...

    async def hand_over(self, request: bytes) -> None:
        """Write the runner's one request line and close stdin."""
        ...

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Yield pieces of both streams as they come, until the container closes them."""
        ...

    async def wait(self) -> ExitStatus:
        """Return when the container is dead, with the engine's evidence."""
        ...

    async def kill(self) -> None:
        """SIGKILL; no error when it is dead already."""
        ...

    async def remove(self) -> None:
        """Remove the container; no error when it is gone already."""
        ...


class Engine(Protocol):
    """A container engine."""

    async def image(self) -> ImageInfo:
        """The pinned image; raises `ImageMissing`, `ImageMismatch` or `EngineUnavailable`."""
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Create, attach and verify a container; on a difference it is removed, `LockdownMismatch` raised."""
        ...

    async def survey(self, instance: str) -> Sequence[Survey]:
        """Every container of this installation, running or not."""
        ...

    async def kill(self, container_id: str) -> None:
        """SIGKILL by id; no error when it is dead or gone already."""
        ...

    async def remove(self, container_id: str) -> None:
        """Kill and remove by id; no error when it is gone already."""
        ...


@runtime_checkable
class Inspectable(Engine, Protocol):
    """An engine that can be looked into."""

    async def lockdown(self, container_id: str, spec: SandboxSpec) -> LockdownReading:
        """A container's lockdown as the engine has it, beside the one that `spec` asks for."""
        ...

    async def image_of(self, digest: str) -> ImageInfo:
        """An image that it still has, by digest; raises `ImageMissing` or `ImageMismatch`."""
        ...

    def follow(self, container_id: str) -> AsyncIterator[tuple[Stream, bytes]]:
        """What a running container prints from now on, beside whoever supervises it, until it ends."""
        ...

    async def sample(self, container_id: str) -> Sample:
        """What a container uses now."""
        ...


class Executions(Protocol):
    """The rows of executions; every change of state is compare-and-set."""

    async def add(
        self, execution_id: str, request: ExecutionRequest, *, holder: str, until: datetime
    ) -> Execution:
        """Write the row in QUEUED, leased to `holder`, so that the waiting of a dead process are found."""
        ...

    async def claim(
        self,
        execution_id: str,
        *,
        holder: str,
        until: datetime,
        image: str,
        runtime: str,
        memory: int = 0,
        capacity: Capacity | None = None,
        attestation_id: int | None = None,
    ) -> bool:
        """`QUEUED -> PREPARING`; False while the owner has another one past its claim, in any process.

        False as well while those past their claim leave no room in `capacity` for one more of `memory` bytes.
        """
        ...

    async def get(self, execution_id: str) -> Execution: ...

    async def move(
        self,
        execution_id: str,
        old: ExecutionState,
        new: ExecutionState,
        *,
        holder: str | None = None,
        input_file_ids: Sequence[str] | None = None,
        **changes: object,
    ) -> None:
        """`old -> new` with column changes; `LeaseLost` when the row is no longer in `old` or ours."""
        ...

    async def renew(self, execution_id: str, holder: str, until: datetime) -> None: ...

    async def commit(
        self,
        result: ExecutionResult,
        harvest: Harvest,
        *,
        old: ExecutionState,
        new: ExecutionState,
        holder: str,
        failure: str | None = None,
    ) -> None:
        """File rows, result and terminal state in one transaction, or `LeaseLost` and nothing."""
        ...

    async def note_kill(self, execution_id: str, reason: KillReason) -> bool:
        """Compare-and-set on a row that is PREPARING or RUNNING; from then on it cannot become RUNNING."""
        ...

    async def kill_noted(self, execution_id: str) -> KillReason | None: ...

    async def unfinished(self) -> Sequence[Execution]:
        """Every row that is not terminal, oldest first."""
        ...

    async def take_over(self, execution: Execution, *, holder: str, until: datetime) -> bool:
        """Become the holder of an unfinished row, compare-and-set on state and lease; False if it moved."""
        ...


class Workspaces(Protocol):
    """The owners' directories on this host."""

    async def open(self, owner: str) -> tuple[Path, int]:
        """The owner's workspace and uid, made on first use."""
        ...

    async def survey(self, owner: str, limits: Limits) -> Manifest: ...

    async def usage(self, owner: str, limits: Limits, bound: Space) -> Space:
        """What the workspace takes up while a program may be changing it; past `bound` it need not be all."""
        ...

    async def room(self) -> Space:
        """What is free on the disk of the workspaces; no inodes where it does not count them."""
        ...

    async def stage(self, execution_id: str, owner: str, files: Sequence[StoredFile]) -> Path:
        """A new directory with `<file_id>/<filename>` for each file, to be mounted read-only at /inputs."""
        ...

    async def fill(self, standby_id: str, owner: str, files: Sequence[StoredFile]) -> None:
        """Put the files into a directory that was staged empty and is mounted; a fault if it is gone."""
        ...

    async def unstage(self, execution_id: str) -> None: ...

    async def harvest(self, owner: str, before: Manifest, limits: Limits) -> Harvest:
        """Write blobs of what is new or changed; the rows come with `Executions.commit`."""
        ...

    async def staged(self) -> Sequence[str]:
        """The ids, of executions and of standbys, that have a staging directory."""
        ...


class Files(Protocol):
    """The index of an owner's live files."""

    async def visible(self, owner: str, refs: Sequence[str] | None) -> Sequence[StoredFile]:
        """The files that an execution may see, newest first; an unknown ref is `FileNotFoundOrExpired`."""
        ...
