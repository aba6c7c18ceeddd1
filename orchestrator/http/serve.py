"""The service as a process: a socket of its own, a host that held, an end that answers whoever waits."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import uvicorn

from orchestrator.app import Orchestrator, open_orchestrator
from orchestrator.errors import ConfigurationError
from orchestrator.http.app import make_app
from orchestrator.http.protocol import PatientProtocol
from orchestrator.settings import Settings
from orchestrator.steady import settle, share_arenas

_CONNECTIONS = 256
_HEADER_BYTES = 16_384
_GRACE_SECONDS = 30
"""How long the end waits for answers; the executions themselves are ended at once."""


async def serve(
    settings: Settings, *, host: str, port: int, path: Path | None, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address.

    Raises `ConfigurationError` without a token for a TCP port, or for an address that is taken, and
    `HostUnsafe` on a host where an attack got through.
    """
    token = None if settings.http_token is None else settings.http_token.get_secret_value()
    if token is None and path is None:
        raise ConfigurationError(
            "SANDGLASS_HTTP_TOKEN is not set: make one with `openssl rand -hex 32`, or serve on a --socket."
        )
    share_arenas()
    listener = await asyncio.to_thread(listen, path) if path else await asyncio.to_thread(bind, host, port)
    try:
        async with open_orchestrator(settings) as orchestrator:
            await orchestrator.require_host()
            await orchestrator.reap()
            async with serving(orchestrator, listener, token) as address:
                with _told_to_stop() as stopped:
                    settle()
                    ready(address)
                    await stopped.wait()
    finally:
        listener.close()
        if path is not None:
            await asyncio.to_thread(path.unlink, missing_ok=True)


@contextlib.asynccontextmanager
async def serving(
    orchestrator: Orchestrator, listener: socket.socket, token: str | None
) -> AsyncIterator[str]:
    """Serve an open orchestrator on a bound socket and yield the address; leaving ends what runs."""
    server = _Server(
        uvicorn.Config(
            make_app(orchestrator, token),
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # addresses hold names of files, and of links the right to fetch one
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        ),
        orchestrator,
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    started = asyncio.create_task(server.began.wait())
    await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    try:
        yield _address(listener)
    finally:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """uvicorn without its signals, which at its end also ends the executions that its callers wait for."""

    def __init__(self, config: uvicorn.Config, orchestrator: Orchestrator) -> None:
        super().__init__(config)
        self.began = asyncio.Event()
        self._orchestrator = orchestrator

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.began.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, end what runs, answer, and only then close."""
        ending = asyncio.create_task(self._orchestrator.close())
        await super().shutdown(sockets)
        await ending

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of whoever runs the process."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket at the address, port 0 for any that is free. Blocks to resolve the name."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"Cannot serve on {host}:{port} ({error.strerror}): choose another --host or --port."
        ) from error
    return listener


def listen(path: Path) -> socket.socket:
    """A unix socket that its owner alone can open, in the place of one that a dead process left. Blocks."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise ConfigurationError(f"Cannot serve on {path} ({why}): choose another --socket.") from error
    return listener


def _remove_dead(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, "it is there and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


@contextlib.contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; a second one does what it does to any process."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def _heard() -> None:
        stopped.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, _heard)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
