"""The engine's API and nothing else: the loop that one would write by hand, with the same container."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from orchestrator.bench.stage import request_line
from orchestrator.domain.sandbox import READY_LINE, SandboxSpec
from orchestrator.engine.calls import CALL_SECONDS, Calls
from orchestrator.engine.lockdown import container_config, container_name
from orchestrator.engine.streams import Demultiplexer, connect_attached
from orchestrator.errors import EngineFault

_RECEIVE = 1 << 18


@dataclass
class Bout:
    """One container of the bare loop: its moments in seconds of `perf_counter`, and what it printed."""

    output: bytes = b""
    moments: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Note that `name` is now."""
        self.moments[name] = time.perf_counter()

    def between(self, earlier: str, later: str) -> float:
        """Seconds from one moment to another."""
        return self.moments[later] - self.moments[earlier]


class BareLoop:
    """Create, attach, start, hand over, read, wait, inspect, remove, with docker-py's low-level client."""

    def __init__(self, docker_host: str | None) -> None:
        self._calls = Calls(docker_host)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def run(self, spec: SandboxSpec, code: str, **overrides: object) -> Bout:
        """The whole in a thread; `overrides` replace entries of the container's configuration."""
        return await asyncio.to_thread(self.blocking, spec, code, overrides)

    @asynccontextmanager
    async def held(self, spec: SandboxSpec, line: bytes, **overrides: object) -> AsyncIterator[str]:
        """The id of a container that has said `line` and waits; gone when this is left."""

        def start(client: Any) -> tuple[str, Any]:
            config = {**container_config(spec), **overrides}
            identifier = str(client.create_container_from_config(config, name=container_name(spec))["Id"])
            connection = connect_attached(
                self._calls.socket_path, client.api_version, identifier, CALL_SECONDS
            )
            connection.settimeout(CALL_SECONDS)
            client.start(identifier)
            _Reader(connection).expect(line)
            return identifier, connection

        identifier, connection = await self._calls.call(start)
        try:
            yield identifier
        finally:
            connection.close()
            await self._calls.call(lambda client: client.remove_container(identifier, force=True, v=True))

    async def pid(self, identifier: str) -> int:
        """The host's number of a container's main process."""
        described: Any = await self._calls.call(lambda client: client.inspect_container(identifier))
        return int(described["State"]["Pid"])

    def blocking(self, spec: SandboxSpec, code: str, overrides: Mapping[str, object] | None = None) -> Bout:
        """The whole in this thread."""
        return self._calls.blocking(lambda client: self._run(client, spec, code, overrides or {}))

    def _run(self, client: Any, spec: SandboxSpec, code: str, overrides: Mapping[str, object]) -> Bout:
        bout = Bout()
        bout.mark("begin")
        made = client.create_container_from_config(
            {**container_config(spec), **overrides}, name=container_name(spec)
        )
        identifier = made["Id"]
        bout.mark("created")
        try:
            connection = connect_attached(
                self._calls.socket_path, client.api_version, identifier, CALL_SECONDS
            )
            bout.mark("attached")
            with connection:
                connection.settimeout(CALL_SECONDS)
                client.start(identifier)
                bout.mark("started")
                reader = _Reader(connection)
                if spec.warm:
                    reader.expect(READY_LINE)
                    bout.mark("ready")
                with suppress(BrokenPipeError):  # a program that reads nothing may be gone already
                    connection.sendall(request_line(code))
                    connection.shutdown(1)
                bout.mark("handed over")
                bout.output = reader.to_the_end(bout)
            client.wait(identifier)
            bout.mark("waited")
            client.inspect_container(identifier)
            bout.mark("inspected")
        finally:
            client.remove_container(identifier, force=True, v=True)
        bout.mark("removed")
        return bout


class _Reader:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._frames = Demultiplexer()

    def expect(self, line: bytes) -> None:
        got = b""
        while len(got) < len(line):
            if not (data := self._connection.recv(_RECEIVE)):
                raise EngineFault("The bare container was never ready: rebuild the image with `make image`.")
            got += b"".join(piece for _, piece in self._frames.feed(data))

    def to_the_end(self, bout: Bout) -> bytes:
        got = []
        while data := self._connection.recv(_RECEIVE):
            bout.moments.setdefault("first byte", time.perf_counter())
            bout.mark("last byte")
            got += [piece for _, piece in self._frames.feed(data)]
        bout.mark("end of output")
        return b"".join(got)
