"""An engine that notes when it is being waited for, to tell what is ours from what is the engine's."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from orchestrator.domain.outcomes import ExitStatus
from orchestrator.domain.sandbox import ImageInfo, SandboxSpec, Stream, Survey
from orchestrator.lifecycle.ports import Engine, Sandbox


class Stopwatch:
    """Collects intervals of one execution; overlapping ones count once."""

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._intervals.append((began, time.perf_counter()))

    def take(self, until: float) -> float:
        """Seconds covered up to the moment `until`; starts anew."""
        covered, edge = 0.0, 0.0
        for began, ended in sorted(self._intervals):
            covered += max(0.0, min(ended, until) - max(began, edge))
            edge = max(edge, min(ended, until))
        self._intervals.clear()
        return covered


class TimedEngine:
    """Passes everything on and times the calls that an execution waits for."""

    def __init__(self, engine: Engine, stopwatch: Stopwatch) -> None:
        self._engine = engine
        self._stopwatch = stopwatch

    async def image(self) -> ImageInfo:
        """As the engine says."""
        return await self._engine.image()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Timed; the sandbox is timed as well."""
        with self._stopwatch.running():
            return TimedSandbox(await self._engine.create(spec), self._stopwatch)

    async def survey(self, instance: str) -> Sequence[Survey]:
        """As the engine says."""
        return await self._engine.survey(instance)

    async def kill(self, container_id: str) -> None:
        """As the engine does."""
        await self._engine.kill(container_id)

    async def remove(self, container_id: str) -> None:
        """As the engine does."""
        await self._engine.remove(container_id)


class TimedSandbox:
    """Times start, hand-over and death; the removal is off the caller's path."""

    def __init__(self, sandbox: Sandbox, stopwatch: Stopwatch) -> None:
        self._sandbox = sandbox
        self._stopwatch = stopwatch

    @property
    def has_ended(self) -> bool:
        """As the engine says."""
        return self._sandbox.has_ended

    async def ready(self, timeout: float) -> None:
        """As the engine does."""
        await self._sandbox.ready(timeout)

    @property
    def container_id(self) -> str:
        """As the engine says."""
        return self._sandbox.container_id

    async def start(self) -> None:
        """Timed."""
        with self._stopwatch.running():
            await self._sandbox.start()

    async def hand_over(self, request: bytes) -> None:
        """Timed."""
        with self._stopwatch.running():
            await self._sandbox.hand_over(request)

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """As the container prints."""
        return self._sandbox.output()

    async def wait(self) -> ExitStatus:
        """Timed."""
        with self._stopwatch.running():
            return await self._sandbox.wait()

    async def kill(self) -> None:
        """As the engine does."""
        await self._sandbox.kill()

    async def remove(self) -> None:
        """As the engine does."""
        await self._sandbox.remove()
