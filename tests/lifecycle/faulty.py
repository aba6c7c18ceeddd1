"""An engine that can be told what happens at each step, and an index that remembers every state."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestrator import Orchestrator, Settings, SystemClock
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import ExitStatus
from orchestrator.domain.results import ExecutionRequest
from orchestrator.domain.sandbox import Mount, SandboxKind, SandboxSpec
from orchestrator.domain.states import ExecutionState as State
from orchestrator.engine.fake import FAKE_DIGEST, FakeEngine, FakeSandbox
from orchestrator.storage.executions import SqlExecutions

DEAD = "another-boot/1:1:1"
"""A holder of whom nothing can be known, so that only its lease speaks."""

type Step = Callable[[SandboxSpec], Awaitable[None]]


def raising(error: BaseException) -> Step:
    """A step that fails with this error."""

    async def fail(_: SandboxSpec) -> None:
        raise error

    return fail


class FaultySandbox(FakeSandbox):
    """Does at each step what its engine was told, before the step itself."""

    def __init__(self, engine: "FaultyEngine", spec: SandboxSpec) -> None:
        super().__init__(engine, spec)
        self._told = engine

    async def start(self) -> None:
        """As told, then start."""
        await self._told.meet("start", self.spec)
        await super().start()

    async def hand_over(self, request: bytes) -> None:
        """As told, then hand over."""
        await self._told.meet("hand_over", self.spec)
        await super().hand_over(request)

    async def wait(self) -> ExitStatus:
        """Wait, then as told."""
        status = await super().wait()
        await self._told.meet("wait", self.spec)
        return status

    async def remove(self) -> None:
        """Remove, and be counted."""
        self._told.removed.append(self.spec.execution_id)
        await super().remove()


class FaultyEngine(FakeEngine):
    """`at["start"] = raising(EngineFault("..."))` makes every start fail; steps not named just happen."""

    def __init__(self) -> None:
        super().__init__(without_isolation=True)
        self.at: dict[str, Step] = {}
        self.created: list[SandboxSpec] = []
        self.removed: list[str] = []

    async def meet(self, step: str, spec: SandboxSpec) -> None:
        """Do what was told for this step."""
        if (told := self.at.get(step)) is not None:
            await told(spec)

    async def create(self, spec: SandboxSpec) -> FakeSandbox:
        """As told, then create."""
        await self.meet("create", spec)
        await super().create(spec)
        sandbox = FaultySandbox(self, spec)
        self.sandboxes[sandbox.container_id] = sandbox
        self.created.append(spec)
        return sandbox


async def settings_for(data_dir: Path, **changes: object) -> Settings:
    """Settings of one test; a disk that is nearly full is not its subject."""
    values = {"data_dir": data_dir, "disk_reserve": 0, "slots": 4, "standby_count": 0, **changes}
    return await asyncio.to_thread(Settings.load, **values)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when it holds; an error after five seconds."""
    for _ in range(500):
        if await holds():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("It did not come to hold within five seconds.")


async def until_queued(orchestrator: Orchestrator) -> None:
    """Return when an execution waits in the queue of this process."""

    async def queued() -> bool:
        return (await orchestrator.get_interpreter_status()).queued > 0

    await until(queued)


async def until_state(orchestrator: Orchestrator, execution_id: str, state: State) -> None:
    """Return when the row is there."""

    async def there() -> bool:
        found = await orchestrator.list_executions()
        return any(row.execution_id == execution_id and row.state is state for row in found)

    await until(there)


async def remember_states(orchestrator: Orchestrator) -> None:
    """Let the index write down every state that a row is in, whoever puts it there."""
    steps = (
        "CREATE TABLE seen (id TEXT, state TEXT)",
        (
            "CREATE TRIGGER seen_insert AFTER INSERT ON executions "
            "BEGIN INSERT INTO seen VALUES (new.execution_id, new.state); END"
        ),
        (
            "CREATE TRIGGER seen_update AFTER UPDATE OF state ON executions "
            "BEGIN INSERT INTO seen VALUES (new.execution_id, new.state); END"
        ),
    )
    await execute(orchestrator, *steps)


async def execute(orchestrator: Orchestrator, *statements: str) -> None:
    """Statements in one transaction of the index."""
    async with orchestrator.database.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))


async def states(orchestrator: Orchestrator, execution_id: str) -> list[str]:
    """The states of an execution in the order in which the index saw them."""
    query = sa.text("SELECT state FROM seen WHERE id = :id ORDER BY rowid")
    async with orchestrator.database.session() as connection:
        return [row.state for row in await connection.execute(query, {"id": execution_id})]


def rows(orchestrator: Orchestrator) -> SqlExecutions:
    """The rows as another process of this installation sees them."""
    return SqlExecutions(orchestrator.database, SystemClock())


def instance_of(orchestrator: Orchestrator) -> str:
    """The id of the installation."""
    return (orchestrator.settings.data_dir / "instance").read_text()


def staged_in(orchestrator: Orchestrator) -> list[str]:
    """The executions for which inputs still lie in staging."""
    staging = orchestrator.settings.data_dir / "staging"
    return sorted(path.name for path in staging.iterdir()) if staging.exists() else []


async def leave_row(
    orchestrator: Orchestrator,
    execution_id: str,
    state: State,
    *,
    owner: str = "o",
    holder: str = DEAD,
    lease: timedelta = timedelta(seconds=-1),
) -> None:
    """What a process that died in `state` leaves in the index."""
    index, until = rows(orchestrator), datetime.now(UTC) + lease
    await index.add(execution_id, ExecutionRequest(code="", owner=owner), holder=holder, until=until)
    if state is State.QUEUED:
        return
    assert await index.claim(execution_id, holder=holder, until=until, image="sha256:0", runtime="runc")
    at = State.PREPARING
    changes: dict[str, Any] = {"started_at": datetime.now(UTC)}
    for following in (State.RUNNING, State.HARVESTING):
        if at is state:
            return
        await index.move(execution_id, at, following, holder=holder, **changes)
        at, changes = following, {}


async def leave_container(
    engine: FakeEngine,
    orchestrator: Orchestrator,
    execution_id: str,
    *,
    owner: str = "o",
    instance: str | None = None,
    kind: SandboxKind = SandboxKind.EXECUTION,
) -> FakeSandbox:
    """A container that was created and never started."""
    workspace = orchestrator.settings.data_dir / "workspaces" / owner
    return await engine.create(
        SandboxSpec(
            execution_id=execution_id,
            owner=owner,
            uid=700_000,
            image=FAKE_DIGEST,
            runtime="runc",
            limits=Limits(),
            mounts=(Mount(source=workspace, target="/workspace", read_only=False),),
            instance=instance or instance_of(orchestrator),
            kind=kind,
        )
    )
