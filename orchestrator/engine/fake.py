"""An engine without isolation, for tests of everything above it: the code runs in a plain process here.

It keeps the promises of the ports (streams, exit codes, kill, remove, survey) and none of the lockdown: no
namespaces, no limits, this user's rights. So it must be asked for by name and refuses to be made otherwise.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Self

from orchestrator.domain.outcomes import ExitStatus
from orchestrator.domain.sandbox import READY_LINE, RUNNER_CONTRACT, ImageInfo, SandboxSpec, Stream, Survey
from orchestrator.errors import ConfigurationError, EngineFault, ImageMissing

FAKE_DIGEST = "sha256:" + "0" * 64

_RUNNER = f"""
import json, os, sys
if sys.argv[1:] == ["--warm"]:
    os.write(1, {READY_LINE!r})
line = sys.stdin.buffer.readline()
try:
    request = json.loads(line)
    code = request["code"]
except (ValueError, KeyError):
    sys.exit(sys.stderr.write("sandglass: the request is not one line of JSON\\n") and 120)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
exec(compile(code, "<sandglass>", "exec"), {{"__name__": "__main__", "__builtins__": __builtins__}})
"""


class FakeSandbox:
    """A process group that stands for a container."""

    def __init__(self, engine: "FakeEngine", spec: SandboxSpec) -> None:
        self.spec = spec
        self.created_at = datetime.now(UTC)
        self._engine = engine
        self._process: asyncio.subprocess.Process | None = None
        self._pending: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue(maxsize=8)
        self._pumps: list[asyncio.Task[None]] = []

    @property
    def container_id(self) -> str:
        """64 hex digits that follow from the execution, as a container's do not."""
        return sha256(self.spec.execution_id.encode()).hexdigest()

    @property
    def status(self) -> str:
        """In the engine's words: created, running or exited."""
        if self._process is None:
            return "created"
        return "running" if self._process.returncode is None else "exited"

    @property
    def has_ended(self) -> bool:
        """True once the process is known to be dead."""
        return self._process is not None and self._process.returncode is not None

    async def start(self) -> None:
        """Start the process in the directory that is mounted at /workspace."""
        directory = next((mount.source for mount in self.spec.mounts if mount.target == "/workspace"), None)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-u", "-c", _RUNNER, *(["--warm"] if self.spec.warm else [])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=directory,
            env={"PATH": os.defpath, "HOME": "/tmp", **self.spec.environment},  # noqa: S108  # as in the image
            start_new_session=True,
        )
        readers = ((Stream.STDOUT, self._process.stdout), (Stream.STDERR, self._process.stderr))
        self._pumps = [
            asyncio.create_task(self._pump(stream, reader)) for stream, reader in readers if reader
        ]
        self._pumps.append(asyncio.create_task(self._end(tuple(self._pumps))))

    async def _pump(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            await self._pending.put((stream, data))

    async def _end(self, pumps: Sequence[asyncio.Task[None]]) -> None:
        await asyncio.gather(*pumps)
        await self._pending.put(None)

    async def ready(self, timeout: float) -> None:
        """Return when the warm process says that it waits."""
        got = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while len(got) < len(READY_LINE) and (piece := await self._pending.get()) is not None:
                    got += piece[1]
        if got != READY_LINE:
            raise EngineFault(
                f"A standby was not ready within {timeout:g} s on this machine: run fewer things at once."
            )

    async def hand_over(self, request: bytes) -> None:
        """Write the request and close stdin; `EngineFault` when the process is gone."""
        if self._process is None or self._process.stdin is None:
            raise EngineFault("A container that was never started cannot be given code; please report this.")
        try:
            self._process.stdin.write(request)
            await self._process.stdin.drain()
        except OSError as error:
            raise EngineFault(
                "The container was gone before its code was handed over: run it again."
            ) from error
        finally:
            self._process.stdin.close()

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Yield pieces of both streams as they come, until both are closed."""
        while (piece := await self._pending.get()) is not None:
            yield piece

    async def wait(self) -> ExitStatus:
        """Return when the process is dead; a signal counts as 128 and its number."""
        if self._process is None:
            raise EngineFault("A container that was never started cannot be waited for; please report this.")
        code = await self._process.wait()
        # A container's other processes die with the first one; so do these.
        self._signal()
        return ExitStatus(exit_code=code if code >= 0 else 128 - code)

    async def kill(self) -> None:
        """SIGKILL to the whole group; no error when it is dead already."""
        self._signal()

    async def remove(self) -> None:
        """Kill and forget; no error when it is gone already."""
        self._signal()
        for pump in self._pumps:
            pump.cancel()
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()
        self._engine.sandboxes.pop(self.container_id, None)

    def _signal(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class FakeEngine:
    """Implements the lifecycle's `Engine`; `without_isolation=True` says that the caller knows what it is."""

    def __init__(self, *, without_isolation: bool = False) -> None:
        if not without_isolation:
            raise ConfigurationError(
                "FakeEngine isolates nothing: use DockerEngine, or say without_isolation=True in a test."
            )
        self.sandboxes: dict[str, FakeSandbox] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every process that is left."""
        for sandbox in tuple(self.sandboxes.values()):
            await sandbox.remove()

    async def image(self) -> ImageInfo:
        """An image that is none: this interpreter, no packages."""
        return ImageInfo(
            digest=FAKE_DIGEST, contract=RUNNER_CONTRACT, lock="none", packages=(), created_at="", size=0
        )

    async def create(self, spec: SandboxSpec) -> FakeSandbox:
        """A sandbox that is not started; a predecessor of the same name goes first, as with the real one."""
        if spec.image != FAKE_DIGEST:
            raise ImageMissing(f"The engine has no image {spec.image}: build it with `make image`.")
        sandbox = FakeSandbox(self, spec)
        if earlier := self.sandboxes.get(sandbox.container_id):
            await earlier.remove()
        self.sandboxes[sandbox.container_id] = sandbox
        return sandbox

    async def survey(self, instance: str) -> Sequence[Survey]:
        """Every sandbox of this installation that was not removed."""
        return tuple(
            Survey(
                container_id=identifier,
                owner=sandbox.spec.owner,
                execution_id=sandbox.spec.execution_id,
                kind=sandbox.spec.kind,
                status=sandbox.status,
                created_at=sandbox.created_at,
                holder=sandbox.spec.holder,
            )
            for identifier, sandbox in self.sandboxes.items()
            if sandbox.spec.instance == instance
        )

    async def kill(self, container_id: str) -> None:
        """SIGKILL by id; no error when it is dead or gone already."""
        if sandbox := self.sandboxes.get(container_id):
            await sandbox.kill()

    async def remove(self, container_id: str) -> None:
        """Kill and remove by id; no error when it is gone already."""
        if sandbox := self.sandboxes.get(container_id):
            await sandbox.remove()
