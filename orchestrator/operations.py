"""The operator's questions to an installation: who is alive, under which lockdown, and at what cost."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.domain.attestation import Attestation
from orchestrator.domain.operations import (
    Inspection,
    LiveSandbox,
    Logs,
    Population,
    RecordedInput,
    Sample,
    Usage,
    User,
    Waiting,
)
from orchestrator.domain.results import Execution
from orchestrator.domain.sandbox import Mount, SandboxKind, SandboxSpec, Stream, Survey
from orchestrator.domain.states import ExecutionState
from orchestrator.errors import EngineFault, InvalidRequest
from orchestrator.lifecycle.ports import Clock, Engine, Inspectable
from orchestrator.settings import Settings
from orchestrator.storage.attestations import SqlAttestations
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.users import SqlUsers
from orchestrator.storage.workspaces import DirectoryWorkspaces

_POLL = 0.1
_END_SECONDS = 30.0
"""How long a dead container's files may take to be stored, until its end is not waited for."""
SAMPLE_SECONDS = 0.5
"""Between the two samples that tell how much cpu is used now."""


class Operations:
    """Reads, and changes nothing."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        engine: Engine,
        executions: SqlExecutions,
        users: SqlUsers,
        workspaces: DirectoryWorkspaces,
        attestations: SqlAttestations,
        instance: str,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._engine = engine
        self._executions = executions
        self._users = users
        self._workspaces = workspaces
        self._attestations = attestations
        self._instance = instance

    async def population(self, *, dead: bool = False) -> Population:
        """Containers of ours that are alive, `dead` ones too if asked, and the queue of every process."""
        now = self._clock.now()
        surveyed = await self._engine.survey(self._instance)
        unfinished = await self._executions.unfinished()
        sandboxes = []
        for one in sorted(surveyed, key=lambda survey: survey.created_at):
            if not dead and one.status not in {"created", "running", "paused"}:
                continue
            row = next((row for row in unfinished if row.runs_in(one)), None)
            state = row.state if row else await self._state(one.execution_id)
            sandboxes.append(
                LiveSandbox(
                    container_id=one.container_id,
                    execution_id=row.execution_id if row else one.execution_id,
                    owner=one.owner,
                    kind=one.kind,
                    status=one.status,
                    state=state,
                    age=max(0.0, (now - one.created_at).total_seconds()),
                )
            )
        queue = tuple(
            Waiting(
                execution_id=row.execution_id,
                owner=row.owner,
                position=position,
                waited=max(0.0, (now - row.created_at).total_seconds()),
            )
            for position, row in enumerate(in_turns(unfinished), 1)
        )
        return Population(sandboxes=tuple(sandboxes), queue=queue)

    async def position(self, row: Execution) -> int:
        """The place in the queue of every process, from 1; 0 for one that does not wait."""
        if row.state is not ExecutionState.QUEUED:
            return 0
        queue = [one.execution_id for one in in_turns(await self._executions.unfinished())]
        return queue.index(row.execution_id) + 1 if row.execution_id in queue else 0

    async def attestation(self, row: Execution) -> Attestation | None:
        """The attack on the host that an execution stands on; None where the host was not attacked."""
        return None if row.attestation_id is None else await self._attestations.get(row.attestation_id)

    async def inspect(self, execution_id: str) -> Inspection:
        """One execution by id or unique prefix, its container's effective lockdown beside the wished one."""
        row = await self._executions.find(execution_id)
        bare = Inspection(
            execution=row, container_id=None, lockdown=None, attestation=await self.attestation(row)
        )
        container = await self._container(row)
        if container is None:
            return bare
        users = await self._users.list(self._clock.now(), row.owner)
        try:
            spec = self._spec(row, container, users[0].uid)
            reading = await self._inspectable.lockdown(container.container_id, spec)
        except EngineFault:
            if await self._container(row) is not None:
                raise
            return bare  # it has ended since
        return replace(bare, container_id=container.container_id, lockdown=reading)

    async def logs(self, execution_id: str) -> Logs:
        """The output kept of a finished execution; of one under way there is none yet, and `note` says so."""
        row = await self._executions.find(execution_id)
        note = None
        if not row.state.is_terminal:
            note = (
                f"Execution {row.execution_id} is {row.state}: its output is with the process that runs it "
                "and is kept when it ends; `sandglass logs -f` follows it."
            )
        elif row.result is None or row.state is ExecutionState.LOST:
            note = row.failure or "Nothing was kept of this execution."
        return Logs(
            execution_id=row.execution_id,
            state=row.state,
            output=row.result.output if row.result else "",
            error=row.result.error if row.result else "",
            truncated=bool(row.result and row.result.truncated),
            note=note,
        )

    async def follow(self, execution_id: str) -> AsyncGenerator[tuple[Stream, bytes]]:
        """What an execution prints from now on, whichever process runs it; waits for its start and its end.

        Nothing of one that has ended. Whoever iterates must not stop for long, or the program is held up.
        """
        row = await self._executions.find(execution_id)
        while row.state in {ExecutionState.QUEUED, ExecutionState.PREPARING}:
            await asyncio.sleep(_POLL)
            row = await self._executions.get(row.execution_id)
        if row.state is ExecutionState.RUNNING and row.container_id is not None:
            try:
                async for piece in self._inspectable.follow(row.container_id):
                    yield piece
            except EngineFault:
                if await self._container(row) is not None:
                    raise
        until = self._clock.monotonic() + _END_SECONDS
        while not row.state.is_terminal and self._clock.monotonic() < until:
            await asyncio.sleep(_POLL)
            row = await self._executions.get(row.execution_id)

    async def stats(self) -> Sequence[Usage]:
        """Cpu, memory and pids of every running sandbox; takes `SAMPLE_SECONDS`."""
        running = [one for one in await self._engine.survey(self._instance) if one.status == "running"]
        before = await self._samples(running)
        began = self._clock.monotonic()
        await asyncio.sleep(SAMPLE_SECONDS if running else 0)
        after = await self._samples(running)
        passed = max(self._clock.monotonic() - began, 1e-3)
        return [
            Usage(
                execution_id=one.execution_id,
                owner=one.owner,
                container_id=one.container_id,
                cpu=max(0.0, (last.cpu_seconds - first.cpu_seconds) / passed),
                memory=last.memory,
                memory_limit=last.memory_limit,
                pids=last.pids,
            )
            for one, first, last in zip(running, before, after, strict=True)
            if first is not None and last is not None
        ]

    async def users(self) -> Sequence[User]:
        """Every owner with a workspace, in figures."""
        return await self._users.list(self._clock.now())

    async def user(self, owner: str) -> User:
        """One owner in figures; raises `InvalidRequest` for one that never ran anything."""
        found = await self._users.list(self._clock.now(), owner)
        if not found:
            raise InvalidRequest(
                f"Nobody called {owner[:64]!r} has a workspace here: see `sandglass users ls`."
            )
        return found[0]

    async def inputs(self, execution_id: str) -> Sequence[RecordedInput]:
        """What an execution was given, with the hashes of then."""
        return await self._users.inputs(execution_id)

    @property
    def _inspectable(self) -> Inspectable:
        if isinstance(self._engine, Inspectable):
            return self._engine
        raise InvalidRequest("This engine cannot be looked into: use the Docker Engine.")

    async def _state(self, execution_id: str) -> ExecutionState | None:
        found = await self._executions.states([execution_id])
        return found.get(execution_id)

    async def _container(self, row: Execution) -> Survey | None:
        surveyed = await self._engine.survey(self._instance)
        return next((one for one in surveyed if row.runs_in(one)), None)

    async def _samples(self, running: Sequence[Survey]) -> list[Sample | None]:
        async def sample(one: Survey) -> Sample | None:
            try:
                return await self._inspectable.sample(one.container_id)
            except EngineFault:
                return None  # it has ended since

        return await asyncio.gather(*(sample(one) for one in running))

    def _spec(self, row: Execution, container: Survey, uid: int) -> SandboxSpec:
        """What the settings of now ask for; the process that runs it may have had others."""
        staged: Path = self._settings.data_dir / "staging" / container.execution_id
        return SandboxSpec(
            execution_id=container.execution_id,
            owner=row.owner,
            uid=uid,
            image=row.image or "",
            runtime=row.runtime or self._settings.runtime,
            limits=self._settings.limits(row.timeout),
            mounts=(
                Mount(source=self._workspaces.path(row.owner), target="/workspace", read_only=False),
                Mount(source=staged, target="/inputs", read_only=True),
            ),
            instance=self._instance,
            kind=container.kind,
            warm=container.kind is SandboxKind.STANDBY,
            holder=container.holder,
        )


def in_turns(unfinished: Sequence[Execution]) -> list[Execution]:
    """Those that wait, oldest first within an owner, owners in turn; who runs one now comes a round later."""
    rounds: Counter[str] = Counter(row.owner for row in unfinished if row.state is not ExecutionState.QUEUED)
    queue: list[tuple[int, int, Execution]] = []
    for row in unfinished:
        if row.state is ExecutionState.QUEUED:
            queue.append((rounds[row.owner], len(queue), row))
            rounds[row.owner] += 1
    return [row for _, _, row in sorted(queue, key=lambda one: one[:2])]
