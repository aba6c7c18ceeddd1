"""The attached connection over a real unix socket: cut anywhere, broken off, slow, or no engine at all."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.sandbox import READY_LINE, Stream
from orchestrator.engine.streams import Attachment, Demultiplexer, connect_attached
from orchestrator.errors import EngineFault

NUMBERS = {Stream.STDOUT: 1, Stream.STDERR: 2}
SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
FRAMES = st.lists(st.tuples(st.sampled_from(list(Stream)), st.binary(max_size=40)), max_size=12)

type Piece = tuple[Stream, bytes]


def frame(stream: Stream, data: bytes) -> bytes:
    """One frame as the engine writes it."""
    return struct.pack(">BxxxL", NUMBERS[stream], len(data)) + data


def joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one stream as one, the empty ones left out."""
    found: list[Piece] = []
    for stream, data in pieces:
        if data and found and found[-1][0] is stream:
            found[-1] = (stream, found[-1][1] + data)
        elif data:
            found.append((stream, data))
    return found


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """The same bytes in pieces."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    for start, end in pairwise(edges):
        yield data[start:end]


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[Attachment, socket.socket]]:
    """An attachment, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    attachment = Attachment(ours)
    try:
        yield attachment, theirs
    finally:
        attachment.close()
        theirs.close()


@settings(deadline=None)
@given(FRAMES, st.lists(st.integers(0, 1 << 16), max_size=20))
def test_a_cut_anywhere_changes_nothing(frames: list[Piece], places: list[int]) -> None:
    """Wherever the connection cuts the bytes, the streams' contents and their order are the same."""
    frames_ = Demultiplexer()
    found = [
        piece for part in cut(b"".join(frame(*f) for f in frames), places) for piece in frames_.feed(part)
    ]
    assert joined(found) == joined(frames)
    assert frames_.is_between_frames


@settings(deadline=None)
@given(FRAMES.filter(bool))
def test_neighbours_come_as_one(frames: list[Piece]) -> None:
    """What arrives at once in one stream is one piece, and no piece is empty."""
    assert Demultiplexer().feed(b"".join(frame(*f) for f in frames)) == joined(frames)


@settings(deadline=None)
@given(FRAMES, st.binary(min_size=1, max_size=30), st.data())
def test_a_broken_off_frame_is_known_as_one(frames: list[Piece], last: bytes, data: st.DataObject) -> None:
    """A stream that ends inside a frame gives what was there, and is not between frames."""
    whole = frame(Stream.STDERR, last)
    kept = data.draw(st.integers(1, len(whole) - 1))
    frames_ = Demultiplexer()
    found = frames_.feed(b"".join(frame(*f) for f in frames) + whole[:kept])
    assert joined(found) == joined([*frames, (Stream.STDERR, whole[8:kept])])
    assert not frames_.is_between_frames


@settings(deadline=None)
@given(st.integers(0, 255).filter(lambda number: number not in (1, 2)), st.integers(0, 7))
def test_an_unknown_stream_is_refused_by_number(number: int, place: int) -> None:
    """A frame of neither stream is an error that names it, however its header is cut."""
    head = struct.pack(">BxxxL", number, 3)
    frames = Demultiplexer()
    assert frames.feed(head[:place]) == []
    with pytest.raises(EngineFault, match=f"unknown stream {number}: "):
        frames.feed(head[place:])


def test_what_looks_like_an_empty_frame_ends_nothing() -> None:
    """A frame of no bytes gives no piece, and the next one is read as always."""
    frames = Demultiplexer()
    assert frames.feed(frame(Stream.STDOUT, b"") * 1000) == []
    assert frames.feed(frame(Stream.STDERR, b"x")) == [(Stream.STDERR, b"x")]


def test_a_frame_of_four_gigabytes_is_not_kept() -> None:
    """A length that was only promised costs no memory: each part is passed on as it comes."""
    frames = Demultiplexer()
    assert frames.feed(struct.pack(">BxxxL", 1, 0xFFFF_FFFF) + b"abc") == [(Stream.STDOUT, b"abc")]
    assert frames.feed(b"def") == [(Stream.STDOUT, b"def")]
    assert not frames.is_between_frames


def test_a_program_cannot_forge_a_frame() -> None:
    """A header inside a frame's data is data."""
    forged = frame(Stream.STDERR, b"forged")
    assert Demultiplexer().feed(frame(Stream.STDOUT, forged)) == [(Stream.STDOUT, forged)]


async def test_the_pieces_end_with_the_connection() -> None:
    """What was sent before the other end closed comes whole, and then the iteration ends."""
    async with attached() as (attachment, theirs):
        theirs.send(frame(Stream.STDOUT, b"out") + frame(Stream.STDERR, b"err"))
        theirs.close()
        found = [piece async for piece in attachment.pieces()]
    assert found == [(Stream.STDOUT, b"out"), (Stream.STDERR, b"err")]


async def test_a_truncated_stream_gives_what_was_there() -> None:
    """An engine that dies inside a frame costs the rest, not what came before."""
    async with attached() as (attachment, theirs):
        theirs.send(frame(Stream.STDOUT, b"whole") + frame(Stream.STDERR, b"broken off")[:12])
        theirs.close()
        found = [piece async for piece in attachment.pieces()]
    assert found == [(Stream.STDOUT, b"whole"), (Stream.STDERR, b"brok")]


async def test_an_unknown_stream_on_the_connection_is_an_error() -> None:
    """Garbage is a sentence, never output of the program."""
    async with attached() as (attachment, theirs):
        theirs.send(b"HTTP/1.1 500 no\r\n")
        with pytest.raises(EngineFault, match="see what answers"):
            await anext(attachment.pieces())


async def test_a_closed_attachment_has_no_more_pieces() -> None:
    """Closing twice is no error, and reading afterwards is an end, not a wait."""
    async with attached() as (attachment, theirs):
        theirs.send(frame(Stream.STDOUT, b"late"))
        attachment.close()
        attachment.close()
        async with asyncio.timeout(5):
            assert [piece async for piece in attachment.pieces()] == []


async def test_the_request_is_followed_by_an_end_of_file_and_the_answer_still_comes() -> None:
    """Only the way in is closed: the program's output arrives after its stdin has ended."""
    loop = asyncio.get_running_loop()
    async with attached() as (attachment, theirs):
        await attachment.send_and_finish(b"the request\n")
        assert await loop.sock_recv(theirs, 100) == b"the request\n"
        assert await loop.sock_recv(theirs, 100) == b""
        await loop.sock_sendall(theirs, frame(Stream.STDOUT, b"the answer"))
        assert await anext(attachment.pieces()) == (Stream.STDOUT, b"the answer")


async def test_a_request_larger_than_any_buffer_arrives_whole() -> None:
    """Sending waits for a slow reader and loses nothing."""
    loop, request, got = asyncio.get_running_loop(), bytes(range(256)) * 8192, bytearray()
    async with attached() as (attachment, theirs):
        sending = asyncio.create_task(attachment.send_and_finish(request))
        await asyncio.sleep(0.01)
        assert not sending.done()
        while data := await loop.sock_recv(theirs, 1 << 16):
            got += data
        await sending
    assert bytes(got) == request


async def test_code_for_a_dead_container_is_an_error_with_a_remedy() -> None:
    """Nobody at the other end means that the code did not run, and can be run again."""
    async with attached() as (attachment, theirs):
        theirs.close()
        with pytest.raises(EngineFault, match=r"gone before its code was handed over .*run it again"):
            await attachment.send_and_finish(b"x")


async def test_a_slow_reader_slows_the_program() -> None:
    """Who does not read is not sent more than the connection holds."""
    loop, flood = asyncio.get_running_loop(), frame(Stream.STDOUT, b"y" * (1 << 23))
    async with attached() as (attachment, theirs):
        sending = asyncio.create_task(loop.sock_sendall(theirs, flood))
        pieces = attachment.pieces()
        first = await anext(pieces)
        await asyncio.sleep(0.02)
        assert not sending.done()
        total = len(first[1])
        while total < 1 << 23:
            total += len((await anext(pieces))[1])
        await sending
    assert total == 1 << 23


@given(st.lists(st.integers(0, len(READY_LINE)), max_size=6), st.binary(max_size=20), st.binary(max_size=20))
@settings(deadline=None, max_examples=40)
def test_a_split_ready_line_is_read_and_nothing_else_is_lost(
    places: list[int], warning: bytes, after: bytes
) -> None:
    """The line may come in any parts with warnings between; these and what follows are kept."""

    async def scene() -> None:
        async with attached() as (attachment, theirs):
            parts = list(cut(READY_LINE, places))
            parts[-1] += after
            sent = b"".join(frame(Stream.STDERR, warning) + frame(Stream.STDOUT, part) for part in parts)
            theirs.send(sent)
            theirs.close()
            assert await attachment.read_exactly(READY_LINE)
            rest = [piece async for piece in attachment.pieces()]
            assert b"".join(data for stream, data in rest if stream is Stream.STDERR) == warning * len(parts)
            assert b"".join(data for stream, data in rest if stream is Stream.STDOUT) == after

    asyncio.run(scene())


@pytest.mark.parametrize("said", [b"", READY_LINE[:-1], b"sandglass-ready 2\n", b"Traceback"])
async def test_another_line_is_not_ready(said: bytes) -> None:
    """A wrong or unfinished line, and none at all, are a no and not a wait."""
    async with attached() as (attachment, theirs):
        theirs.send(frame(Stream.STDOUT, said))
        theirs.close()
        assert not await attachment.read_exactly(READY_LINE)


async def test_a_ready_line_on_stderr_does_not_count() -> None:
    """Only stdout says that the runner waits."""
    async with attached() as (attachment, theirs):
        theirs.send(frame(Stream.STDERR, READY_LINE))
        theirs.close()
        assert not await attachment.read_exactly(READY_LINE)


@pytest.fixture
def engine_that_says() -> Iterator[Callable[[bytes], tuple[str, list[bytes]]]]:
    """A unix socket whose one connection gets given bytes and is closed; its path, and what it was asked."""
    with TemporaryDirectory(prefix="sg-") as name:
        threads: list[threading.Thread] = []

        def make(reply: bytes) -> tuple[str, list[bytes]]:
            path, got = str(Path(name) / f"{len(threads)}.sock"), list[bytes]()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.settimeout(10)
            listener.bind(path)
            listener.listen()

            def serve() -> None:
                with listener, closing(listener.accept()[0]) as connection:
                    got.append(connection.recv(65_536))
                    for byte in reply:
                        connection.sendall(bytes([byte]))

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return path, got

        yield make
        for thread in threads:
            thread.join()


def test_attaching_asks_for_all_three_streams(
    engine_that_says: Callable[..., tuple[str, list[bytes]]],
) -> None:
    """The request names the container and the streams; a head that comes byte by byte is read to its end."""
    path, got = engine_that_says(SWITCHED)
    connect_attached(path, "1.44", "abc", 5).close()
    line = got[0].partition(b"\r\n")[0].decode()
    assert line.startswith("POST /v1.44/containers/abc/attach?")
    assert {"stream=1", "stdin=1", "stdout=1", "stderr=1"} <= set(
        line.split(" ")[1].partition("?")[2].split("&")
    )


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"", "no reply"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200 OK"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0"),
        (b"\xff\xfe\r\n\r\n", "did not attach"),
    ],
)
def test_what_does_not_switch_is_not_attached(
    reply: bytes, told: str, engine_that_says: Callable[..., tuple[str, list[bytes]]]
) -> None:
    """Anything but a 101 is an error that tells what was said instead."""
    path, _ = engine_that_says(reply)
    with pytest.raises(EngineFault, match="did not attach to a container") as caught:
        connect_attached(path, "1.44", "abc", 5)
    assert told in str(caught.value)


def test_an_engine_that_never_answers_does_not_hold_the_caller() -> None:
    """Attaching has a time limit of its own."""
    with TemporaryDirectory(prefix="sg-") as name, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(name) / "mute.sock")
        listener.bind(path)
        listener.listen()
        with pytest.raises(TimeoutError):
            connect_attached(path, "1.44", "abc", 0.05)
