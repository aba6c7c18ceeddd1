"""One execution from claim to commit: edges b to e of the state machine, as one function over ports."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from orchestrator.domain.files import Harvest, StoredFile
from orchestrator.domain.outcomes import SIGKILL_EXIT, ExitStatus, KillReason
from orchestrator.domain.results import ExecutionResult
from orchestrator.domain.sandbox import RUNNER_CONTRACT
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import EngineFault, LeaseLost, SandglassError
from orchestrator.lifecycle.acquire import Acquired, acquire, acquire_cold
from orchestrator.lifecycle.quota import QuotaWatch
from orchestrator.lifecycle.report import Phases, describe, never_ran
from orchestrator.lifecycle.supervise import Supervision
from orchestrator.lifecycle.world import Job, World

_BUSY_POLL = 0.05
_FIRST_BYTE = 0.01
"""Seconds in which a warm program has usually said something: the index waits for it as long."""


class Run:
    """The life of one job from the queue on; `to_the_end()` is called once."""

    def __init__(self, world: World, job: Job) -> None:
        self._world = world
        self._job = job
        self._state = State.QUEUED
        self._acquired: Acquired | None = None
        self._inputs: Sequence[StoredFile] = ()
        self._handed_over_at = world.clock.now()
        self._quota: QuotaWatch | None = None
        self._phases = Phases(clock=world.clock, queued_at=job.queued_at)

    async def to_the_end(self) -> ExecutionResult:
        """Claim, prepare, run, harvest, commit; a fault is raised after the row says FAILED and why."""
        lease = asyncio.create_task(self._keep_lease())
        try:
            await self._turn()
            if not await self._claim():
                return await self._cancelled()
            acquired = self._acquired = await self._acquire()
            if self._job.control.stopped.is_set():
                return await self._cancelled()
            if acquired.standby is not None:
                if await self._hand_over_warm(acquired):
                    return await self._finish(*await self._follow_warm(acquired))
                acquired = self._acquired = await acquire_cold(self._world, self._job, self._inputs)
            if not await self._begin(self._world.clock.now()):
                return await self._cancelled()
            supervision = self._supervision(acquired)
            status = await supervision.run(self._request_line())
            return await self._finish(supervision, status)
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
        acquired = self._acquired
        if acquired is not None and not self._world.keep_containers:
            if acquired.standby is not None:
                await self._world.standbys.discard(acquired.standby)
            else:
                with suppress(SandglassError):  # the reaper removes a container whose row is terminal
                    await acquired.sandbox.remove()
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
                memory=job.limits.memory,
                capacity=world.capacity,
                attestation_id=world.attestation_id,
            )
            if claimed:
                self._state = State.PREPARING
                self._phases.claimed()
                return True
            await asyncio.sleep(_BUSY_POLL)
        return False

    async def _acquire(self) -> Acquired:
        request = self._job.request
        self._inputs = await self._world.files.visible(request.owner, request.user_files)
        return await acquire(self._world, self._job, self._inputs)

    async def _begin(self, started_at: datetime) -> bool:
        """`PREPARING -> RUNNING`; False where another process has noted a kill before."""
        assert self._acquired is not None  # _acquire has made it
        try:
            await self._move(
                State.RUNNING,
                started_at=started_at,
                container_id=self._acquired.sandbox.container_id,
                input_file_ids=[file.file_id for file in self._inputs],
            )
        except LeaseLost:
            if not await self._kill_noted():
                raise
            return False
        if self._acquired.standby is None:
            self._phases.acquired()
        return True

    async def _hand_over_warm(self, acquired: Acquired) -> bool:
        """Give the standby its request; False where it died while it waited, so that no code has run."""
        self._phases.acquired()
        self._handed_over_at = self._world.clock.now()
        try:
            await acquired.sandbox.hand_over(self._request_line())
        except EngineFault:
            assert acquired.standby is not None  # the caller has asked
            await self._world.standbys.discard(acquired.standby)
            return False
        return True

    async def _follow_warm(self, acquired: Acquired) -> tuple[Supervision, ExitStatus]:
        """The code runs already: the row follows without being waited for, so the first byte need not."""
        supervision = self._supervision(acquired)
        beginning = asyncio.create_task(self._begin_behind(acquired, supervision.heard))
        try:
            status = await supervision.follow()
        finally:
            await asyncio.wait((beginning,))
        await beginning
        return supervision, status

    async def _begin_behind(self, acquired: Acquired, heard: asyncio.Event) -> None:
        """A kill noted elsewhere ends what was just begun; so does an index that refuses."""
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), _FIRST_BYTE)
        try:
            await self._begin(self._handed_over_at)
        except BaseException:
            await asyncio.shield(acquired.sandbox.kill())
            raise

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

    def _supervision(self, acquired: Acquired) -> Supervision:
        job = self._job
        self._quota = QuotaWatch(self._world, job, acquired.before.used)
        return Supervision(acquired.sandbox, job.limits, job.control, job.on_output, self._quota.watch)

    async def _finish(self, supervision: Supervision, status: ExitStatus) -> ExecutionResult:
        """Harvest the dead container's workspace, and commit what it made with how it ended."""
        world, job, acquired = self._world, self._job, self._acquired
        assert acquired is not None  # _acquire has made it
        self._phases.died()
        if status.exit_code == SIGKILL_EXIT and job.control.reason is None:
            await self._kill_noted()
        end = State.CANCELLED
        harvesting = asyncio.ensure_future(
            world.workspaces.harvest(job.request.owner, acquired.before, job.limits)
        )
        try:
            if self._state is State.RUNNING:
                await self._move(State.HARVESTING)
                job.ticket.died()
                end = State.COMPLETED
        finally:
            await asyncio.wait((harvesting,))  # also where the row is lost: the owner's next one comes after
            failure = harvesting.exception()  # seen, where the row's own is the one that is raised
        if failure is not None:
            raise failure
        harvest = harvesting.result()
        self._phases.harvested()
        if harvest.disk_full:
            status = replace(status, disk_full=True)
        result = self._result(status, supervision, harvest)
        await self._commit(result, harvest, end)
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
            warm=self._acquired is not None and self._acquired.standby is not None,
            disk=(self._quota and self._quota.reached) or harvest.disk_limit,
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
        if self._acquired is not None:
            with suppress(SandglassError):  # a dead engine cannot kill; the reaper will
                await self._acquired.sandbox.kill()
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
