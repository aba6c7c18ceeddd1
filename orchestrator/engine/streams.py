"""The attached socket of a container: one request in, two streams out, on the event loop without a thread."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

from orchestrator.domain.sandbox import Stream
from orchestrator.errors import EngineFault

READ_SIZE = 1 << 18
"""Bytes asked of the kernel at once; more than a socket buffer holds, so one call empties it."""

_OUTPUT = "stream=1&stdout=1&stderr=1"
_ALL = f"{_OUTPUT}&stdin=1"
_HEAD_END = b"\r\n\r\n"
_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}

type Piece = tuple[Stream, bytes]


class Demultiplexer:
    """Takes the engine's frames apart; pieces are passed on as they come, a frame need not be complete."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = Stream.STDOUT
        self._left = 0

    @property
    def is_between_frames(self) -> bool:
        """False when the connection would break in the middle of something."""
        return not self._left and not self._header

    def feed(self, data: bytes) -> list[Piece]:
        """Return what `data` adds, neighbours of the same stream joined."""
        pieces: list[tuple[Stream, list[memoryview]]] = []
        view, position = memoryview(data), 0
        while position < len(view):
            if not self._left:
                position = self._take_header(view, position)
                continue
            piece = view[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if pieces and pieces[-1][0] is self._stream:
                pieces[-1][1].append(piece)
            else:
                pieces.append((self._stream, [piece]))
        return [(stream, b"".join(parts)) for stream, parts in pieces]

    def _take_header(self, view: memoryview, position: int) -> int:
        end = position + _HEADER.size - len(self._header)
        self._header += bytes(view[position:end])
        if len(self._header) == _HEADER.size:
            number, self._left = _HEADER.unpack(self._header)
            self._header = b""
            if number not in _STREAMS:
                raise EngineFault(
                    f"The engine sent a frame of the unknown stream {number}: see what answers there."
                )
            self._stream = _STREAMS[number]
        return min(end, len(view))


def connect_attached(
    socket_path: str, api_version: str, container_id: str, timeout: float, *, stdin: bool = True
) -> socket.socket:
    """Attach to all three streams and return the bare connection; blocking, within `timeout` seconds a step.

    Without `stdin` to the two of output alone, of a container that may run already. By hand, because
    docker-py gives out a connection that its response object closes a second time.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(socket_path)
        connection.sendall(
            f"POST /v{api_version}/containers/{container_id}/attach?{_ALL if stdin else _OUTPUT} HTTP/1.1\r\n"
            "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
        )
        status = _head(connection).partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["101"]:
            raise EngineFault(
                f"The engine did not attach to a container ({status or 'no reply'}): see its log."
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _head(connection: socket.socket) -> bytes:
    """The head of the reply, and not a byte of the output that may have come with it."""
    head = b""
    while _HEAD_END not in head:
        seen = head + connection.recv(4096, socket.MSG_PEEK)
        if len(seen) == len(head):
            break
        end = seen.find(_HEAD_END)
        head += connection.recv((len(seen) if end < 0 else end + len(_HEAD_END)) - len(head))
    return head


class Attachment:
    """The connection of one container; reading is paced by whoever iterates, so nothing piles up here."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._frames = Demultiplexer()
        self._pending: list[Piece] = []
        self._closed = False

    async def send_and_finish(self, request: bytes) -> None:
        """Write everything, then end the container's stdin; raises `EngineFault` when nobody is there."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, request)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            # The runner reads its line to the end before it runs anything: this code has not run.
            raise EngineFault(
                f"The container was gone before its code was handed over ({error}): run it again."
            ) from error

    async def read_exactly(self, expected: bytes) -> bool:
        """Consume stdout as long as it spells `expected`; False when it is something else, or ends.

        What stderr says meanwhile (a library's warning while it is preloaded) is kept for the reader.
        """
        got, kept = b"", list[Piece]()
        while len(got) < len(expected) and expected.startswith(got):
            piece = await self._next()
            if piece is None:
                return False
            if piece[0] is Stream.STDOUT:
                got += piece[1]
            else:
                kept.append(piece)
        if len(got) > len(expected):
            kept.append((Stream.STDOUT, got[len(expected) :]))
        self._pending[:0] = kept
        return got.startswith(expected)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield until the engine closes the connection, which it does when both streams have ended."""
        while (piece := await self._next()) is not None:
            yield piece

    async def _next(self) -> Piece | None:
        while not self._pending:
            data = await self._receive()
            if not data:
                return None
            self._pending = self._frames.feed(data)
            # Data that is already there comes without waiting: let the others have their turn.
            await asyncio.sleep(0)
        return self._pending.pop(0)

    async def _receive(self) -> bytes:
        if self._closed:
            return b""
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, READ_SIZE)
        except OSError:
            # A removed container or a dying engine; `wait` says which, output so far is kept.
            return b""
        return data

    def close(self) -> None:
        """Let go of the connection; called again, it does nothing."""
        if not self._closed:
            self._closed = True
            self._socket.close()
