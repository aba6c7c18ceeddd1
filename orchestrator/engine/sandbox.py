"""One container of a Docker Engine, from created and verified to removed; used once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from orchestrator.domain.outcomes import SIGKILL_EXIT, ExitStatus
from orchestrator.domain.sandbox import READY_LINE, SandboxSpec, Stream
from orchestrator.engine.calls import Calls, engine_fault
from orchestrator.engine.pids import PidsWatch
from orchestrator.engine.streams import Attachment
from orchestrator.errors import EngineFault

REMOVE_SECONDS = 20
"""How long a removal that somebody else began may take."""


class DockerSandbox:
    """Implements the lifecycle's `Sandbox`; made by `DockerEngine.create` alone."""

    def __init__(
        self, spec: SandboxSpec, container_id: str, calls: Calls, attachment: Attachment, pids: PidsWatch
    ) -> None:
        self.spec = spec
        self._id = container_id
        self._calls = calls
        self._attachment = attachment
        self._pids = pids
        self._exit: asyncio.Future[int] | None = None

    @property
    def container_id(self) -> str:
        """The engine's id, 64 hex digits."""
        return self._id

    @property
    def has_ended(self) -> bool:
        """True once the engine has told of its end, or was lost sight of itself."""
        return self._exit is not None and self._exit.done()

    async def start(self) -> None:
        """Start it, and begin to wait for its end: a death a moment later is not missed."""
        await self._calls.call(lambda client: _start(client, self._id))
        self._pids.watch(self._id)
        self._exit = self._calls.wait(self._id)
        self._exit.add_done_callback(_retrieved)

    async def ready(self, timeout: float) -> None:
        """Return when the runner of a warm container says that it waits; `EngineFault` when it does not."""
        try:
            async with asyncio.timeout(timeout):
                is_ready = await self._attachment.read_exactly(READY_LINE)
        except TimeoutError as error:
            raise EngineFault(
                f"A standby was not ready within {timeout:g} s on this machine: run fewer things at once."
            ) from error
        if not is_ready:
            raise EngineFault("A standby did not say that it was ready: rebuild the image with `make image`.")

    async def hand_over(self, request: bytes) -> None:
        """Write the runner's one request line and close stdin; `EngineFault` when the container is gone."""
        if self._exit is None:
            raise EngineFault("A container that was never started cannot be given code; please report this.")
        # The engine keeps a dead container's connection open without reading it: its death must end the wait.
        sending = asyncio.ensure_future(self._attachment.send_and_finish(request))
        try:
            either: set[asyncio.Future[Any]] = {sending, self._exit}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise EngineFault("The container was gone before its code was handed over: run it again.")
            await sending
        finally:
            sending.cancel()

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Yield pieces of both streams as they come, until the container closes them."""
        return self._attachment.pieces()

    async def wait(self) -> ExitStatus:
        """Return when the container is dead, with the engine's and the kernel's evidence."""
        if self._exit is None:
            raise EngineFault("A container that was never started cannot be waited for; please report this.")
        # Cancelling us must not cancel the thread's future: somebody may wait again after the kill.
        exit_code = await asyncio.shield(self._exit)
        oom_killed = False
        if exit_code == SIGKILL_EXIT:  # of another end the flag says nothing: a child may have been killed
            state = await self._calls.call(lambda client: _state(client, self._id))
            oom_killed = bool(state.get("OOMKilled"))
        return ExitStatus(
            exit_code=exit_code,
            oom_killed=oom_killed,
            pids_refused=self._pids.take(self._id),
        )

    async def kill(self) -> None:
        """SIGKILL; no error when it is dead, or gone, already."""
        await self._calls.call(lambda client: kill(client, self._id))

    async def remove(self) -> None:
        """Remove the container, running or not; no error when it is gone already."""
        self._attachment.close()
        self._pids.take(self._id)
        await self._calls.call(lambda client: remove(client, self._id))


def _retrieved(future: "asyncio.Future[int]") -> None:
    """Whoever kills and removes may never ask for the exit code; that is no error of theirs."""
    if not future.cancelled():
        future.exception()


def _start(client: Any, container_id: str) -> None:
    from docker.errors import APIError

    try:
        client.start(container_id)
    except APIError as error:
        raise engine_fault(error) from error


def _state(client: Any, container_id: str) -> dict[str, Any]:
    from docker.errors import NotFound

    try:
        state: dict[str, Any] = client.inspect_container(container_id)["State"]
    except NotFound as error:
        raise EngineFault("A container was removed by somebody else while it ran: run it again.") from error
    return state


def kill(client: Any, container_id: str) -> None:
    """Kill by id or name; dead and unknown are as good as killed."""
    from docker.errors import APIError

    try:
        client.kill(container_id, signal="KILL")
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def remove(client: Any, container_id: str) -> None:
    """Kill and remove by id or name; returns when it is gone, whoever did it."""
    import time

    from docker.errors import APIError

    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            client.remove_container(container_id, force=True, v=True)
        except APIError as error:
            if error.status_code == 404:
                return
            if error.status_code != 409 or time.monotonic() > deadline:
                raise engine_fault(error) from error
            time.sleep(0.05)  # a removal is in progress: ask until it is over
        else:
            return
