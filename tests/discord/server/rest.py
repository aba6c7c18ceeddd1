"""The REST door: routes by Discord's own path templates, authorization, limits, the OpenAPI check."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .errors import DiscordError, refused, unauthorized
from .limits import InjectedError, Limits, LostError
from .openapi import Checker, Exchange
from .uploads import Body, read_body
from .world import World

PREFIX = "/api/v10"
VIA = {"Via": "1.1 google"}
MAJOR = ("channel_id", "guild_id", "webhook_id", "webhook_token")
type Json = dict[str, Any]
type Handler = Callable[["Call"], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status other than 200, with a body or none."""

    status: int
    body: Any = None


NO_CONTENT = Answer(status=204)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, taken apart."""

    parameters: dict[str, str]
    query: dict[str, str]
    body: Body
    reason: str | None

    def id(self, name: str) -> int:
        """A path parameter that is a snowflake; what is none belongs to nothing."""
        return int(self.parameters[name]) if self.parameters[name].isdigit() else 0

    @property
    def json(self) -> Json:
        """The JSON object of the body."""
        if not isinstance(self.body.json, dict):
            raise DiscordError(400, 50035, "Invalid Form Body")
        return self.body.json


@dataclass(frozen=True, kw_only=True)
class Route:
    """A handler under a template; `open` needs no bot token."""

    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    open: bool


class Routes:
    """A table that grows by decorators."""

    def __init__(self) -> None:
        self.table: list[Route] = []

    def add(self, method: str, template: str, handler: Handler, *, open: bool = False) -> None:
        """Literal paths must be added before the templates that also match them."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))
        self.table.append(
            Route(method=method, template=template, pattern=pattern, handler=handler, open=open)
        )

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its parameters, or Discord's 404/405."""
        other = False
        for route in self.table:
            if match := route.pattern.fullmatch(path):
                if route.method == method:
                    return route, match.groupdict()
                other = True
        if other:
            raise DiscordError(405, 0, "405: Method Not Allowed")
        raise DiscordError(404, 0, "404: Not Found")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One line of the request log."""

    method: str
    path: str
    status: int
    json: Any
    at: float
    """The loop's time at the last byte of the request."""


class Rest:
    """Serves the routes; keeps the last requests for tests to look at."""

    def __init__(self, world: World, routes: Routes, limits: Limits, checker: Checker, token: str) -> None:
        self._world = world
        self._routes = routes
        self._limits = limits
        self._checker = checker
        self._token = token
        self.requests: deque[Seen] = deque(maxlen=20_000)
        self.takes_files = True
        self.served = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Everything under the prefix."""
        method, path = request.method, request.path.removeprefix(PREFIX)
        body, template, injected = Body(), path, False
        at = 0.0
        headers: dict[str, str] = {}
        try:
            try:
                body = await read_body(request)
            finally:
                at = asyncio.get_running_loop().time()
                route, parameters = self._routes.find(method, path)
                template = route.template
            self._authorize(request, route)
            headers = self._admit(route, path, parameters)
            if body.files and not self.takes_files:
                raise refused(403)
            call = Call(
                parameters=parameters,
                query=dict(request.query),
                body=body,
                reason=request.headers.get("X-Audit-Log-Reason"),
            )
            answer, injected = await self._handled(route, call)
        except DiscordError as refusal:
            answer = Answer(status=refusal.status, body=refusal.body)
            headers = {**headers, **refusal.headers}
        except InjectedError as fault:
            injected = True
            answer = Answer(status=fault.status)
        except LostError:
            return hung_up(request)
        self.requests.append(Seen(method=method, path=path, status=answer.status, json=body.json, at=at))
        self.served += 1
        self._world.changed()
        self._checker.submit(
            Exchange(
                method=method,
                template=template,
                query=dict(request.query),
                asked=body.json,
                status=answer.status,
                answered=answer.body,
                injected=injected,
            )
        )
        return _response(answer, headers, injected=injected)

    async def _handled(self, route: Route, call: Call) -> tuple[Answer, bool]:
        """The handler's answer, and whether it is no answer of Discord's at all."""
        try:
            result = await route.handler(call)
        except (DiscordError, InjectedError, LostError):
            raise
        except Exception as fault:  # noqa: BLE001  (a double that breaks down must fail the test)
            self._checker.violations.append(
                f"{route.method} {route.template}: {fault!r} of the local Discord"
            )
            return Answer(status=500), True
        return (result if isinstance(result, Answer) else Answer(status=200, body=result)), False

    def _authorize(self, request: web.Request, route: Route) -> None:
        if not route.open and request.headers.get("Authorization") != f"Bot {self._token}":
            raise unauthorized()

    def _admit(self, route: Route, path: str, parameters: dict[str, str]) -> dict[str, str]:
        major = "/".join(parameters[name] for name in MAJOR if name in parameters)
        exempt = route.template.startswith(("/interactions/", "/gateway"))
        name = f"{route.method} {route.template}"
        return self._limits.admit(name, f"{route.method} {path}", major, exempt=exempt)


def hung_up(request: web.Request) -> web.Response:
    """Nothing arrives there: the line is cut first."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _response(answer: Answer, headers: dict[str, str], *, injected: bool) -> web.Response:
    if injected:
        page = f"<html><title>{answer.status}</title></html>".encode()
        return web.Response(status=answer.status, body=page, headers={**VIA, "Content-Type": "text/html"})
    if answer.body is None:
        return web.Response(status=answer.status, headers={**VIA, **headers})
    # nextcord parses a body only under exactly this type, without a charset, which is what Discord sends.
    body = json.dumps(answer.body).encode()
    return web.Response(
        status=answer.status, body=body, headers={**VIA, **headers, "Content-Type": "application/json"}
    )
