"""The orchestrator of another process, by its HTTP service: the same methods, results and errors."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from pydantic import TypeAdapter

from orchestrator.domain.files import StoredFile
from orchestrator.domain.results import Execution, ExecutionResult
from orchestrator.domain.status import Bounds, InterpreterStatus
from orchestrator.errors import ConfigurationError, SandglassError, ServiceUnavailable
from orchestrator.http import wire
from orchestrator.lifecycle.listen import Listener, OnOutput
from orchestrator.requests import checked_execution_id, checked_owner, checked_request
from orchestrator.storage.blobs import reading, too_large

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
"""Of any silence: also a running execution says something every 15 s."""
_PIECE = 1 << 18
_UNIX = "unix:"
_CANCEL_AGAIN = 0.2

_NUMBER = TypeAdapter(int)
_ANSWER = TypeAdapter(dict[str, bool | str | None])
_FILE = TypeAdapter(StoredFile)
_FILES = TypeAdapter(list[StoredFile])
_EXECUTION = TypeAdapter(Execution)
_EXECUTIONS = TypeAdapter(list[Execution])
_RESULT = TypeAdapter(ExecutionResult)
_STATUS = TypeAdapter(InterpreterStatus)
_BOUNDS = TypeAdapter(Bounds)


class RemoteOrchestrator:
    """A `Sandglass` behind HTTP; made by `open_remote`. Errors of the connection are `ServiceUnavailable`."""

    def __init__(self, client: httpx2.AsyncClient, bounds: Bounds) -> None:
        self._client = client
        self._bounds = bounds
        self._running: set[str] = set()

    @property
    def bounds(self) -> Bounds:
        """As the service had them when it was opened."""
        return self._bounds

    async def execute_code(
        self,
        code: str,
        user_id: str | int,
        user_files: Sequence[str] | None = None,
        timeout: float | None = None,
        *,
        on_output: OnOutput | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """See `Orchestrator.execute_code`; a cancellation waits for the end of the remote execution too."""
        request = checked_request(code, user_id, user_files, timeout, max_timeout=self._bounds.max_timeout)
        execution_id = checked_execution_id(execution_id)
        body = {
            "code": request.code,
            "user_files": None if request.user_files is None else [_known(r) for r in request.user_files],
            "timeout": request.timeout,
            "execution_id": execution_id,
        }
        running = asyncio.create_task(self._follow(request.owner, body, on_output))
        self._running.add(execution_id)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            with contextlib.suppress(SandglassError):  # what became of it is in the service's index
                await self._end(execution_id, running)
            raise
        finally:
            self._running.discard(execution_id)

    async def _end(self, execution_id: str, running: asyncio.Task[ExecutionResult]) -> None:
        """Cancel until it is heard: the request itself may still be on its way."""
        try:
            while not running.done() and not await self.cancel(execution_id):
                await asyncio.wait({running}, timeout=_CANCEL_AGAIN)
            await running
        finally:
            running.cancel()

    async def _follow(self, owner: str, body: dict[str, Any], on_output: OnOutput | None) -> ExecutionResult:
        headers = {"accept": wire.EVENTS, "content-type": "application/json"}
        path = f"/v1/owners/{wire.part(owner)}/executions"
        listener = Listener(on_output)
        listener.hurry()  # a slow listener slows neither the program nor us: all there can be is 64 MiB
        try:
            result = await self._read(path, headers, body, listener)
            await listener.finish()
        except BaseException:
            listener.leave()
            raise
        return result

    async def _read(
        self, path: str, headers: dict[str, str], body: dict[str, Any], listener: Listener
    ) -> ExecutionResult:
        with _connection(self._client):
            content = json.dumps(body).encode()
            async with self._client.stream("POST", path, content=content, headers=headers) as response:
                await _raise_for(response)
                async for text in response.aiter_lines():
                    event = json.loads(text)
                    if "output" in event:
                        await listener.tell(*wire.output_from(event["output"]))
                    elif "result" in event:
                        return _RESULT.validate_python(event["result"], strict=False)
                    elif "error" in event:
                        raise wire.error_from(event["error"], int(event["error"].get("status", 500)))
        raise ServiceUnavailable(
            "The service broke off before the execution had ended: see `sandglass executions ls`."
        )

    async def prewarm(self, user_id: str | int) -> bool:
        """See `Orchestrator.prewarm`."""
        return bool((await self._ask(_ANSWER, "POST", f"{_owner(user_id)}/prewarm"))["warm"])

    async def position(self, execution_id: str) -> int:
        """See `Orchestrator.position`."""
        return await self._ask(_NUMBER, "GET", f"/v1/executions/{wire.part(execution_id)}/position")

    async def cancel(self, execution_id: str) -> bool:
        """See `Orchestrator.cancel`."""
        return bool(
            (await self._ask(_ANSWER, "POST", f"/v1/executions/{wire.part(execution_id)}/cancel"))["ended"]
        )

    async def kill(self, execution_id: str) -> bool:
        """See `Orchestrator.kill`."""
        return bool(
            (await self._ask(_ANSWER, "POST", f"/v1/executions/{wire.part(execution_id)}/kill"))["ended"]
        )

    async def upload_file(
        self, user_id: str | int, file_data: bytes | BinaryIO | Path, filename: str
    ) -> StoredFile:
        """See `Orchestrator.upload_file`; a file on disk is sent piece by piece."""
        path = f"{_owner(user_id)}/upload{wire.query(filename=filename)}"
        headers = {"content-type": "application/octet-stream"}
        async with _opened(file_data) as source:
            content = _pieces(source, self._bounds.max_file_bytes)
            return await self._ask(_FILE, "PUT", path, content=content, headers=headers)

    async def list_user_files(self, user_id: str | int) -> list[StoredFile]:
        """See `Orchestrator.list_user_files`."""
        return await self._ask(_FILES, "GET", f"{_owner(user_id)}/files")

    async def get_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """See `Orchestrator.get_file`."""
        return await self._ask(_FILE, "GET", _file(user_id, file_id))

    async def load_file(self, file_id: str, user_id: str | int) -> bytes:
        """See `Orchestrator.load_file`."""
        return await self._bytes("GET", _file(user_id, file_id, "/content"))

    async def link(self, file_id: str, user_id: str | int, ttl: timedelta | None = None) -> str | None:
        """See `Orchestrator.link`."""
        seconds = None if ttl is None else ttl.total_seconds()
        link = (await self._ask(_ANSWER, "POST", _file(user_id, file_id, "/link", seconds=seconds)))["link"]
        return None if link is None else str(link)

    async def delete_user_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """See `Orchestrator.delete_user_file`."""
        return await self._ask(_FILE, "DELETE", _file(user_id, file_id))

    async def clear_workspace(self, user_id: str | int) -> int:
        """See `Orchestrator.clear_workspace`."""
        return await self._ask(_NUMBER, "DELETE", f"{_owner(user_id)}/workspace")

    async def extend_file(self, file_id: str, user_id: str | int, hours: float | None = None) -> StoredFile:
        """See `Orchestrator.extend_file`."""
        return await self._ask(_FILE, "POST", _file(user_id, file_id, "/extend", hours=hours))

    async def list_executions(
        self, user_id: str | int | None = None, limit: int = 50, *, before: str | None = None
    ) -> list[Execution]:
        """See `Orchestrator.list_executions`; at most 1000."""
        owner = None if user_id is None else checked_owner(user_id)
        query = wire.query(owner=owner, limit=limit, before=before)
        return await self._ask(_EXECUTIONS, "GET", f"/v1/executions{query}")

    async def get_execution(self, execution_id: str) -> Execution:
        """See `Orchestrator.get_execution`."""
        return await self._ask(_EXECUTION, "GET", f"/v1/executions/{wire.part(execution_id)}")

    async def forget_executions(self, user_id: str | int) -> int:
        """See `Orchestrator.forget_executions`."""
        return await self._ask(_NUMBER, "DELETE", f"{_owner(user_id)}/executions")

    async def get_interpreter_status(self) -> InterpreterStatus:
        """See `Orchestrator.get_interpreter_status`."""
        return await self._ask(_STATUS, "GET", "/v1/status")

    async def close(self) -> None:
        """Cancel what was begun here and still runs."""
        for execution_id in tuple(self._running):
            with contextlib.suppress(SandglassError):
                await self.cancel(execution_id)

    async def _ask[T](self, of: TypeAdapter[T], method: str, path: str, **more: Any) -> T:
        with _connection(self._client):
            return of.validate_json(await self._bytes(method, path, **more))

    async def _bytes(self, method: str, path: str, **more: Any) -> bytes:
        with _connection(self._client):
            async with self._client.stream(method, path, **more) as response:
                await _raise_for(response)
                return await response.aread()


@asynccontextmanager
async def open_remote(url: str, token: str | None = None) -> AsyncIterator[RemoteOrchestrator]:
    """Open the service at `url`: `http://host:port`, or `unix:/path/of/its.sock`; `token` is the service's.

    Raises `ServiceUnavailable` where none answers and `ConfigurationError` where the token is refused.
    On leaving, executions begun here are cancelled and their files kept.
    """
    client = await asyncio.to_thread(_client, url, token)
    async with client:
        with _connection(client):
            response = await client.get("/v1/bounds")
            await _raise_for(response)
            bounds = _BOUNDS.validate_json(response.content)
        remote = RemoteOrchestrator(client, bounds)
        try:
            yield remote
        finally:
            await remote.close()


def _client(url: str, token: str | None) -> httpx2.AsyncClient:
    """Blocks: certificates are read."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    unix = url.removeprefix(_UNIX) if url.startswith(_UNIX) else None
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0)
    try:
        return httpx2.AsyncClient(
            base_url="http://sandglass" if unix else url.rstrip("/"),
            headers=headers,
            timeout=_TIMEOUT,
            # Never by way of a proxy that the environment names: the token would go there.
            trust_env=False,
            transport=httpx2.AsyncHTTPTransport(uds=unix, limits=limits, trust_env=False),
        )
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConfigurationError(
            f"The service's address {url!r} is not usable: set SANDGLASS_URL like http://127.0.0.1:8730."
        ) from error


@contextlib.contextmanager
def _connection(client: httpx2.AsyncClient) -> Iterator[None]:
    """Turn what can go wrong between us and the service into one error."""
    try:
        yield
    except httpx2.UnsupportedProtocol as error:
        raise ConfigurationError(
            f"The service's address {str(client.base_url)!r} is not usable: "
            "set SANDGLASS_URL like http://127.0.0.1:8730."
        ) from error
    except httpx2.ConnectError as error:
        raise ServiceUnavailable(
            f"No service answers at {client.base_url}: start `sandglass serve`, or correct SANDGLASS_URL."
        ) from error
    except httpx2.HTTPError as error:
        raise ServiceUnavailable(
            f"The service at {client.base_url} broke off ({type(error).__name__}): try again."
        ) from error
    except ValueError as error:
        raise ServiceUnavailable(
            f"What answers at {client.base_url} is no service of this version: correct SANDGLASS_URL."
        ) from error


async def _raise_for(response: httpx2.Response) -> None:
    if response.status_code == httpx2.codes.OK:
        return
    raw = await response.aread()
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        raise ConfigurationError(
            "The service refused the token: set SANDGLASS_HTTP_TOKEN to the same value on both sides."
        )
    try:
        said = json.loads(raw)["error"]
    except (ValueError, TypeError, KeyError):
        raise ServiceUnavailable(
            f"The service answered with {response.status_code} and no reason: try again, then see its log."
        ) from None
    raise wire.error_from(said, response.status_code)


@asynccontextmanager
async def _opened(source: bytes | BinaryIO | Path) -> AsyncIterator[BinaryIO]:
    context = reading(source)
    stream = await asyncio.to_thread(context.__enter__)
    try:
        yield stream
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def _pieces(source: BinaryIO, most: int) -> AsyncIterator[bytes]:
    """The bytes of a source; refuses here what the service would, which then need not be sent so far."""
    size = 0
    while piece := await asyncio.to_thread(source.read, _PIECE):
        size += len(piece)
        if size > most:
            raise too_large(most)
        yield piece


def _owner(user_id: str | int) -> str:
    return f"/v1/owners/{wire.part(checked_owner(user_id))}"


def _file(user_id: str | int, ref: str, what: str = "", **more: float | None) -> str:
    return f"{_owner(user_id)}/file{what}{wire.query(ref=ref, **more)}"


def _known(ref: str) -> str:
    """The reference as JSON can carry it; a lone surrogate is in no stored name."""
    return ref.encode(errors="replace").decode()
