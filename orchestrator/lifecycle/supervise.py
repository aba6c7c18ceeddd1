"""A started sandbox under guard: hand the code over, follow its output, end it when told, know why."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import ExitStatus, KillReason
from orchestrator.domain.sandbox import Stream
from orchestrator.errors import EngineFault
from orchestrator.lifecycle.listen import Listener, OnOutput
from orchestrator.lifecycle.output import BoundedStream
from orchestrator.lifecycle.ports import Sandbox

_DRAIN_SECONDS = 10.0
"""How long the bytes of a dead container may take to arrive."""


type Watch = Callable[[], Coroutine[None, None, None]]
"""Looks on while the code runs, and tells the control when it has to end."""


@dataclass(slots=True)
class Control:
    """The handle by which others stop an execution; the first reason given stands."""

    reason: KillReason | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, reason: KillReason) -> None:
        """Note why; whoever guards the sandbox then kills it."""
        if self.reason is None:
            self.reason = reason
        self.stopped.set()


class Supervision:
    """Follows one sandbox from start to death."""

    def __init__(
        self,
        sandbox: Sandbox,
        limits: Limits,
        control: Control,
        on_output: OnOutput | None,
        watch: Watch | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._watch = watch
        self._limits = limits
        self._control = control
        self._listener = Listener(on_output)
        self.stdout = BoundedStream(limits.output_keep)
        self.stderr = BoundedStream(limits.output_keep)
        self.heard = asyncio.Event()
        """Set by the first byte of output."""

    async def run(self, request: bytes) -> ExitStatus:
        """Start, hand over, and return the engine's evidence once the container is dead, whoever ended it."""
        await self._sandbox.start()
        return await self.follow(request)

    async def follow(self, request: bytes | None = None) -> ExitStatus:
        """As `run` of one that is started, and, where no request is given, has its code already."""
        guard = asyncio.create_task(self._end_when_told())
        pump = asyncio.create_task(self._pump())
        watching = None if self._watch is None else asyncio.create_task(self._watch())
        try:
            if request is not None:
                await self._hand_over(request)
            status = await self._sandbox.wait()
            _end(watching)  # what it would find now ended by itself
            self._listener.hurry()
            await self._drain(pump)
            await self._listener.finish()
        except BaseException:
            pump.cancel()
            self._listener.leave()
            await asyncio.shield(self._sandbox.kill())
            raise
        finally:
            guard.cancel()
            if watching is not None:
                watching.cancel()
        return status

    async def _hand_over(self, request: bytes) -> None:
        try:
            await self._sandbox.hand_over(request)
        except EngineFault:
            # Killed before it had read its code: then its death is the answer, not a fault.
            if not self._control.stopped.is_set():
                raise

    async def _end_when_told(self) -> None:
        try:
            await asyncio.wait_for(self._control.stopped.wait(), self._limits.wall_seconds)
        except TimeoutError:
            self._control.stop(KillReason.TIMEOUT)
        await self._sandbox.kill()

    async def _pump(self) -> None:
        kept = {Stream.STDOUT: self.stdout, Stream.STDERR: self.stderr}
        async for stream, piece in self._sandbox.output():
            kept[stream].feed(piece)
            self.heard.set()
            if self.stdout.total + self.stderr.total > self._limits.output_kill:
                self._control.stop(KillReason.OUTPUT)
            else:
                await self._listener.tell(stream, piece)

    async def _drain(self, pump: "asyncio.Task[None]") -> None:
        """The dead write nothing more; what is in the socket is read, a stuck engine is not waited for."""
        try:
            await asyncio.wait_for(pump, _DRAIN_SECONDS)
        except TimeoutError:
            return


def _end(watching: "asyncio.Task[None] | None") -> None:
    if watching is not None and watching.done():
        watching.result()  # a watch that broke has watched nothing: say so
    elif watching is not None:
        watching.cancel()
