"""Output on its way to the caller: off the event loop, in order, and harmless to a terminal."""

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.cli.text import TerminalText

if TYPE_CHECKING:
    from orchestrator import Stream

_WRITE_OUT_SECONDS = 600.0


class Outlet:
    """Writes pieces of both streams from a thread of its own, so that a slow reader holds nothing up.

    What waits to be read is bounded by the output limit of an execution. When the reader is gone,
    `when_closed` is called once, on the event loop, and the rest is dropped.
    """

    def __init__(self, when_closed: Callable[[], None]) -> None:
        self._pieces: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._when_closed = when_closed
        self._loop = asyncio.get_running_loop()
        self._texts = {name: TerminalText() for name in ("stdout", "stderr")}
        self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
        self._thread.start()
        self.closed = False

    def __call__(self, stream: "Stream", piece: bytes) -> None:
        """Take one piece; never waits."""
        self._pieces.put((str(stream), piece))

    async def drain(self) -> None:
        """Return when everything taken so far was written, or nobody reads any more."""
        self._pieces.put(None)
        await asyncio.to_thread(self._thread.join, _WRITE_OUT_SECONDS)

    def _write_all(self) -> None:
        try:
            while (item := self._pieces.get()) is not None:
                self._write(*item)
            for name, text in self._texts.items():
                if rest := text.rest():
                    self._write(name, rest.encode())
        except (OSError, ValueError):  # the reader went away: a closed pipe, a hung-up terminal
            self.closed = True
            self._loop.call_soon_threadsafe(self._when_closed)

    def _write(self, name: str, piece: bytes) -> None:
        target = _target(name)
        if target.isatty():
            piece = self._texts[name].feed(piece).encode(errors="backslashreplace")
        target.write(piece)
        target.flush()


def _target(name: str) -> BinaryIO:
    return sys.stdout.buffer if name == "stdout" else sys.stderr.buffer
