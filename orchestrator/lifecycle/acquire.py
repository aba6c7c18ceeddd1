"""From a claimed job to a container that waits for its code: a standby where there is one, else a new one."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from orchestrator.domain.files import Manifest, StoredFile
from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import Mount, SandboxSpec
from orchestrator.errors import SandglassError, WorkspaceFull
from orchestrator.lifecycle.ports import Sandbox
from orchestrator.lifecycle.quota import require_room
from orchestrator.lifecycle.standby import Standby
from orchestrator.lifecycle.world import Job, World


@dataclass(frozen=True, kw_only=True, slots=True)
class Acquired:
    """A verified container, and what the workspace held before its code ran."""

    sandbox: Sandbox
    before: Manifest
    standby: Standby | None = None
    """Where it comes from, and goes back to for its removal, when it was waiting."""


async def acquire(world: World, job: Job, inputs: Sequence[StoredFile]) -> Acquired:
    """The owner's standby with the inputs in it, else as `acquire_cold`; engine and storage may fail."""
    spec = await specify(world, job.request.owner, job.limits)
    standby = await world.standbys.take(spec)
    if standby is not None:
        try:
            await world.standbys.fill(standby, inputs)
            before = await world.workspaces.survey(job.request.owner, job.limits)
            require_room(before.used, job.limits)
        except WorkspaceFull:
            await world.standbys.discard(standby)
            raise
        except SandglassError:
            await world.standbys.discard(standby)  # its inputs are gone, say: a new container has them
        except BaseException:
            await asyncio.shield(world.standbys.discard(standby))
            raise
        else:
            return Acquired(sandbox=standby.sandbox, before=before, standby=standby)
    return await acquire_cold(world, job, inputs, spec)


async def acquire_cold(
    world: World, job: Job, inputs: Sequence[StoredFile], spec: SandboxSpec | None = None
) -> Acquired:
    """A new container, created while the workspace is surveyed; left to the reaper if the survey fails."""
    owner = job.request.owner
    spec = spec or await specify(world, owner, job.limits)
    staged = await world.workspaces.stage(job.execution_id, owner, inputs)
    mounts = (*spec.mounts, Mount(source=staged, target="/inputs", read_only=True))
    spec = replace(spec, execution_id=job.execution_id, mounts=mounts)
    creating = asyncio.create_task(world.engine.create(spec))
    surveying = asyncio.create_task(world.workspaces.survey(owner, job.limits))
    await asyncio.wait((creating, surveying))
    if creating.exception() is not None:
        surveying.exception()  # it has been seen: the engine's is told
    sandbox = creating.result()
    try:
        before = surveying.result()
        require_room(before.used, job.limits)
        return Acquired(sandbox=sandbox, before=before)
    except SandglassError:
        with suppress(SandglassError):  # the reaper removes a container whose row is terminal
            await sandbox.remove()
        raise


async def specify(world: World, owner: str, limits: Limits) -> SandboxSpec:
    """Everything but the name and the inputs, for an execution and for a standby alike."""
    workspace, uid = await world.workspaces.open(owner)
    return SandboxSpec(
        execution_id="",
        owner=owner,
        uid=uid,
        image=world.image.digest,
        runtime=world.runtime,
        limits=limits,
        mounts=(Mount(source=workspace, target="/workspace", read_only=False),),
        instance=world.instance,
    )
