"""Output on its way out: in order, never waited for, and over when nobody reads."""

import asyncio
import io
import os
import sys
import time
from collections.abc import Callable

import pytest

from orchestrator import Stream
from orchestrator.cli.streaming import Outlet


class Target(io.RawIOBase):
    """One stream of the command: remembers what was written, as a terminal or as a pipe."""

    def __init__(self, *, terminal: bool = False, before: Callable[[], None] = lambda: None) -> None:
        self.seen = b""
        self._terminal = terminal
        self._before = before

    def isatty(self) -> bool:
        return self._terminal

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        assert isinstance(piece, bytes)
        self._before()
        self.seen += piece
        return len(piece)


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put these in the places of stdout and stderr."""

    def put(out: io.RawIOBase, err: io.RawIOBase | None = None) -> None:
        targets = {"stdout": out, "stderr": err or Target()}
        monkeypatch.setattr("orchestrator.cli.streaming._target", lambda name: targets[name])

    return put


def _never() -> None:
    raise AssertionError("the reader is still there")


async def test_both_streams_keep_their_order(plug: Callable[..., None]) -> None:
    """A thousand pieces of each stream arrive once, in order, each in its own stream."""
    out, err = Target(), Target()
    plug(out, err)
    outlet = Outlet(_never)
    for index in range(1000):
        outlet(Stream.STDOUT, f"{index}\n".encode())
        outlet(Stream.STDERR, f"-{index}\n".encode())
    await outlet.drain()
    assert out.seen == b"".join(f"{index}\n".encode() for index in range(1000))
    assert err.seen == b"".join(f"-{index}\n".encode() for index in range(1000))
    assert outlet.closed is False


async def test_streams_that_share_a_terminal_are_interleaved_as_they_came(plug: Callable[..., None]) -> None:
    """What was printed first is seen first, whichever stream it was printed to."""
    both = Target(terminal=True)
    plug(both, both)
    outlet = Outlet(_never)
    for index in range(20):
        outlet(Stream.STDOUT if index % 2 else Stream.STDERR, f"{index} ".encode())
    await outlet.drain()
    assert both.seen.split() == [str(index).encode() for index in range(20)]


async def test_a_slow_reader_holds_nothing_up(plug: Callable[..., None]) -> None:
    """Pieces are taken at once while the reader sleeps, and draining waits for the last of them."""
    out = Target(before=lambda: time.sleep(0.02))
    plug(out)
    outlet = Outlet(_never)
    for _ in range(10):
        outlet(Stream.STDOUT, b"x")
    assert len(out.seen) < 10
    ticks = 0
    draining = asyncio.create_task(outlet.drain())
    while not draining.done():
        ticks += 1
        await asyncio.sleep(0.005)
    assert out.seen == b"x" * 10
    assert ticks > 3


async def test_a_reader_that_goes_away_is_told_once(plug: Callable[..., None]) -> None:
    """A broken pipe calls back once, on the event loop; what comes after it is dropped without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    gone = asyncio.Event()
    calls: list[asyncio.AbstractEventLoop] = []

    def told() -> None:
        calls.append(asyncio.get_running_loop())
        gone.set()

    with os.fdopen(writing, "wb", buffering=0) as pipe:
        plug(pipe)
        outlet = Outlet(told)
        for _ in range(5):
            outlet(Stream.STDOUT, b"x")
        await asyncio.wait_for(gone.wait(), 5)
        outlet(Stream.STDOUT, b"more")
        await outlet.drain()
    assert outlet.closed is True
    assert calls == [asyncio.get_running_loop()]


async def test_a_stream_that_was_closed_is_a_reader_gone(plug: Callable[..., None]) -> None:
    """Python's own word for a closed file ends the output like a broken pipe does."""
    out = Target()
    out.close()
    plug(out)
    gone = asyncio.Event()
    outlet = Outlet(gone.set)
    outlet(Stream.STDOUT, b"x")
    await asyncio.wait_for(gone.wait(), 5)
    await outlet.drain()
    assert outlet.closed is True


async def test_a_pipe_gets_the_bytes_as_they_are(plug: Callable[..., None]) -> None:
    """Only a terminal obeys escapes: a pipe or a file gets what the program printed, to the byte."""
    out = Target()
    plug(out)
    outlet = Outlet(_never)
    data = bytes(range(256)) + "\u202e€".encode()
    outlet(Stream.STDOUT, data[:200])
    outlet(Stream.STDOUT, data[200:])
    await outlet.drain()
    assert out.seen == data


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_terminal_gets_the_same_text_wherever_it_is_cut(plug: Callable[..., None], cut: int) -> None:
    """A split character is whole again, and a split escape sequence is still no escape sequence."""
    out = Target(terminal=True)
    plug(out)
    outlet = Outlet(_never)
    data = "é\x1b[2J\u202e€🎉".encode()
    outlet(Stream.STDOUT, data[:cut])
    outlet(Stream.STDOUT, data[cut:])
    await outlet.drain()
    assert out.seen.decode() == "é\\x1b[2J\\u202e€🎉"


async def test_streams_do_not_complete_each_others_characters(plug: Callable[..., None]) -> None:
    """Half a character of one stream is not joined to the other's, and is spelled out at the end."""
    out, err = Target(terminal=True), Target(terminal=True)
    plug(out, err)
    outlet = Outlet(_never)
    outlet(Stream.STDOUT, "é".encode()[:1])
    outlet(Stream.STDERR, "é".encode()[1:])
    await outlet.drain()
    assert (out.seen, err.seen) == (b"\\xc3", b"\\xa9")


async def test_without_output_draining_is_immediate(plug: Callable[..., None]) -> None:
    """A program that prints nothing leaves nothing, and the thread ends."""
    out = Target()
    plug(out)
    outlet = Outlet(_never)
    await asyncio.wait_for(outlet.drain(), 5)
    assert out.seen == b""


def test_the_streams_are_those_of_the_process() -> None:
    """Each name is the buffer of the stream that is called so."""
    from orchestrator.cli.streaming import _target

    assert _target("stdout") is sys.stdout.buffer
    assert _target("stderr") is sys.stderr.buffer
