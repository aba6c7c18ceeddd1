"""What is kept of a stream: its head, its tail, and a count of what fell between."""

from collections import deque


class BoundedStream:
    """Keeps the first and the last `keep` bytes of what is fed; memory stays below three times `keep`."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.total = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the stream."""
        self.total += len(piece)
        room = self._keep - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if not piece:
            return
        piece = piece[-self._keep :]
        self._tail.append(piece)
        self._tail_bytes += len(piece)
        while self._tail_bytes - len(self._tail[0]) >= self._keep:
            self._tail_bytes -= len(self._tail.popleft())

    @property
    def dropped(self) -> int:
        """Bytes that were neither in the head nor in the tail."""
        return max(0, self.total - 2 * self._keep)

    def text(self) -> str:
        """Head and tail as UTF-8, between them a line that counts what was dropped; NULs become U+FFFD."""
        tail = b"".join(self._tail)[-self._keep :] if self._keep else b""
        if not self.dropped:
            return _decode(bytes(self._head) + tail)
        return f"{_decode(bytes(self._head))}\n... {self.dropped} bytes dropped ...\n{_decode(tail)}"


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\0", "\ufffd")
