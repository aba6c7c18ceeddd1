"""One execution for one caller, who is answered as it goes or at its end, and who may go away."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.domain.results import ExecutionResult
from orchestrator.domain.sandbox import Stream
from orchestrator.errors import SandglassError
from orchestrator.http import wire

_PIECES = 64
"""Waiting to be read; then the pump of the sandbox waits as well."""

type Start = Callable[[Callable[[Stream, bytes], Any] | None], Coroutine[Any, Any, ExecutionResult]]
"""Begins the execution; takes who listens to its output."""


class Running:
    """An execution under way. A caller who goes away cancels it, as in one process."""

    def __init__(self, execution_id: str, start: Start, *, streamed: bool) -> None:
        self.execution_id = execution_id
        self._room = asyncio.Semaphore(_PIECES)
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task = asyncio.create_task(start(self._hear if streamed else None))

    async def begin(self) -> None:
        """Let it get as far as it does without waiting, so that what it refuses has a status of its own."""
        await asyncio.sleep(0)
        if self.task.done():
            self.task.result()

    async def _hear(self, stream: Stream, piece: bytes) -> None:
        await self._room.acquire()
        self._lines.put_nowait(wire.output_line(stream, piece))

    async def to_the_end(self, receive: Receive) -> ExecutionResult | None:
        """The result; None where the caller went away."""
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({self.task, gone}, return_when=asyncio.FIRST_COMPLETED)
            return self.task.result() if self.task.done() else None
        finally:
            gone.cancel()
            self.task.cancel()  # nothing, where it is done

    async def stream(self, receive: Receive, send: Callable[[bytes], Any]) -> None:
        """Send events until the last one, or until nobody listens."""
        gone = asyncio.create_task(_until_gone(receive))
        for task in (self.task, gone):
            task.add_done_callback(lambda _: self._lines.put_nowait(None))
        try:
            await send(wire.line({"accepted": {"execution_id": self.execution_id}}))
            while (line := await self._next()) is not None:
                await send(line)
            if self.task.done():
                await send(self._last_line())
        finally:
            gone.cancel()
            self.task.cancel()

    async def _next(self) -> bytes | None:
        try:
            line = await asyncio.wait_for(self._lines.get(), wire.HEARTBEAT_SECONDS)
        except TimeoutError:
            return wire.line({})
        if line is not None:
            self._room.release()
        return line

    def _last_line(self) -> bytes:
        try:
            return wire.line({"result": self.task.result().model_dump(mode="json")})
        except SandglassError as error:
            return wire.line({"error": wire.error_body(error) | {"status": wire.status_of(error)}})


class Events(Response):
    """The running execution as NDJSON."""

    def __init__(self, running: Running) -> None:
        super().__init__(media_type=wire.EVENTS)
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the head, the events and the end."""

        async def _send(line: bytes) -> None:
            await send({"type": "http.response.body", "body": line, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._running.stream(receive, _send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
