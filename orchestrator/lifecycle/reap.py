"""Makes true what a dead orchestrator left half-done: rows get an end, containers go, files are kept."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from orchestrator.domain.files import Harvest, Manifest
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.results import Execution, Timings
from orchestrator.domain.sandbox import STANDBY_PREFIX, SandboxKind, Survey
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import ExecutionNotFound, LeaseLost
from orchestrator.lifecycle.holder import is_surely_dead
from orchestrator.lifecycle.report import never_ran
from orchestrator.lifecycle.world import World

log = structlog.get_logger(__name__)

_RAN = frozenset({State.RUNNING, State.HARVESTING})
_TICK_NS = 10_000_000
"""The kernel stamps files with the time of its last tick, which is up to so much behind the clock."""
_SENTENCE = (
    "The orchestrator died while this execution was {state}; what it had written was kept. Run it again."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReapReport:
    """What a reap did, or would do."""

    dry_run: bool
    lost_executions: tuple[str, ...]
    removed_containers: tuple[str, ...]
    harvested_files: int


async def reap(world: World, limits: Limits, *, dry_run: bool = False) -> ReapReport:
    """End executions whose lease lapsed; remove containers of ours that no live execution needs."""
    staged = await world.workspaces.staged()
    containers = await world.engine.survey(world.instance)
    unfinished = await world.executions.unfinished()
    lapsed = [row for row in unfinished if await asyncio.to_thread(_has_lapsed, row, world.clock.now())]
    lost, harvested = [], 0
    for row in lapsed:
        if dry_run:
            lost.append(row.execution_id)
        else:
            count = await _lose(world, limits, row, containers)
            if count is not None:
                lost.append(row.execution_id)
                harvested += count
    live = [row for row in unfinished if row.execution_id not in lost]
    removed = await _remove_unneeded(world, containers, live, frozenset(lost), dry_run=dry_run)
    if not dry_run:
        await _unstage_standbys(world, staged, containers)
    report = ReapReport(
        dry_run=dry_run,
        lost_executions=tuple(lost),
        removed_containers=tuple(removed),
        harvested_files=harvested,
    )
    if lost or removed:
        log.info("reaped", dry_run=dry_run, lost=len(lost), containers=len(removed), files=harvested)
    return report


def _has_lapsed(row: Execution, now: datetime) -> bool:
    if row.lease_expires_at is None or row.lease_expires_at < now:
        return True
    return row.lease_holder is not None and is_surely_dead(row.lease_holder)


async def _lose(world: World, limits: Limits, row: Execution, containers: Sequence[Survey]) -> int | None:
    """Take the row over, kill, keep what was written; the files kept, None if another process was first."""
    until = world.clock.now() + world.lease
    if not await world.executions.take_over(row, holder=world.holder, until=until):
        return None
    for container in containers:
        if row.runs_in(container):
            await world.engine.remove(container.container_id)
    harvest = Harvest(files=(), skipped=())
    if row.state in _RAN:
        harvest = await _harvest_leftovers(world, limits, row)
    sentence = _SENTENCE.format(state=row.state)
    result = never_ran(
        execution_id=row.execution_id,
        owner=row.owner,
        limits=limits,
        reason=KillReason.OPERATOR,
        timings=Timings(),
        image=row.image or "",
        runtime=row.runtime or "",
    ).model_copy(
        update={
            "hint": sentence,
            "generated_files": tuple(found.file for found in harvest.files),
            "generated_file_ids": tuple(found.file.file_id for found in harvest.files),
            "skipped_files": harvest.skipped,
        }
    )
    try:
        await world.executions.commit(
            result, harvest, old=row.state, new=State.LOST, holder=world.holder, failure=sentence
        )
    except LeaseLost:
        return None
    await world.workspaces.unstage(row.execution_id)
    return len(harvest.files)


async def _harvest_leftovers(world: World, limits: Limits, row: Execution) -> Harvest:
    """The manifest died with the process, but no program can set a ctime back: older is not its work."""
    now = await world.workspaces.survey(row.owner, limits)
    started_ns = int(row.started_at.timestamp() * 1e9) - _TICK_NS if row.started_at else 0
    older = {path: entry for path, entry in now.entries.items() if entry.ctime_ns < started_ns}
    before = Manifest(entries=older, bytes_used=now.bytes_used, inodes_used=now.inodes_used)
    return await world.workspaces.harvest(row.owner, before, limits)


async def _remove_unneeded(
    world: World,
    containers: Sequence[Survey],
    live: Sequence[Execution],
    lost: frozenset[str],
    *,
    dry_run: bool,
) -> list[str]:
    removed = []
    for container in containers:
        if any(row.runs_in(container) for row in live):
            continue
        if not await _is_unneeded(world, container, lost):
            continue
        if not dry_run:
            await world.engine.remove(container.container_id)
        removed.append(container.container_id)
    return removed


async def _is_unneeded(world: World, container: Survey, lost: frozenset[str]) -> bool:
    if container.kind is SandboxKind.STANDBY:
        return await _is_forsaken(world, container)
    # Of an execution that was claimed after our look at the rows, nothing is removed.
    return container.kind is SandboxKind.EXECUTION and (
        container.execution_id in lost or await _is_over(world, container.execution_id)
    )


async def _is_forsaken(world: World, standby: Survey) -> bool:
    """Nobody will use it: its keeper is dead, or silent about it for longer than any is kept.

    One without a keeper is of a version that we do not know, and is left alone.
    """
    if standby.holder == world.holder:
        return not world.standbys.keeps(standby.execution_id)
    if not standby.holder:
        return False
    if await asyncio.to_thread(is_surely_dead, standby.holder):
        return True
    return world.clock.now() - standby.created_at > world.standbys.lifetime


async def _unstage_standbys(world: World, staged: Sequence[str], containers: Sequence[Survey]) -> None:
    """Remove the inputs of standbys that are gone; those of executions are the sweep's."""
    present = {container.execution_id for container in containers}
    for name in staged:
        if name.startswith(STANDBY_PREFIX) and name not in present and not world.standbys.keeps(name):
            await world.workspaces.unstage(name)


async def _is_over(world: World, execution_id: str) -> bool:
    with suppress(ExecutionNotFound):
        return (await world.executions.get(execution_id)).state.is_terminal
    return True
