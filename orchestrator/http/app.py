"""The routes, each asking the orchestrator one thing; owners and ids in the path, references in the query."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.app import Orchestrator
from orchestrator.domain.files import StoredFile
from orchestrator.domain.results import Execution, ExecutionResult
from orchestrator.domain.status import Bounds, InterpreterStatus
from orchestrator.errors import InvalidRequest, SandglassError
from orchestrator.http import wire
from orchestrator.http.guard import Guard
from orchestrator.http.running import Events, Running
from orchestrator.http.transfer import Download, Uploads
from orchestrator.requests import checked_execution_id

_READY_SECONDS = 5.0
"""For how long an answer about the engine is given again: anybody may ask."""

_CLIENT_GONE = 499
_NO_JSON = "The body is no valid JSON: see `/v1/openapi.json` for what belongs there."


class ExecuteBody(BaseModel):
    """The request of one execution; the fields are those of `execute_code`."""

    model_config = ConfigDict(extra="forbid")

    code: str
    user_files: list[str] | None = None
    timeout: float | None = None
    execution_id: str | None = None


def make_app(orchestrator: Orchestrator, token: str | None) -> Guard:
    """The service over an open orchestrator, as an ASGI application."""
    app = FastAPI(
        title="Sandglass",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        exception_handlers={
            SandglassError: _ours,
            HTTPException: _theirs,
            RequestValidationError: _malformed,
            404: _no_such_address,
            405: _no_such_address,
            Exception: _defect,
        },
    )
    _add_health(app, orchestrator)
    _add_executions(app, orchestrator)
    _add_control(app, orchestrator)
    _add_files(app, orchestrator)
    return Guard(app, token)


def _add_health(app: FastAPI, orchestrator: Orchestrator) -> None:
    checked_at, ready = float("-inf"), False
    checking = asyncio.Lock()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether this process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Whether an execution would find an engine and an image."""
        nonlocal checked_at, ready
        async with checking:
            if time.monotonic() - checked_at > _READY_SECONDS:
                ready = (await orchestrator.get_interpreter_status()).image is not None
                checked_at = time.monotonic()
        return JSONResponse({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)

    @app.get("/v1/bounds")
    async def bounds() -> Bounds:
        return orchestrator.bounds

    @app.get("/v1/status")
    async def status() -> InterpreterStatus:
        return await orchestrator.get_interpreter_status()


def _add_executions(app: FastAPI, orchestrator: Orchestrator) -> None:
    @app.post("/v1/owners/{owner}/executions", response_model=ExecutionResult)
    async def execute(owner: str, body: ExecuteBody, request: Request) -> Response:
        """Run code. With `Accept: application/x-ndjson` its output comes as it is printed."""
        execution_id = checked_execution_id(body.execution_id)

        def _start(hear: Callable[..., Any] | None) -> Coroutine[Any, Any, ExecutionResult]:
            return orchestrator.execute_code(
                body.code, owner, body.user_files, body.timeout, on_output=hear, execution_id=execution_id
            )

        streamed = wire.EVENTS in request.headers.get("accept", "")
        running = Running(execution_id, _start, streamed=streamed)
        await running.begin()
        if streamed:
            return Events(running)
        result = await running.to_the_end(request.receive)
        if result is None:
            return Response(status_code=_CLIENT_GONE)
        return Response(result.model_dump_json(), media_type="application/json")

    @app.post("/v1/owners/{owner}/prewarm")
    async def prewarm(owner: str) -> dict[str, bool]:
        return {"warm": await orchestrator.prewarm(owner)}


def _add_control(app: FastAPI, orchestrator: Orchestrator) -> None:
    @app.delete("/v1/owners/{owner}/executions")
    async def forget_executions(owner: str) -> int:
        """Forget code and output of what is over; stored files stay."""
        return await orchestrator.forget_executions(owner)

    @app.get("/v1/executions")
    async def list_executions(
        owner: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: str | None = None,
    ) -> list[Execution]:
        return await orchestrator.list_executions(owner, limit, before=before)

    @app.get("/v1/executions/{execution_id:path}/position")
    async def position(execution_id: str) -> int:
        return await orchestrator.position(execution_id)

    @app.get("/v1/executions/{execution_id:path}")
    async def get_execution(execution_id: str) -> Execution:
        return await orchestrator.get_execution(execution_id)

    @app.post("/v1/executions/{execution_id:path}/cancel")
    async def cancel(execution_id: str) -> dict[str, bool]:
        return {"ended": await orchestrator.cancel(execution_id)}

    @app.post("/v1/executions/{execution_id:path}/kill")
    async def kill(execution_id: str) -> dict[str, bool]:
        return {"ended": await orchestrator.kill(execution_id)}


def _add_files(app: FastAPI, orchestrator: Orchestrator) -> None:
    uploads = Uploads(orchestrator)

    @app.get("/v1/owners/{owner}/files")
    async def list_user_files(owner: str) -> list[StoredFile]:
        return await orchestrator.list_user_files(owner)

    @app.put("/v1/owners/{owner}/upload")
    async def upload_file(owner: str, filename: str, request: Request) -> StoredFile:
        """Store the body, whatever its type, under this name."""
        return await uploads.store(request, owner, filename)

    @app.get("/v1/owners/{owner}/file")
    async def get_file(owner: str, ref: str) -> StoredFile:
        return await orchestrator.get_file(ref, owner)

    @app.delete("/v1/owners/{owner}/file")
    async def delete_user_file(owner: str, ref: str) -> StoredFile:
        return await orchestrator.delete_user_file(ref, owner)

    @app.delete("/v1/owners/{owner}/workspace")
    async def clear_workspace(owner: str) -> int:
        return await orchestrator.clear_workspace(owner)

    @app.api_route("/v1/owners/{owner}/file/content", methods=["GET", "HEAD"])
    async def load_file(owner: str, ref: str) -> Response:
        return Download(*await orchestrator.open_file(ref, owner))

    @app.post("/v1/owners/{owner}/file/extend")
    async def extend_file(owner: str, ref: str, hours: float | None = None) -> StoredFile:
        return await orchestrator.extend_file(ref, owner, hours)

    @app.post("/v1/owners/{owner}/file/link")
    async def link(owner: str, ref: str, seconds: float | None = None) -> dict[str, str | None]:
        return {"link": await orchestrator.link(ref, owner, _lifetime(seconds))}

    @app.api_route("/f/{token:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def open_link(token: str) -> Response:
        return Download(*await orchestrator.open_link(token))


def _lifetime(seconds: float | None) -> timedelta | None:
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise InvalidRequest("A link can live for up to a year: give a number of seconds.") from error


def _answer(status: int, error: dict[str, Any]) -> Response:
    # json escapes what JSONResponse would not encode: a lone surrogate in a name that somebody asked for.
    return Response(json.dumps({"error": error}), status, media_type="application/json")


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, SandglassError)
    return _answer(wire.status_of(error), wire.error_body(error))


async def _theirs(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, SandglassError):  # met by the framework while it read the body
        return _answer(wire.status_of(error.__cause__), wire.error_body(error.__cause__))
    return _answer(error.status_code, {"type": "InvalidRequest", "message": _NO_JSON})


async def _malformed(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _answer(400, {"type": "InvalidRequest", "message": _NO_JSON})
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    sentence = f"{where[:80]} is not usable ({first['msg']}): correct it and send it again."
    return _answer(400, {"type": "InvalidRequest", "message": sentence})


async def _no_such_address(_: Request, error: Exception) -> Response:  # noqa: ARG001
    sentence = "There is nothing at this address for this method: see `/v1/openapi.json` for what there is."
    return _answer(404, {"type": "Refused", "message": sentence})


async def _defect(_: Request, error: Exception) -> Response:
    sentence = f"{type(error).__name__}; this is a defect, please report it."
    return _answer(500, {"type": "Fault", "message": sentence})
