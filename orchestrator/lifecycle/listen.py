"""Output on its way to whoever listens: in order, at the listener's pace, and never at the result's cost."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from orchestrator.domain.sandbox import Stream

log = structlog.get_logger(__name__)

type OnOutput = Callable[[Stream, bytes], Awaitable[None] | None]

AHEAD = 1 << 20
"""Bytes that may wait for a listener before the program is held up, as by any slow reader."""
_STUCK_SECONDS = 2.0
"""How long a listener may take over one piece once the program has ended."""
_REST_SECONDS = 30.0
"""How long it may take over all of the rest."""


class Listener:
    """Calls `on_output` piece by piece. While the program runs a slow listener slows it down; afterwards the
    rest is delivered as long as the listener moves on, and a stuck one is left behind."""

    def __init__(self, on_output: OnOutput | None) -> None:
        self._on_output = on_output
        self._pieces: deque[tuple[Stream, bytes]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._is_over = False
        self._heard = 0
        self.waiting = 0
        """Bytes that it has not taken yet."""

    async def tell(self, stream: Stream, piece: bytes) -> None:
        """Pass a piece on; returns late where the listener is far behind and the program still runs."""
        if self._on_output is None:
            return
        self._pieces.append((stream, piece))
        self.waiting += len(piece)
        if self._worker is None and (answer := self._call()) is not None:
            self._worker = asyncio.create_task(self._work(answer))
        while self.waiting > AHEAD and not self._is_over:
            self._moved.clear()
            await self._moved.wait()

    def hurry(self) -> None:
        """The program has ended: nobody is held up any more, what is left of its output is little."""
        self._is_over = True
        self._moved.set()

    async def finish(self) -> None:
        """Return when everything was heard, or it does not move, or takes too long over the rest."""
        self.hurry()
        for _ in range(int(_REST_SECONDS / _STUCK_SECONDS)):
            if self._worker is None:
                return
            before = self._heard
            await asyncio.wait((self._worker,), timeout=_STUCK_SECONDS)
            if self._heard == before:
                break
        self.leave()

    def leave(self) -> None:
        """Call it no more."""
        if self._worker is not None:
            log.warning("the listener to the output was left behind", bytes=self.waiting)
            self._worker.cancel()
        self._on_output = None
        self._pieces.clear()

    def _call(self) -> Awaitable[None] | None:
        """Begin with the first piece; None where that was all of it, or the listener failed."""
        assert self._on_output is not None  # its callers have looked
        try:
            if (answer := self._on_output(*self._pieces[0])) is not None:
                return answer
        except Exception as error:  # noqa: BLE001  # the caller's own code: its mistake costs it the stream alone
            self._failed(error)
        else:
            self._took()
        return None

    async def _work(self, answer: Awaitable[None] | None) -> None:
        try:
            while answer is not None or self._pieces:
                if answer is not None:
                    await answer
                    if self._on_output is None:
                        return  # left behind, and deaf to its cancellation
                    self._took()
                answer = self._call() if self._pieces else None
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)
        finally:
            self._worker = None

    def _took(self) -> None:
        self.waiting -= len(self._pieces.popleft()[1])
        self._heard += 1
        self._moved.set()

    def _failed(self, error: Exception) -> None:
        log.warning("the listener to the output failed and hears no more", error=type(error).__name__)
        self._on_output = None
        self._pieces.clear()
        self.waiting = 0
        self._moved.set()
