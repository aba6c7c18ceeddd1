"""Warm standbys: started containers that wait for one request of one owner, and are used once.

A standby has everything an execution's container has, its interpreter has imported what most code imports,
and it blocks on stdin. It is bounded in number, memory and idle time, and losing one costs a cold start.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog

from orchestrator.domain.files import StoredFile
from orchestrator.domain.sandbox import STANDBY_PREFIX, Mount, SandboxKind, SandboxSpec
from orchestrator.errors import SandglassError
from orchestrator.lifecycle.ports import Clock, Engine, Sandbox, Workspaces
from orchestrator.lifecycle.slots import Reservation

log = structlog.get_logger(__name__)

READY_SECONDS = 30.0
"""Longest that a standby may take until it waits for its request."""
_FIRST_GUESS = 1.0
"""Seconds that making one is taken to last, until one was made."""
_COLD_START = 0.3
"""A standby in the making that is further away than this many seconds is not waited for."""
_TAKEN_SECONDS = 900.0
"""How long after its idle time one may still be somebody's: the longest execution, and then some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many standbys there may be, with how much memory by their limits, for how many idle seconds."""

    count: int
    memory: int
    idle: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Standby:
    """A container that waits, or waited, for its one request."""

    spec: SandboxSpec
    sandbox: Sandbox

    @property
    def identity(self) -> str:
        """What its container and its staging directory are called."""
        return self.spec.execution_id

    def fits(self, wanted: SandboxSpec) -> bool:
        """Whether a container made for `wanted` would be the same; wall time is not the container's."""
        return _essence(self.spec) == _essence(wanted)


@dataclass(eq=False, kw_only=True, slots=True)
class _Place:
    """One owner's standby, in the making or waiting."""

    spec: SandboxSpec
    making: "asyncio.Task[Standby | None]"
    began: float
    wanted: float
    reservation: Reservation
    guard: "asyncio.Task[None] | None" = None
    is_ready: bool = False


@dataclass(kw_only=True, slots=True)
class Standbys:
    """The standbys of this process, at most one an owner."""

    engine: Engine
    workspaces: Workspaces
    clock: Clock
    holder: str
    bounds: Bounds
    at_once: int
    """How many are made at the same time."""
    is_pressed: Callable[[], bool]
    """Whether executions wait: then nothing is made, and what there is may have to go."""
    reserve: Callable[[str, int], Reservation | None]
    """The host's memory for an owner's standby; None where executions need it."""
    _places: dict[str, _Place] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)
    _leaving: set["asyncio.Task[Any]"] = field(default_factory=set)
    _takes: float = _FIRST_GUESS
    _turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_once)

    @property
    def count(self) -> int:
        """Standbys that wait for their request."""
        return sum(place.is_ready for place in self._places.values())

    @property
    def lifetime(self) -> timedelta:
        """Past this age a container of this kind is nobody's, unless a row names it."""
        return timedelta(seconds=self.bounds.idle + _TAKEN_SECONDS)

    def keeps(self, identity: str) -> bool:
        """Whether it is in the making, waits, or runs what it was given."""
        return identity in self._kept

    async def prewarm(self, spec: SandboxSpec) -> bool:
        """Have a standby like `spec` for its owner, and return once it is ready; False where none may be."""
        place = self._places.get(spec.owner)
        if place is not None and _essence(place.spec) != _essence(spec):
            self._drop(spec.owner)
            place = None
        if place is None:
            if self.is_pressed() or not self._make_room(spec.limits.memory):
                return False
            if (reservation := self.reserve(spec.owner, spec.limits.memory)) is None:
                return False
            place = self._begin(spec, reservation)
        place.wanted = self.clock.monotonic()
        return await _outcome(place.making) is not None

    async def take(self, wanted: SandboxSpec) -> Standby | None:
        """The owner's standby, which is then the caller's to remove; None where a cold start is better."""
        place = self._places.get(wanted.owner)
        if place is None:
            return None
        if not place.is_ready and not await self._comes_soon(place):
            self._keep_for_later(place)
            return None
        if self._places.get(wanted.owner) is not place:
            return None  # it died while we waited
        standby = place.making.result()
        if standby is None or standby.sandbox.has_ended or not standby.fits(wanted):
            self._drop(wanted.owner)
            return None
        del self._places[wanted.owner]
        if place.guard is not None:
            place.guard.cancel()
        return standby

    async def fill(self, standby: Standby, files: Sequence[StoredFile]) -> None:
        """Let it see the files at /inputs."""
        await self.workspaces.fill(standby.identity, standby.spec.owner, files)

    async def discard(self, standby: Standby) -> None:
        """Remove what was taken, used or not; the reaper takes what an engine that is away leaves."""
        with suppress(SandglassError):
            await standby.sandbox.remove()
        with suppress(SandglassError):
            await self.workspaces.unstage(standby.identity)
        self._kept.discard(standby.identity)

    def evict(self, memory: int) -> None:
        """Give up standbys, the least recently wanted first, until `memory` bytes of limits are free."""
        freed = 0
        for owner, place in sorted(self._places.items(), key=lambda item: item[1].wanted):
            if freed >= memory:
                return
            freed += place.spec.limits.memory
            self._drop(owner)

    async def dismiss(self, owner: str) -> None:
        """Remove the owner's standby of this process; its container has left the workspace on return."""
        if owner in self._places:
            await asyncio.wait((self._drop(owner),))

    async def close(self) -> None:
        """Remove every standby."""
        for owner in tuple(self._places):
            self._drop(owner)
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _make_room(self, memory: int) -> bool:
        """Let the least recently wanted go until one more is within the bounds; False where none ever is."""
        if self.bounds.count < 1 or memory > self.bounds.memory:
            return False
        held = sum(place.spec.limits.memory for place in self._places.values())
        while len(self._places) >= self.bounds.count or held + memory > self.bounds.memory:
            owner, place = min(self._places.items(), key=lambda item: item[1].wanted)
            held -= place.spec.limits.memory
            self._drop(owner)
        return True

    def _begin(self, spec: SandboxSpec, reservation: Reservation) -> _Place:
        now = self.clock.monotonic()
        spec = replace(
            spec,
            execution_id=f"{STANDBY_PREFIX}{uuid4().hex[:16]}",
            kind=SandboxKind.STANDBY,
            warm=True,
            holder=self.holder,
        )
        self._kept.add(spec.execution_id)
        making = asyncio.create_task(self._make(spec))
        place = self._places[spec.owner] = _Place(
            spec=spec, making=making, began=now, wanted=now, reservation=reservation
        )
        place.guard = asyncio.create_task(self._guard(place))
        return place

    async def _make(self, spec: SandboxSpec) -> Standby | None:
        """Stage, create, verify, start, warm; None where the engine or the disk did not let us."""
        try:
            async with self._turns:
                began = self.clock.monotonic()
                staged = await self.workspaces.stage(spec.execution_id, spec.owner, ())
                inputs = Mount(source=staged, target="/inputs", read_only=True)
                sandbox = await self.engine.create(replace(spec, mounts=(*spec.mounts, inputs)))
                standby = Standby(spec=spec, sandbox=sandbox)
                try:
                    await sandbox.start()
                    await sandbox.ready(READY_SECONDS)
                except BaseException:
                    await asyncio.shield(self.discard(standby))
                    raise
                self._takes = self.clock.monotonic() - began
                return standby
        except SandglassError as error:
            log.warning("no standby could be made", owner=spec.owner, error=str(error))
        return None

    async def _guard(self, place: _Place) -> None:
        """See the standby through: its making, and its end by death or idleness if nobody takes it."""
        standby = await _outcome(place.making)
        if standby is not None:
            place.is_ready = True
            await self._until_dead_or_idle(place, standby)
        if self._places.get(place.spec.owner) is place:
            self._drop(place.spec.owner)

    async def _until_dead_or_idle(self, place: _Place, standby: Standby) -> None:
        while (left := place.wanted + self.bounds.idle - self.clock.monotonic()) > 0:
            try:
                await asyncio.wait_for(standby.sandbox.wait(), left)
            except TimeoutError:
                continue  # it may have been wanted again meanwhile
            except SandglassError:
                return  # the engine has lost it, or is away itself
            return

    async def _comes_soon(self, place: _Place) -> bool:
        """Wait for one that is about to be ready; a cold start is not slower than one that is far away."""
        left = self._takes - (self.clock.monotonic() - place.began)
        if left > _COLD_START:
            return False
        await asyncio.wait((place.making,), timeout=max(left, 0) + _COLD_START)
        return place.making.done() and not place.making.cancelled()

    def _keep_for_later(self, place: _Place) -> None:
        """The execution took its reservation over and starts cold: it needs one of its own, or goes."""
        owner = place.spec.owner
        if self._places.get(owner) is place:
            place.reservation.release()  # where it was made only after the execution was admitted
            reservation = self.reserve(owner, place.spec.limits.memory)
            if reservation is None:
                self._drop(owner)
            else:
                place.reservation = reservation

    def _drop(self, owner: str) -> "asyncio.Task[None]":
        """Forget the owner's standby at once, and remove it in the background."""
        place = self._places.pop(owner)
        place.reservation.release()
        leaving = asyncio.create_task(self._remove(place))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        return leaving

    async def _remove(self, place: _Place) -> None:
        place.making.cancel()
        if place.guard is not None:
            place.guard.cancel()
        if (standby := await _outcome(place.making)) is not None:
            await self.discard(standby)
        with suppress(SandglassError):
            await self.workspaces.unstage(place.spec.execution_id)
        self._kept.discard(place.spec.execution_id)


async def _outcome(making: "asyncio.Task[Standby | None]") -> Standby | None:
    """What came of it; None where it was given up. That it was cancelled is no cancellation of the caller."""
    await asyncio.wait((making,))
    return None if making.cancelled() else making.result()


def _essence(spec: SandboxSpec) -> SandboxSpec:
    """What two containers must have in common for one to stand in for the other."""
    return replace(
        spec,
        execution_id="",
        kind=SandboxKind.EXECUTION,
        warm=False,
        holder="",
        limits=replace(spec.limits, wall_seconds=0),
        mounts=tuple(mount for mount in spec.mounts if mount.target != "/inputs"),
    )
