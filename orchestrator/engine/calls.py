"""Calls to the Docker Engine in threads of their own, and its errors as sentences of ours."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigurationError, EngineFault, EngineUnavailable, SandglassError

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_HOST = "unix:///var/run/docker.sock"
CALL_SECONDS = 30
"""Longest that any call but waiting may take."""
CALL_THREADS = 8
WAIT_THREADS = 256
"""One a running container, made when needed; more wait their turn."""


class Calls:
    """Two clients in two time regimes: calls with a time limit, and waiting for a container without one."""

    def __init__(self, docker_host: str | None) -> None:
        self.host = docker_host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        if not self.host.startswith("unix://"):
            raise ConfigurationError(
                f"The Docker Engine must be this host's own, over unix://, not {self.host}, because "
                "workspaces are mounted by path: correct SANDGLASS_DOCKER_HOST."
            )
        self.socket_path = self.host.removeprefix("unix://")
        self._calling = ThreadPoolExecutor(CALL_THREADS, thread_name_prefix="engine-call")
        self._waiting = ThreadPoolExecutor(WAIT_THREADS, thread_name_prefix="engine-wait")
        self._making = threading.Lock()
        self._clients: dict[float | None, APIClient] = {}
        self.server = ""
        """The engine's version as its last answer named it; costs no question of its own."""

    async def call[T](self, function: Callable[["APIClient"], T]) -> T:
        """Run `function(client)` in a thread, within `CALL_SECONDS` a request."""
        return await asyncio.wrap_future(self._calling.submit(self.blocking, function))

    def blocking[T](self, function: Callable[["APIClient"], T]) -> T:
        """The same in this thread."""
        with translated(self.host):
            return function(self._client(CALL_SECONDS, CALL_THREADS))

    def wait(self, container_id: str) -> "asyncio.Future[int]":
        """Begin to wait for a started container's exit code; done only when it is dead."""

        def waiting() -> int:
            with translated(self.host):
                reply: Any = self._client(None, WAIT_THREADS).wait(
                    container_id, timeout=None, condition="not-running"
                )
            if reply.get("Error"):
                raise EngineFault(f"The engine lost sight of a container ({reply['Error']}): see its log.")
            return int(reply["StatusCode"])

        return asyncio.wrap_future(self._waiting.submit(waiting))

    def _client(self, timeout: float | None, pool: int) -> "APIClient":
        with self._making:
            if timeout not in self._clients:
                self._clients[timeout] = self._connect(timeout, pool)
            return self._clients[timeout]

    def _connect(self, timeout: float | None, pool: int) -> "APIClient":
        from docker import APIClient  # 150 ms that a command without an engine need not pay

        # docker-py leaves a socket that failed to connect to the collector: ask before it tries.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(self.socket_path)
        client = APIClient(base_url=self.host, version="auto", timeout=CALL_SECONDS, max_pool_size=pool)
        client.timeout = timeout  # type: ignore[assignment]  # None is what requests calls "no limit"
        client.trust_env = False  # a proxy is for the internet, and reading the variables costs time
        client.hooks["response"].append(self._note_server)
        return client

    def _note_server(self, response: Any, *_: object, **__: object) -> None:
        self.server = str(response.headers.get("Server", self.server))

    async def close(self) -> None:
        """Close connections; a thread that still waits comes home when its container dies."""
        self._calling.shutdown(wait=False, cancel_futures=True)
        self._waiting.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()
        self._clients.clear()


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Raise docker-py's and requests' errors as ours, each one sentence with what to do."""
    try:
        yield
    except SandglassError:
        raise
    except Exception as error:  # docker-py lets errors of four libraries through; each is told apart below
        raise _ours(error, host) from error


def _ours(error: Exception, host: str) -> Exception:
    from docker.errors import APIError, DockerException
    from requests.exceptions import ReadTimeout, RequestException

    if isinstance(error, APIError):
        return error if error.status_code in (404, 409) else engine_fault(error)
    if isinstance(error, ReadTimeout):
        return EngineFault(
            f"The Docker Engine at {host} did not answer within {CALL_SECONDS} s: see its log."
        )
    if isinstance(error, (RequestException, DockerException, OSError)):
        return EngineUnavailable(
            f"No Docker Engine answers at {host}: start it (`make engine`), or correct SANDGLASS_DOCKER_HOST."
        )
    return error


def engine_fault(error: Any) -> SandglassError:
    """An `APIError` as a fault, or as a wrong setting where it is about the runtime."""
    said = " ".join(str(error.explanation or error).split())
    if "unknown or invalid runtime name" in said.lower() or "unknown runtime specified" in said.lower():
        return ConfigurationError(
            f"The Docker Engine does not have the runtime asked for ({said}): "
            "install it, or correct SANDGLASS_RUNTIME."
        )
    return EngineFault(f"The Docker Engine refused ({error.status_code}: {said}): see its log.")
