"""One execution from claim to commit: edges b to e of the state machine, as one function over ports."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from orchestrator.domain.files import Harvest, Manifest, StoredFile
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import SIGKILL_EXIT, ExitStatus, KillReason
from orchestrator.domain.results import ExecutionRequest, ExecutionResult
from orchestrator.domain.sandbox import RUNNER_CONTRACT, ImageInfo, Mount, SandboxSpec
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import LeaseLost, SandglassError
from orchestrator.lifecycle.ports import Clock, Engine, Executions, Files, Sandbox, Workspaces
from orchestrator.lifecycle.report import Phases, describe, never_ran
from orchestrator.lifecycle.slots import Ticket
from orchestrator.lifecycle.supervise import Control, OnOutput, Supervision

_OWNER_BUSY_POLL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The collaborators of an execution, as `orchestrator.app` wires them."""

    engine: Engine
    executions: Executions
    files: Files
    workspaces: Workspaces
    clock: Clock
    image: ImageInfo
    runtime: str
    instance: str
    holder: str
    lease: timedelta
    keep_containers: bool = False


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


class Run:
    """The life of one job from the queue on; `to_the_end()` is called once."""

    def __init__(self, world: World, job: Job) -> None:
        self._world = world
        self._job = job
        self._state = State.QUEUED
        self._sandbox: Sandbox | None = None
        self._inputs: Sequence[StoredFile] = ()
        self._phases = Phases(clock=world.clock, queued_at=job.queued_at)

    async def to_the_end(self) -> ExecutionResult:
        """Claim, prepare, run, harvest, commit; a fault is raised after the row says FAILED and why."""
        lease = asyncio.create_task(self._keep_lease())
        try:
            await self._turn()
            if not await self._claim():
                return await self._cancelled()
            before = await self._prepare()
            if self._job.control.stopped.is_set() or not await self._begin():
                return await self._cancelled()
            return await self._run_and_harvest(before)
        except LeaseLost as error:
            if (taken_out := await self._taken_out()) is not None:
                return taken_out
            await self._fail(str(error))
            raise
        except SandglassError as error:
            await self._fail(str(error))
            raise
        except BaseException as error:
            await self._fail(f"Unexpected {type(error).__name__}; this is a defect, please report it.")
            raise
        finally:
            lease.cancel()

    async def clean_up(self) -> None:
        """Remove the container and the staged inputs; called after the commit, off the caller's path."""
        if self._sandbox is not None and not self._world.keep_containers:
            with suppress(SandglassError):  # the reaper removes a container whose row is terminal
                await self._sandbox.remove()
        await self._world.workspaces.unstage(self._job.execution_id)

    async def _turn(self) -> None:
        """Return when the slot is ours or the job was stopped, whichever comes first."""
        granted = asyncio.ensure_future(self._job.ticket.granted.wait())
        stopped = asyncio.ensure_future(self._job.control.stopped.wait())
        try:
            await asyncio.wait((granted, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            granted.cancel()
            stopped.cancel()

    async def _claim(self) -> bool:
        world, job = self._world, self._job
        while not job.control.stopped.is_set():
            claimed = await world.executions.claim(
                job.execution_id,
                holder=world.holder,
                until=world.clock.now() + world.lease,
                image=world.image.digest,
                runtime=world.runtime,
            )
            if claimed:
                self._state = State.PREPARING
                self._phases.claimed()
                return True
            await asyncio.sleep(_OWNER_BUSY_POLL)
        return False

    async def _prepare(self) -> Manifest:
        world, job = self._world, self._job
        owner = job.request.owner
        self._inputs = await world.files.visible(owner, job.request.user_files)
        workspace, uid = await world.workspaces.open(owner)
        staged = await world.workspaces.stage(job.execution_id, owner, self._inputs)
        mounts = (
            Mount(source=workspace, target="/workspace", read_only=False),
            Mount(source=staged, target="/inputs", read_only=True),
        )
        spec = SandboxSpec(
            execution_id=job.execution_id,
            owner=owner,
            uid=uid,
            image=world.image.digest,
            runtime=world.runtime,
            limits=job.limits,
            mounts=mounts,
            instance=world.instance,
        )
        creating = asyncio.create_task(world.engine.create(spec))
        surveying = asyncio.create_task(world.workspaces.survey(owner, job.limits))
        await asyncio.wait((creating, surveying))
        if creating.exception() is None:
            self._sandbox = creating.result()
        creating.result()
        return surveying.result()

    async def _begin(self) -> bool:
        """`PREPARING -> RUNNING`; False where another process has noted a kill before."""
        assert self._sandbox is not None  # _prepare has made it
        try:
            await self._move(
                State.RUNNING,
                started_at=self._world.clock.now(),
                container_id=self._sandbox.container_id,
                input_file_ids=[file.file_id for file in self._inputs],
            )
        except LeaseLost:
            if not await self._kill_noted():
                raise
            return False
        self._phases.acquired()
        return True

    async def _kill_noted(self) -> bool:
        """Make the reason that another process noted in the row ours; False where there is none."""
        reason = await self._world.executions.kill_noted(self._job.execution_id)
        if reason is not None:
            self._job.control.stop(reason)
        return reason is not None

    async def _taken_out(self) -> ExecutionResult | None:
        """What another process committed when it took this one out of the queue."""
        with suppress(SandglassError):
            row = await self._world.executions.get(self._job.execution_id)
            if row.state is State.CANCELLED:
                self._state = row.state
                return row.result
        return None

    async def _run_and_harvest(self, before: Manifest) -> ExecutionResult:
        world, job, sandbox = self._world, self._job, self._sandbox
        assert sandbox is not None  # _prepare has made it
        supervision = Supervision(sandbox, job.limits, job.control, job.on_output)
        status = await supervision.run(self._request_line())
        self._phases.died()
        if status.exit_code == SIGKILL_EXIT and job.control.reason is None:
            await self._kill_noted()
        await self._move(State.HARVESTING)
        harvest = await world.workspaces.harvest(job.request.owner, before, job.limits)
        self._phases.harvested()
        if harvest.disk_full:
            status = replace(status, disk_full=True)
        result = self._result(status, supervision, harvest)
        await self._commit(result, harvest, State.COMPLETED)
        return result

    def _result(self, status: ExitStatus, supervision: Supervision, harvest: Harvest) -> ExecutionResult:
        return describe(
            execution_id=self._job.execution_id,
            owner=self._job.request.owner,
            limits=self._job.limits,
            status=status,
            reason=self._job.control.reason,
            stdout=supervision.stdout,
            stderr=supervision.stderr,
            harvest=harvest,
            timings=self._phases.timings(),
            image=self._world.image.digest,
            runtime=self._world.runtime,
            warm=False,
        )

    async def _cancelled(self) -> ExecutionResult:
        result = never_ran(
            execution_id=self._job.execution_id,
            owner=self._job.request.owner,
            limits=self._job.limits,
            reason=self._job.control.reason or KillReason.CANCEL,
            timings=self._phases.timings(),
            image=self._world.image.digest,
            runtime=self._world.runtime,
        )
        await self._commit(result, Harvest(files=(), skipped=()), State.CANCELLED)
        return result

    async def _commit(self, result: ExecutionResult, harvest: Harvest, end: State) -> None:
        await asyncio.shield(
            self._world.executions.commit(
                result, harvest, old=self._state, new=end, holder=self._world.holder
            )
        )
        self._state = end

    async def _move(
        self, new: State, *, input_file_ids: Sequence[str] | None = None, **changes: object
    ) -> None:
        await self._world.executions.move(
            self._job.execution_id,
            self._state,
            new,
            holder=self._world.holder,
            input_file_ids=input_file_ids,
            lease_expires_at=self._world.clock.now() + self._world.lease,
            **changes,
        )
        self._state = new

    async def _fail(self, sentence: str) -> None:
        if self._sandbox is not None:
            with suppress(SandglassError):  # a dead engine cannot kill; the reaper will
                await self._sandbox.kill()
        if not self._state.is_terminal:
            with suppress(SandglassError):  # the index may be what failed; the lease then lapses
                await self._move(State.FAILED, failure=sentence, finished_at=self._world.clock.now())

    async def _keep_lease(self) -> None:
        world, job = self._world, self._job
        while True:
            await asyncio.sleep(world.lease.total_seconds() / 3)
            try:
                await world.executions.renew(job.execution_id, world.holder, world.clock.now() + world.lease)
            except LeaseLost:
                job.control.stop(KillReason.OPERATOR)
                return
            except SandglassError:
                continue  # the index may be busy, and two thirds of the lease are left

    def _request_line(self) -> bytes:
        request = {
            "contract": RUNNER_CONTRACT,
            "code": self._job.request.code,
            "inputs": [file.model_dump(mode="json") for file in self._inputs],
            "argv": [],
            "namespace": None,
        }
        return json.dumps(request).encode("ascii") + b"\n"
