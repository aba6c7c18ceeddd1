"""`sandglass image promote` and `rollback`: which image the name in SANDGLASS_IMAGE stands for.

Three tags of one repository: `candidate`, the one in use (`latest`), `previous`. Only names move:
executions are pinned by digest, so what runs goes on in the image that it began with.
"""

from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.image import checked
from orchestrator.cli.session import opened, wait_for
from orchestrator.engine.docker import DockerEngine
from orchestrator.errors import ConfigurationError, ImageMissing, InvalidRequest

if TYPE_CHECKING:
    from orchestrator import Orchestrator

CANDIDATE = "candidate"
PREVIOUS = "previous"


def promote(*, as_json: bool) -> int:
    """Verify the candidate, keep the image of now as previous, name the candidate in its place."""
    return wait_for(_promote(as_json=as_json))


def rollback(*, as_json: bool) -> int:
    """Name the previous image in the place of the one of now, which becomes the candidate."""
    return wait_for(_rollback(as_json=as_json))


async def _promote(*, as_json: bool) -> int:
    async with opened() as orchestrator:
        engine, repository, tag = _named(orchestrator)
        candidate = (await engine.image_named(f"{repository}:{CANDIDATE}")).digest
        current = await _digest(engine, f"{repository}:{tag}")
        if candidate == current:
            raise InvalidRequest(f"The candidate is in use already: name another {repository}:{CANDIDATE}.")
        # By digest: whoever moves the tag meanwhile moves nothing that was verified.
        passed = await checked(candidate, quiet=as_json)
        if current is not None:
            await engine.name_image(current, repository, PREVIOUS)
        await engine.name_image(candidate, repository, tag)
        return await _report(orchestrator, candidate, current, passed, as_json=as_json)


async def _rollback(*, as_json: bool) -> int:
    async with opened() as orchestrator:
        engine, repository, tag = _named(orchestrator)
        previous = (await engine.image_named(f"{repository}:{PREVIOUS}")).digest
        current = await _digest(engine, f"{repository}:{tag}")
        if previous == current:
            raise InvalidRequest(
                f"The previous image is in use already: name another {repository}:{PREVIOUS}."
            )
        if current is not None:
            await engine.name_image(current, repository, CANDIDATE)
        await engine.name_image(previous, repository, tag)
        return await _report(orchestrator, previous, current, None, as_json=as_json)


def _named(orchestrator: "Orchestrator") -> tuple[DockerEngine, str, str]:
    """The engine, and the name of its image as repository and tag."""
    assert isinstance(orchestrator.engine, DockerEngine)  # what `opened` makes
    name = orchestrator.settings.image
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag or "@" in name or repository == "sha256" or tag in {CANDIDATE, PREVIOUS}:
        raise ConfigurationError(
            f"SANDGLASS_IMAGE is {name!r}, which has no tag to move: set it to sandglass-sandbox:latest, say."
        )
    return orchestrator.engine, repository, tag


async def _digest(engine: DockerEngine, name: str) -> str | None:
    try:
        return (await engine.image_named(name)).digest
    except ImageMissing:
        return None


async def _report(
    orchestrator: "Orchestrator", now: str, before: str | None, checks: int | None, *, as_json: bool
) -> int:
    """Say what is used from now on, and what still runs in which image."""
    running = {
        execution.execution_id: execution.image
        for execution in await orchestrator.list_executions(limit=1000)
        if not execution.state.is_terminal and execution.image is not None
    }
    if as_json:
        show.print_json({"image": now, "before": before, "checks": checks, "running": running})
        return errors.DONE
    out = show.console()
    out.print(show.pairs((("image", now), ("before", before), ("checks passed", checks))))
    for execution_id, image in running.items():
        out.print(show.cell(f"{execution_id} goes on in {image}"))
    out.print(
        "Commands use it from now on. Services and bots pinned theirs when they began: start them again."
    )
    return errors.DONE
