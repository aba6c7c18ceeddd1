"""Ends an execution that another process runs: the reason goes into the row first, then the kill."""

import asyncio

from orchestrator.domain.files import Harvest
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.results import Execution, Timings
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import EngineFault, LeaseLost
from orchestrator.lifecycle.holder import is_surely_dead
from orchestrator.lifecycle.ports import Clock, Engine, Executions
from orchestrator.lifecycle.report import never_ran

PATIENCE = 20.0
"""Seconds until the supervising process must have seen the death."""
_POLL = 0.1


async def stop_elsewhere(
    execution_id: str,
    reason: KillReason,
    *,
    engine: Engine,
    executions: Executions,
    clock: Clock,
    instance: str,
    limits: Limits,
) -> bool:
    """Return when its container is dead and its holder knows; False where it had ended by itself before.

    Asked for again and again, because a container can be between created and started, where the engine
    has nothing to kill. Raises `ExecutionNotFound`, and `EngineFault` when it is still there in the end.
    """
    deadline = clock.monotonic() + PATIENCE
    noted = False
    while clock.monotonic() < deadline:
        row = await executions.get(execution_id)
        if row.state.is_terminal or row.state is State.HARVESTING:
            return noted
        if row.state is State.QUEUED:
            if await _take_out(row, reason, executions, clock, limits):
                return True
            continue  # it has just been claimed
        noted = await executions.note_kill(execution_id, reason) or noted
        alive = await _kill(row, engine, instance)
        if not alive and await asyncio.to_thread(is_surely_dead, row.lease_holder or ""):
            return noted  # nobody is there to see it: the reaper ends the row
        await asyncio.sleep(_POLL)
    raise EngineFault(
        f"Execution {execution_id} did not end within {PATIENCE:g} s: see `sandglass ps`, "
        "and `sandglass reap` once its process is gone."
    )


async def _take_out(
    row: Execution, reason: KillReason, executions: Executions, clock: Clock, limits: Limits
) -> bool:
    """`QUEUED -> CANCELLED` on behalf of its holder, who finds out at its next claim or renewal."""
    waited = max(0.0, (clock.now() - row.created_at).total_seconds())
    result = never_ran(
        execution_id=row.execution_id,
        owner=row.owner,
        limits=limits,
        reason=reason,
        timings=Timings(queued=waited, total=waited),
        image="",
        runtime="",
    )
    try:
        await executions.commit(
            result,
            Harvest(files=(), skipped=()),
            old=State.QUEUED,
            new=State.CANCELLED,
            holder=row.lease_holder or "",
        )
    except LeaseLost:
        return False
    return True


async def _kill(row: Execution, engine: Engine, instance: str) -> bool:
    """Kill what carries its label, and the standby that it was given; True where any of it was running."""
    running = [
        container.container_id
        for container in await engine.survey(instance)
        if row.runs_in(container) and container.status == "running"
    ]
    for container_id in running:
        await engine.kill(container_id)
    return bool(running)
