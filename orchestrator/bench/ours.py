"""Sandglass as a contestant: the shipped defaults over a data directory of its own, cold and warm."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from orchestrator.app import Orchestrator, open_orchestrator
from orchestrator.bench.stage import Stage
from orchestrator.bench.timed import TimedEngine, Timeline
from orchestrator.domain.results import ExecutionResult
from orchestrator.domain.sandbox import SandboxKind, Stream
from orchestrator.errors import EngineFault

COLD, WARM = "Sandglass cold", "Sandglass warm"
_POLL = 0.01


class Ours:
    """An open orchestrator; what it measures besides the whole is kept in lists of seconds."""

    def __init__(self, orchestrator: Orchestrator, timeline: Timeline, instance: str) -> None:
        self.orchestrator = orchestrator
        self.timeline = timeline
        self._instance = instance
        self.prewarm: list[float] = []
        self.first_byte_after_hand_over: list[float] = []
        self.first_byte_after_call: list[float] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, stage: Stage) -> AsyncIterator[Self]:
        """Over the stage's settings, on a host that is attested, as for every execution but the first."""
        settings, timeline = stage.settings, Timeline()
        engine = TimedEngine(timeline, settings.image, settings.runtime, settings.docker_host)
        try:
            async with open_orchestrator(settings, engine=engine, maintain=False) as orchestrator:
                if settings.attest:
                    await orchestrator.attest()
                instance = await asyncio.to_thread((settings.data_dir / "instance").read_text)
                yield cls(orchestrator, timeline, instance.strip())
        finally:
            await engine.close()

    async def cold(self, code: str, expected: str, owner: str = "bench-cold") -> float:
        """Seconds of one execution without a standby, harvested and committed."""
        seconds, result = await self._timed(code, expected, owner)
        if result.warm:
            raise EngineFault(
                "A standby was there where none was asked for: this is a defect, please report it."
            )
        return seconds

    async def warm(self, code: str, expected: str, owner: str = "bench-warm") -> float:
        """Seconds of one execution on a standby, harvested and committed."""
        if not await self.prewarmed(owner):
            raise EngineFault(
                "No standby was ready when the benchmark needed one: run it on a quiet machine."
            )
        seconds, result = await self._timed(code, expected, owner)
        if not result.warm:
            raise EngineFault("A standby was ready and was not used: this is a defect, please report it.")
        self.first_byte_after_hand_over.append(self.timeline.between("hand over", "first byte"))
        self.first_byte_after_call.append(self.timeline.between("call", "first byte"))
        return seconds

    async def prewarmed(self, owner: str) -> bool:
        """Ask for a standby and tell whether it is ready; the time that it took is noted."""
        began = time.perf_counter()
        if is_ready := await self.orchestrator.prewarm(owner):
            self.prewarm.append(time.perf_counter() - began)
        return is_ready

    async def has_standbys(self) -> bool:
        """Whether this version, as it is set, makes any; the one made to find out is used up."""
        if not await self.prewarmed("bench-warm"):
            return False
        await self._timed("print(1)", "1\n", "bench-warm")
        self.prewarm.clear()
        return True

    async def standbys(self) -> Sequence[str]:
        """The ids of the containers that wait."""
        return await self._left(SandboxKind.STANDBY)

    async def _left(self, *kinds: SandboxKind) -> Sequence[str]:
        surveyed = await self.orchestrator.engine.survey(self._instance)
        return [each.container_id for each in surveyed if each.kind in kinds]

    async def settled(self) -> None:
        """Return when no container is left, used standbys too: their removal is nobody else's burden."""
        while await self._left(*SandboxKind):  # noqa: ASYNC110  # only the engine knows, if asked
            await asyncio.sleep(_POLL)

    async def _timed(self, code: str, expected: str, owner: str) -> tuple[float, ExecutionResult]:
        self.timeline.clear()
        self.timeline.mark("call")
        result = await self.orchestrator.execute_code(code, owner, on_output=self._note_output)
        self.timeline.mark("result")
        if expected not in result.output:
            raise EngineFault(
                f"The benchmark's program ended with {result.outcome} ({result.error[-200:]!r}): "
                "run it with `sandglass run` to see why."
            )
        await self.settled()
        for file in result.generated_files:
            await self.orchestrator.delete_user_file(file.file_id, owner)
        return self.timeline.between("call", "result"), result

    def _note_output(self, _stream: Stream, _piece: bytes) -> None:
        self.timeline.mark_once("first byte")
