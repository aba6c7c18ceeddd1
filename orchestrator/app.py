"""The composition root: the only room that knows engine, storage and lifecycle together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from orchestrator.clock import SystemClock
from orchestrator.domain.attestation import Attestation
from orchestrator.domain.files import OnSweep, StoredFile, SweepReport
from orchestrator.domain.limits import Limits
from orchestrator.domain.operations import Replay
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.results import Execution, ExecutionRequest, ExecutionResult
from orchestrator.domain.sandbox import ImageInfo
from orchestrator.domain.status import Bounds, InterpreterStatus
from orchestrator.engine.docker import DockerEngine
from orchestrator.errors import (
    ConfigurationError,
    ExecutionNotFound,
    InvalidRequest,
    SandglassError,
    StorageFault,
)
from orchestrator.host import capacity_of, check_disk, prepare_data_dir, standbys_of
from orchestrator.lifecycle.acquire import specify
from orchestrator.lifecycle.attest import Attestor, require
from orchestrator.lifecycle.holder import this_process
from orchestrator.lifecycle.listen import OnOutput
from orchestrator.lifecycle.ports import Clock, Engine
from orchestrator.lifecycle.probe import Target
from orchestrator.lifecycle.rate import RateLimit
from orchestrator.lifecycle.reap import ReapReport, reap
from orchestrator.lifecycle.run import Run
from orchestrator.lifecycle.slots import Slots, Ticket
from orchestrator.lifecycle.standby import Standbys
from orchestrator.lifecycle.stop import stop_elsewhere
from orchestrator.lifecycle.supervise import Control
from orchestrator.lifecycle.world import Job, World
from orchestrator.links import Links
from orchestrator.operations import Operations
from orchestrator.replay import choose_image, choose_inputs, compare_replay
from orchestrator.requests import checked_execution_id, checked_owner, checked_request
from orchestrator.settings import Settings
from orchestrator.storage.attestations import SqlAttestations
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.files import SqlFiles
from orchestrator.storage.loop import LoopImages
from orchestrator.storage.sweep import Sweeper
from orchestrator.storage.users import SqlUsers
from orchestrator.storage.workspaces import DirectoryWorkspaces

log = structlog.get_logger(__name__)

_FIRST_SWEEP = 60.0
"""Seconds after the start: a short command should not pay for it, a service has time."""


class Orchestrator:
    """Runs code for owners and keeps their files; made by `open_orchestrator`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        engine: Engine,
        database: Database,
        *,
        instance: str,
        holder: str,
        maintained: bool = False,
    ) -> None:
        data = settings.data_dir
        self.settings = settings
        self.database = database
        self.engine = engine
        self._clock = clock
        self._instance = instance
        self._blobs = DirectoryBlobs(data / "blobs")
        self._executions = SqlExecutions(database, clock)
        self._files = SqlFiles(database, self._blobs, clock, settings.ttl, settings.max_file_bytes)
        self._workspaces = DirectoryWorkspaces(
            data / "workspaces",
            data / "staging",
            database,
            self._blobs,
            clock,
            settings.ttl,
            settings.uid_base,
            images=LoopImages(
                data / "images",
                data / "workspaces",
                settings.limits(),
                makes_new=settings.workspace_backend == "loop",
            ),
        )
        attestations = SqlAttestations(database)
        self.operations = Operations(
            settings=settings,
            clock=clock,
            engine=engine,
            executions=self._executions,
            users=SqlUsers(database),
            attestations=attestations,
            workspaces=self._workspaces,
            instance=instance,
        )
        self._links = Links(self._files, clock, data / "link-secret", settings.public_url)
        self._sweeper = Sweeper(database, self._blobs, self._workspaces, clock, settings.ttl)
        self._capacity = capacity_of(settings)
        self._slots = Slots(self._capacity.slots, settings.queue_limit, self._capacity.memory)
        self._rate = RateLimit(settings.rate_per_minute, clock)
        self._standbys = Standbys(
            engine=engine,
            workspaces=self._workspaces,
            clock=clock,
            holder=holder,
            bounds=standbys_of(settings),
            at_once=self._slots.total,
            is_pressed=lambda: self._slots.queued > 0,
            reserve=self._slots.reserve,
        )
        self._slots.on_pressure.append(self._standbys.evict)
        self._controls: dict[str, Control] = {}
        self._tickets: dict[str, Ticket] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._holder = holder
        self._world: World | None = None
        self._attestor = Attestor(attestations, clock, host=holder.partition("/")[0])
        self._attesting = asyncio.Lock()
        self._maintained = maintained
        self._is_closing = False
        self._maintenance: asyncio.Task[None] | None = None

    @property
    def bounds(self) -> Bounds:
        """What is not worth trying: the settings that a caller, wherever he is, has to know."""
        settings = self.settings
        return Bounds(
            max_file_bytes=settings.max_file_bytes,
            timeout=settings.timeout,
            max_timeout=settings.max_timeout,
            file_ttl_hours=settings.file_ttl_hours,
        )

    async def execute_code(
        self,
        code: str,
        user_id: str | int,
        user_files: Sequence[str] | None = None,
        timeout: float | None = None,
        *,
        on_output: OnOutput | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Run `code` in a fresh container and return what it printed and made.

        `user_files` are file ids or names of the owner's files to be visible in /inputs, None for all;
        `timeout` is wall seconds; `on_output(stream, piece)` is called with raw bytes as they come.
        A failing program is a result. Raises `Refused` for a bad request and `Fault` when we or the
        engine failed. Cancelling the awaiting task kills the container, keeps its files, then goes on.
        """
        request = checked_request(code, user_id, user_files, timeout, max_timeout=self.settings.max_timeout)
        return await self._execute(request, on_output=on_output, execution_id=execution_id)

    async def _execute(
        self,
        request: ExecutionRequest,
        *,
        on_output: OnOutput | None,
        execution_id: str | None = None,
        image: ImageInfo | None = None,
    ) -> ExecutionResult:
        limits = self.settings.limits(request.timeout)
        chosen_id = self._free_id(execution_id)
        ticket = self._admit(request.owner, limits)  # before anything is awaited: this is the owner's order
        job = Job(
            execution_id=chosen_id,
            request=request,
            limits=limits,
            control=Control(),
            ticket=ticket,
            queued_at=self._clock.monotonic(),
            on_output=on_output,
        )
        self._controls[job.execution_id] = job.control
        self._tickets[job.execution_id] = job.ticket
        try:
            world = await self._fit_world(image)
        except BaseException:
            self._forget(job)
            raise
        running = self._in_background(self._run(world, job))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            job.control.stop(KillReason.CANCEL)
            with suppress(SandglassError):  # the row says what happened; the cancellation goes on
                await asyncio.shield(running)
            raise

    async def attest(self, *, force: bool = False) -> Attestation:
        """What attacks on this host have shown, made now where nothing is known of it as it is, or `force`.

        Takes about 2 s when it attacks, else nothing or one look into the index. Raises the engine's faults.
        """
        return await self._attest((await self.engine.image()).digest, force=force)

    async def require_host(self) -> None:
        """For whoever starts a service: raise now what would refuse every execution.

        `HostUnsafe` where an attack on this host gets through, and the faults of an engine that is away or
        lacks the image. A disk that is full may be less so later, and its files can be had meanwhile.
        """
        await self._attested_world()

    async def _attest(self, image: str, *, force: bool = False) -> Attestation:
        if not isinstance(self.engine, DockerEngine):
            raise ConfigurationError("An engine that is handed in is not attacked: use the Docker Engine.")
        target = Target(
            engine=self.engine,
            image=image,
            runtime=self.settings.runtime,
            limits=self.settings.limits(),
            instance=self._instance,
            uid=self.settings.uid_base - 1,
            directory=self.settings.data_dir / "probes",
        )
        async with self._attesting:
            return await self._attestor.attest(target, identity=await self.engine.identity(), force=force)

    async def position(self, execution_id: str) -> int:
        """How many executions have their turn up to and with this one, at the latest; 0 once it has had it.

        Of one that waits in another process, by what the index says. Raises `ExecutionNotFound`.
        """
        ticket = self._tickets.get(execution_id)
        if ticket is not None and ticket.position:
            return ticket.position
        try:
            # With its turn here it may still wait for what other processes run.
            return await self.operations.position(await self._executions.get(execution_id))
        except ExecutionNotFound:
            if ticket is None:
                raise
            return 0

    async def cancel(self, execution_id: str) -> bool:
        """Kill it, or take it out of the queue, whichever process runs it; False when it is not under way."""
        try:
            return await self._stop(execution_id, KillReason.CANCEL)
        except ExecutionNotFound:
            return False

    async def kill(self, execution_id: str) -> bool:
        """As `cancel`, on an operator's word: the outcome is `killed` and its files and output are kept.

        False where it had ended by itself; raises `ExecutionNotFound`.
        """
        return await self._stop(execution_id, KillReason.OPERATOR)

    async def _stop(self, execution_id: str, reason: KillReason) -> bool:
        if (control := self._controls.get(execution_id)) is not None:
            control.stop(reason)
            return True
        return await stop_elsewhere(
            execution_id,
            reason,
            engine=self.engine,
            executions=self._executions,
            clock=self._clock,
            instance=self._instance,
            limits=self.settings.limits(),
        )

    async def replay(self, execution_id: str, *, on_output: OnOutput | None = None) -> Replay:
        """Run an execution again with its code, its inputs by hash and its image, and compare.

        The image of now stands in for one that the engine has no more, and the differences say so.
        Raises `ExecutionNotFound`, and what `execute_code` raises.
        """
        original = await self._executions.find(execution_id)
        recorded = await self.operations.inputs(original.execution_id)
        chosen, changed = choose_inputs(recorded, await self._files.list(original.owner))
        image, gone = await choose_image(self.engine, original.image)
        request = checked_request(
            original.code, original.owner, chosen, original.timeout, max_timeout=self.settings.max_timeout
        )
        result = await self._execute(request, on_output=on_output, image=image)
        return compare_replay(original, result, [*changed, *gone])

    async def prewarm(self, user_id: str | int) -> bool:
        """Say that code of this owner is coming; returns True when a standby is warm and waits for it.

        False where there can be none now: the bounds, executions that wait, a disk or an engine that
        refuses. Its next execution then starts cold. Raises what `execute_code` would raise of this host.
        """
        owner = checked_owner(user_id)
        return await self._prewarm(await self._fit_world(), owner)

    async def _prewarm(self, world: World, owner: str) -> bool:
        try:
            return await self._standbys.prewarm(await specify(world, owner, self.settings.limits()))
        except SandglassError as error:
            log.warning("no standby could be made", owner=owner, error=str(error))
            return False

    async def upload_file(
        self, user_id: str | int, file_data: bytes | BinaryIO | Path, filename: str
    ) -> StoredFile:
        """Store a file of the owner; raises `FileTooLarge`."""
        await asyncio.to_thread(check_disk, self.settings)
        return await self._files.put(checked_owner(user_id), filename, file_data)

    async def list_user_files(self, user_id: str | int) -> list[StoredFile]:
        """The owner's live files, newest first."""
        return list(await self._files.list(checked_owner(user_id)))

    async def get_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """What the index says of one live file; raises `FileNotFoundOrExpired`."""
        return await self._files.get(file_id, checked_owner(user_id))

    async def load_file(self, file_id: str, user_id: str | int) -> bytes:
        """The bytes of one live file, by id or name; raises `FileNotFoundOrExpired`."""
        return await self._files.read(file_id, checked_owner(user_id))

    async def open_file(self, file_id: str, user_id: str | int) -> tuple[StoredFile, BinaryIO]:
        """One live file and its bytes, to be read in pieces and closed; raises as `load_file`."""
        return await self._files.stream(file_id, checked_owner(user_id))

    async def link(self, file_id: str, user_id: str | int, ttl: timedelta | None = None) -> str | None:
        """An address from which anybody fetches this one file, for `ttl` and never past its own end.

        None where `SANDGLASS_PUBLIC_URL` is not set. Raises `FileNotFoundOrExpired`.
        """
        return await self._links.make(file_id, checked_owner(user_id), ttl)

    async def open_link(self, token: str) -> tuple[StoredFile, BinaryIO]:
        """What the last part of such an address names, as `open_file`; raises `LinkNotFound`."""
        return await self._links.open(token)

    async def delete_user_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """Delete one live file; raises `FileNotFoundOrExpired`.

        Its copy in the workspace goes with it, or after the program that runs there now.
        """
        owner = checked_owner(user_id)
        file = await self._files.delete(file_id, owner)
        try:
            await self._sweeper.end(owner, file.file_id)
        except StorageFault as error:  # the file is deleted all the same
            log.warning("copy left to the next sweep", file_id=file.file_id, error=str(error))
        return file

    async def clear_workspace(self, user_id: str | int) -> int:
        """Remove what lies in the owner's workspace and is no stored file; returns how many files that were.

        Nothing while a program of the owner runs. Whatever is on standby for the owner here is given up.
        """
        owner = checked_owner(user_id)
        await self._standbys.dismiss(owner)
        return (await self._sweeper.clear(owner)).files

    async def extend_file(self, file_id: str, user_id: str | int, hours: float | None = None) -> StoredFile:
        """Let a file live `hours` from now, a whole lifetime where none are named; as `get_file` raises."""
        if hours is not None and not 0 < hours <= 24 * 365:
            raise InvalidRequest(
                "A file can be kept between 0 and 8760 hours longer: name a number in between."
            )
        by = None if hours is None else timedelta(hours=hours)
        return await self._files.extend(file_id, checked_owner(user_id), by)

    async def list_executions(
        self, user_id: str | int | None = None, limit: int = 50, *, before: str | None = None
    ) -> list[Execution]:
        """The newest executions first, of one owner or of all; with `before`, those older than that one.

        Raises `ExecutionNotFound` where nothing is known of `before`.
        """
        owner = None if user_id is None else checked_owner(user_id)
        return list(await self._executions.list(owner, limit, before=before))

    async def get_execution(self, execution_id: str) -> Execution:
        """One execution by id or unique prefix; raises `ExecutionNotFound`."""
        return await self._executions.find(execution_id)

    async def forget_executions(self, user_id: str | int) -> int:
        """Forget what the owner has run, code and output; returns how many executions that were.

        One that is under way is kept, as are stored files: `delete_user_file` deletes those.
        """
        return await self._executions.forget(checked_owner(user_id))

    async def get_interpreter_status(self) -> InterpreterStatus:
        """The figures of the whole installation; `image` is None while no engine answers."""
        packages: tuple[str, ...] = ()
        image = None
        with suppress(SandglassError):  # a status is wanted most of all when the engine is down
            info = await self.engine.image()
            image = info.digest
            packages = tuple(f"{package['name']}=={package['version']}" for package in info.packages)
        count, size = await self._files.totals()
        return InterpreterStatus(
            installed_packages=packages,
            package_count=len(packages),
            last_cleanup=await self._sweeper.last_sweep(),
            total_user_files=count,
            total_file_size_mb=round(size / 1_000_000, 3),
            file_expiration_hours=self.settings.file_ttl_hours,
            max_file_size_mb=self.settings.max_file_bytes / 1_000_000,
            image=image,
            runtime=self.settings.runtime,
            running=self._slots.running,
            queued=self._slots.queued,
            standby=self._standbys.count,
        )

    async def sweep(self, *, dry_run: bool = False, on_progress: OnSweep | None = None) -> SweepReport:
        """Delete what expired and reconcile index and disk; `on_progress` hears of every batch."""
        return await self._sweeper.sweep(dry_run=dry_run, on_progress=on_progress)

    async def reap(self, *, dry_run: bool = False) -> ReapReport:
        """End lost executions and remove containers that nobody needs."""
        return await reap(await self._ready_world(), self.settings.limits(), dry_run=dry_run)

    async def maintain(self) -> None:
        """Reap now and every half lease, sweep after a minute and every interval, until cancelled."""
        async with asyncio.TaskGroup() as both:  # a long sweep holds up no reaping
            both.create_task(_repeat(self.reap, self.settings.lease_seconds / 2))
            both.create_task(_repeat(self.sweep, self.settings.sweep_interval, first=_FIRST_SWEEP))

    async def close(self) -> None:
        """Stop what runs, keep its files, wait for the last removal."""
        self._is_closing = True
        for control in self._controls.values():
            control.stop(KillReason.CANCEL)
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.wait((self._maintenance,))
        await self._standbys.close()
        while self._background:
            await asyncio.wait(self._background)
        await self._standbys.close()
        await self._workspaces.close()

    async def _run(self, world: World, job: Job) -> ExecutionResult:
        try:
            until = self._clock.now() + world.lease
            await self._executions.add(job.execution_id, job.request, holder=self._holder, until=until)
            run = Run(world, job)
            try:
                return await run.to_the_end()
            finally:
                self._in_background(self._after(job, run))
        finally:
            self._forget(job)

    async def _after(self, job: Job, run: Run) -> None:
        await run.clean_up()
        if self._maintained and self.settings.standby_after_run and not self._is_closing:
            await self._prewarm(await self._ready_world(), job.request.owner)

    def _admit(self, owner: str, limits: Limits) -> Ticket:
        self._rate.check(owner)
        ticket = self._slots.enter(owner, limits.memory)
        self._rate.count(owner)
        return ticket

    def _forget(self, job: Job) -> None:
        self._controls.pop(job.execution_id, None)
        self._tickets.pop(job.execution_id, None)
        job.ticket.leave()

    async def _fit_world(self, image: ImageInfo | None = None) -> World:
        """The world, with this image if it is given, on a host that held and has room; else the refusal."""
        world = await self._attested_world(image)
        await asyncio.to_thread(check_disk, self.settings)
        return world

    async def _attested_world(self, image: ImageInfo | None = None) -> World:
        world = await self._ready_world()
        if image is not None:
            world = replace(world, image=image)
        if self.settings.attest and isinstance(self.engine, DockerEngine):
            attestation = await self._attest(world.image.digest)
            require(attestation)
            world = replace(world, attestation_id=attestation.id)
        return world

    def _in_background[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that `close` waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _free_id(self, wanted: str | None) -> str:
        execution_id = checked_execution_id(wanted)
        if execution_id in self._controls:
            raise InvalidRequest(f"The execution id {execution_id!r} is already used: choose another.")
        return execution_id

    async def _ready_world(self) -> World:
        if self._world is None:
            self._world = World(
                engine=self.engine,
                executions=self._executions,
                files=self._files,
                workspaces=self._workspaces,
                standbys=self._standbys,
                clock=self._clock,
                image=await self.engine.image(),
                runtime=self.settings.runtime,
                instance=self._instance,
                holder=self._holder,
                lease=timedelta(seconds=self.settings.lease_seconds),
                keep_containers=self.settings.keep_containers,
                capacity=self._capacity,
                disk_reserve=self.settings.disk_reserve,
            )
            if self._maintained and self._maintenance is None:
                self._maintenance = asyncio.create_task(self.maintain())
        return self._world


async def _repeat(work: Callable[[], Awaitable[object]], every: float, *, first: float = 0.0) -> None:
    """Do it after `first` seconds and `every` so many, until cancelled; a fault is logged and tried again."""
    await asyncio.sleep(first)
    while True:
        try:
            await work()
        except SandglassError as error:
            log.warning("maintenance failed", error=str(error))
        await asyncio.sleep(every)


@asynccontextmanager
async def open_orchestrator(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    engine: Engine | None = None,
    maintain: bool = True,
) -> AsyncIterator[Orchestrator]:
    """Open index, storage and engine; on leaving, running executions are cancelled and their files kept.

    The engine is first talked to when something needs it, so that files can be had while it is down.
    From then on, unless `maintain` is False, what a crash left is reaped and what expired is swept.
    """
    if settings is None:
        settings = await asyncio.to_thread(Settings.load)
    clock = clock or SystemClock()
    instance = await asyncio.to_thread(prepare_data_dir, settings.data_dir)
    holder = await asyncio.to_thread(this_process)
    database = await Database.open(settings.data_dir / "index.sqlite3")
    own_engine = None
    if engine is None:
        engine = own_engine = DockerEngine(settings.image, settings.runtime, settings.docker_host)
    orchestrator = Orchestrator(
        settings, clock, engine, database, instance=instance, holder=holder, maintained=maintain
    )
    try:
        yield orchestrator
    finally:
        await orchestrator.close()
        if own_engine is not None:
            await own_engine.close()
        await database.close()
