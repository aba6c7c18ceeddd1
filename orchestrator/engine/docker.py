"""The Docker Engine as the lifecycle's `Engine`: create and verify, survey, remove; nothing is pulled."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.operations import LockdownReading, Sample
from orchestrator.domain.sandbox import (
    LABEL_EXECUTION,
    LABEL_HOLDER,
    LABEL_INSTANCE,
    LABEL_KIND,
    LABEL_OWNER,
    ImageInfo,
    SandboxKind,
    SandboxSpec,
    Stream,
    Survey,
)
from orchestrator.engine import sandbox as containers
from orchestrator.engine.calls import CALL_SECONDS, Calls, engine_fault
from orchestrator.engine.image import PinnedImage, pin
from orchestrator.engine.lockdown import container_config, container_name, lockdown_digest
from orchestrator.engine.pids import PidsWatch
from orchestrator.engine.reading import read_lockdown, read_sample
from orchestrator.engine.sandbox import DockerSandbox
from orchestrator.engine.streams import Attachment, connect_attached
from orchestrator.engine.verify import differences
from orchestrator.errors import EngineFault, ImageMissing, LockdownMismatch, SandglassError


class DockerEngine:
    """One engine on this host, over its unix socket; constructing it asks nothing of the engine."""

    def __init__(self, image: str, runtime: str, docker_host: str | None = None) -> None:
        self._image_name = image
        self._runtime = runtime
        self._calls = Calls(docker_host)
        self._pids = PidsWatch()
        self._pinned: PinnedImage | None = None
        self._others: dict[str, PinnedImage] = {}

    @classmethod
    async def connect(cls, image: str, runtime: str, docker_host: str | None = None) -> "DockerEngine":
        """An engine that has answered and whose image is pinned; raises what `image` raises."""
        engine = cls(image, runtime, docker_host)
        try:
            await engine.image()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def close(self) -> None:
        """Close every connection; containers are left as they are."""
        self._pids.close()
        await self._calls.close()

    async def image(self) -> ImageInfo:
        """The image, looked up once and pinned by digest from then on."""
        if self._pinned is None:
            self._pinned = await self._calls.call(lambda client: pin(client, self._image_name))
        return self._pinned.info

    async def image_of(self, digest: str) -> ImageInfo:
        """Another image that the engine still has; raises `ImageMissing` or `ImageMismatch`."""
        return (await self._calls.call(lambda client: self._image_of(client, digest))).info

    async def image_named(self, name: str) -> ImageInfo:
        """What a name stands for at this moment; raises as `image_of`."""
        return (await self._calls.call(lambda client: pin(client, name))).info

    async def name_image(self, digest: str, repository: str, tag: str) -> None:
        """Let `repository:tag` stand for an image that the engine has; whoever pinned another keeps that."""
        await self._calls.call(lambda client: client.tag(digest, repository, tag, force=True))

    async def identity(self) -> str:
        """The engine's version as it names itself, and a digest of the lockdown, a line each."""
        await self.image()
        return f"{self._calls.server}\n{lockdown_digest()}"

    async def create(self, spec: SandboxSpec) -> DockerSandbox:
        """Create, verify and attach a container, or leave none behind.

        Raises `LockdownMismatch` naming every difference, `ImageMissing`, `ConfigurationError` for a runtime
        that the engine lacks, and the engine's faults.
        """
        creating = asyncio.ensure_future(self._calls.call(lambda client: self._create(client, spec)))
        try:
            container_id, connection = await asyncio.shield(creating)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: let its calls, which have a time limit, end; then undo them.
            with suppress(SandglassError):
                (await creating)[1].close()
            await self.remove(container_name(spec))
            raise
        return DockerSandbox(spec, container_id, self._calls, Attachment(connection), self._pids)

    def _create(self, client: Any, spec: SandboxSpec) -> tuple[str, socket.socket]:
        """In one thread without coming back in between: create, compare, attach."""
        image = self._image_of(client, spec.image)
        name = container_name(spec)
        try:
            container_id = _post(client, spec, name)
            inspected = client.inspect_container(container_id)
            if found := differences(inspected, spec, image.config):
                raise LockdownMismatch(
                    f"The engine made a container that differs from what was asked, so it was not started "
                    f"({'; '.join(found)}): check the engine's defaults with `sandglass doctor`."
                )
            connection = connect_attached(
                self._calls.socket_path, client.api_version, container_id, CALL_SECONDS
            )
        except BaseException:
            # Half a container is none. What cannot be removed now carries our labels: the reaper finds it.
            with suppress(Exception):
                _remove_ours(client, name, spec)
            raise
        return container_id, connection

    def _image_of(self, client: Any, digest: str) -> PinnedImage:
        if self._pinned is not None and self._pinned.info.digest == digest:
            return self._pinned
        if digest not in self._others:
            self._others[digest] = pin(client, digest)
        return self._others[digest]

    async def survey(self, instance: str) -> Sequence[Survey]:
        """Every container of this installation, running or not, whatever it is for."""
        listed = await self._calls.call(
            lambda client: client.containers(all=True, filters={"label": [f"{LABEL_INSTANCE}={instance}"]})
        )
        return tuple(_survey(row) for row in listed)

    async def remove(self, container_id: str) -> None:
        """Kill and remove by id; no error when it is gone already."""
        await self._calls.call(lambda client: containers.remove(client, container_id))

    async def kill(self, container_id: str) -> None:
        """SIGKILL by id; no error when it is dead or gone already."""
        await self._calls.call(lambda client: containers.kill(client, container_id))

    async def effective(self, container_id: str) -> Mapping[str, Any]:
        """The engine's own description of a container, as `GET /containers/<id>/json` has it."""
        return await self._about(container_id, lambda client: client.inspect_container(container_id))

    async def lockdown(self, container_id: str, spec: SandboxSpec) -> LockdownReading:
        """A container's lockdown as the engine has it, beside the one that `spec` asks for."""

        def ask(client: Any) -> LockdownReading:
            image = self._image_of(client, spec.image)
            return read_lockdown(client.inspect_container(container_id), spec, image.config)

        return await self._about(container_id, ask)

    async def follow(self, container_id: str) -> AsyncIterator[tuple[Stream, bytes]]:
        """What a running container prints from now on, beside whoever supervises it, until it ends.

        Whoever iterates must not stop for long: past a megabyte the engine holds the container up.
        """
        connection = await self._about(
            container_id,
            lambda client: connect_attached(
                self._calls.socket_path, client.api_version, container_id, CALL_SECONDS, stdin=False
            ),
        )
        attachment = Attachment(connection)
        try:
            async for piece in attachment.pieces():
                yield piece
        finally:
            attachment.close()

    async def sample(self, container_id: str) -> Sample:
        """What a container uses now."""
        return read_sample(await self.stats(container_id))

    async def stats(self, container_id: str) -> Mapping[str, Any]:
        """One sample of a container's cpu, memory and pids, as the engine counts them."""
        return await self._about(container_id, lambda client: _stats(client, container_id))

    async def _about[T](self, container_id: str, ask: Callable[[Any], T]) -> T:
        from docker.errors import NotFound

        try:
            return await self._calls.call(ask)
        except NotFound as error:
            raise _gone(container_id) from error


def _stats(client: Any, container_id: str) -> Mapping[str, Any]:
    from requests.exceptions import JSONDecodeError

    try:
        sample: Mapping[str, Any] = client.stats(container_id, stream=False, one_shot=True)
    except JSONDecodeError as error:
        # Of a container that dies while it is asked about the engine says nothing at all, with status 200.
        raise _gone(container_id) from error
    return sample


def _gone(container_id: str) -> EngineFault:
    return EngineFault(f"The engine has no container {container_id[:12]} any more: see `sandglass ps`.")


def _post(client: Any, spec: SandboxSpec, name: str) -> str:
    """Create; a container of the same name is ours from a create whose reply was lost, and goes first."""
    from docker.errors import APIError

    for last in (False, True):
        try:
            return str(client.create_container_from_config(container_config(spec), name=name)["Id"])
        except APIError as error:
            if error.status_code == 404:
                raise ImageMissing(
                    f"The engine no longer has the image {spec.image}: build it with `make image`."
                ) from error
            if error.status_code != 409 or last or not _remove_ours(client, name, spec):
                raise engine_fault(error) from error
    raise AssertionError("unreachable: the second attempt returns or raises")


def _remove_ours(client: Any, name: str, spec: SandboxSpec) -> bool:
    """Remove the container of this name if it carries our installation's label; tell whether it did."""
    from docker.errors import NotFound

    try:
        inspected = client.inspect_container(name)
    except NotFound:
        return False
    if (inspected["Config"].get("Labels") or {}).get(LABEL_INSTANCE) != spec.instance:
        return False
    containers.remove(client, inspected["Id"])
    return True


def _kind(label: str | None) -> SandboxKind:
    """An unknown kind, of a newer version say, is nothing that this version may remove as its own."""
    return SandboxKind(label) if label in set(SandboxKind) else SandboxKind.STANDBY


def _survey(row: Mapping[str, Any]) -> Survey:
    labels = row.get("Labels") or {}
    return Survey(
        container_id=row["Id"],
        owner=labels.get(LABEL_OWNER, ""),
        execution_id=labels.get(LABEL_EXECUTION, ""),
        kind=_kind(labels.get(LABEL_KIND)),
        status=row["State"],
        created_at=datetime.fromtimestamp(row["Created"], UTC),
        holder=labels.get(LABEL_HOLDER, ""),
    )
