"""The engine's adapter with a stopwatch: when each step of an execution began and ended, from outside."""

import time
from collections.abc import Awaitable
from typing import Self, override

from orchestrator.domain.outcomes import ExitStatus
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.sandbox import DockerSandbox


class Timeline:
    """The last moment of every step, in seconds of `perf_counter`."""

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}

    def clear(self) -> None:
        """Begin anew."""
        self._moments.clear()

    def mark(self, name: str) -> None:
        """Note that `name` is now."""
        self._moments[name] = time.perf_counter()

    def mark_once(self, name: str) -> None:
        """Note the first time alone."""
        self._moments.setdefault(name, time.perf_counter())

    def between(self, earlier: str, later: str) -> float:
        """Seconds from one moment to another; raises `KeyError` for one that never came."""
        return self._moments[later] - self._moments[earlier]

    async def around[T](self, name: str, work: Awaitable[T]) -> T:
        """Wait for `work` and note `<name>` before and `<name> done` after."""
        self.mark(name)
        try:
            return await work
        finally:
            self.mark(f"{name} done")


class TimedEngine(DockerEngine):
    """The engine of every day, attested like it; only that it notes the time."""

    def __init__(self, timeline: Timeline, image: str, runtime: str, docker_host: str | None) -> None:
        super().__init__(image, runtime, docker_host)
        self._timeline = timeline

    @override
    async def create(self, spec: SandboxSpec) -> DockerSandbox:
        sandbox = await self._timeline.around("create", super().create(spec))
        return TimedSandbox.of(sandbox, self._timeline)


class TimedSandbox(DockerSandbox):
    """A sandbox that notes when it was started, given its code, and found dead."""

    _timeline: Timeline

    @classmethod
    def of(cls, sandbox: DockerSandbox, timeline: Timeline) -> Self:
        """The same container; the original is not used any more."""
        made = cls.__new__(cls)
        made.__dict__.update(sandbox.__dict__)
        made._timeline = timeline  # noqa: SLF001  # its own
        return made

    @override
    async def start(self) -> None:
        await self._timeline.around("start", super().start())

    @override
    async def hand_over(self, request: bytes) -> None:
        await self._timeline.around("hand over", super().hand_over(request))

    @override
    async def wait(self) -> ExitStatus:
        return await self._timeline.around("wait", super().wait())
