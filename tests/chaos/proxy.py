"""A unix socket in front of the engine's that can swallow a reply: it is done, and nobody hears of it."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENGINE = "/var/run/docker.sock"


class Proxy:
    """Passes everything on, save the reply to the next request that matches `swallow`."""

    def __init__(self, path: Path) -> None:
        self.swallow: re.Pattern[bytes] | None = None
        self.swallowed = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up on everybody."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE)
            self._open += [client, engine]
            doomed = threading.Event()
            for pump in (self._requests, self._replies):
                thread = threading.Thread(target=pump, args=(client, engine, doomed))
                self._threads.append(thread)
                thread.start()

    def _requests(self, client: socket.socket, engine: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                if self.swallow is not None and self.swallow.match(piece):
                    self.swallow = None
                    doomed.set()
                engine.sendall(piece)
            engine.shutdown(socket.SHUT_WR)

    def _replies(self, client: socket.socket, engine: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while piece := engine.recv(1 << 16):
                if doomed.is_set():
                    self.swallowed += 1
                    client.shutdown(socket.SHUT_RDWR)
                    engine.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(path: Path) -> Iterator[Proxy]:
    """A proxy that listens at `path`."""
    proxy = Proxy(path)
    try:
        yield proxy
    finally:
        proxy.close()
