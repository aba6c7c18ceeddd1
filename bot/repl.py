"""The prompt in the main thread, the conversation in another, so that Ctrl-C reaches whichever is at work.

readline wants the main thread: only there a signal interrupts it, and then it puts the terminal back.
"""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any

from bot.keyboard import Keyboard

_INSIST = 0.1
"""Seconds after which a signal is sent again that nobody has heard."""


class Repl:
    """Between the two threads: lines one way, signals the other."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self._wanted = SimpleQueue[Future[str | None] | None]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._talk: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Any] | None = None
        self._opened = False
        self._signals, self._woken = socket.socketpair()

    def run(self, talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Hold a conversation to its end; raises what it raises, `CancelledError` where a signal ended it."""
        with (
            self._signals,
            self._woken,
            self._keyboard,
            _handled(
                {signal.SIGINT: self._interrupt, signal.SIGTERM: self._end, signal.SIGHUP: self._end},
                self._woken,
            ),
            ThreadPoolExecutor(1, "conversation") as pool,
        ):
            over = pool.submit(asyncio.run, self._hold(talk))
            over.add_done_callback(lambda _: self._wanted.put(None))
            while (wanted := self._wanted.get()) is not None:
                self._read_for(wanted)
            over.result()

    async def line(self) -> str | None:
        """What is typed next; None when the conversation shall end."""
        self._opened = True
        wanted = Future[str | None]()
        self._wanted.put(wanted)
        return await asyncio.wrap_future(wanted)

    async def stoppable[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Its result; None where Ctrl-C stopped it, and then it has really ended."""
        task = asyncio.create_task(work)
        self._work = task
        try:
            return await task
        except asyncio.CancelledError:
            if self._talk is not None and self._talk.cancelling():
                raise
            return None
        finally:
            self._work = None

    async def _hold(self, talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loop, self._talk = asyncio.get_running_loop(), asyncio.current_task()
        self._loop.add_reader(self._signals, self._signalled)
        try:
            await talk()
        finally:
            self._loop.remove_reader(self._signals)

    def _read_for(self, wanted: Future[str | None]) -> None:
        if not wanted.set_running_or_notify_cancel():
            return
        try:
            wanted.set_result(self._keyboard.read())
        except BaseException as error:  # noqa: BLE001  (the conversation waits: it must hear of any end)
            wanted.set_exception(error)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self._keyboard.interrupt():
            self._call(self._stop_work)

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self._keyboard.end():
            self._call(self._stop_all)

    def _signalled(self) -> None:
        """One that comes just before readline begins to wait would be heard with the next key only."""
        number, reading = self._signals.recv(64)[-1], self._keyboard.reading
        if reading and self._loop is not None:
            self._loop.call_later(_INSIST, self._insist, number, reading)

    def _insist(self, number: int, reading: int) -> None:
        if self._keyboard.reading == reading:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _call(self, what: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    def _stop_work(self) -> None:
        """Once: a second cancellation would cut the clearing up that the first one began."""
        if self._work is not None:
            if not self._work.cancelling():
                self._work.cancel()
        elif not self._opened:
            self._stop_all()

    def _stop_all(self) -> None:
        if self._talk is not None and not self._talk.cancelling():
            self._talk.cancel()


@contextmanager
def _handled(
    handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]], woken: socket.socket
) -> Iterator[None]:
    """These handlers for these signals, each of which is also written to `woken`; then what there was."""
    woken.setblocking(False)
    fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd)
