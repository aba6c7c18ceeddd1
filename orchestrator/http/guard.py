"""What every request passes: who asks is known, what he sends is bounded, what fails is one sentence."""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from orchestrator.errors import Refused, SandglassError
from orchestrator.http import wire

log = structlog.get_logger(__name__)

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Message, Receive, Send], Awaitable[None]]

REQUEST_BYTES = 8_000_000
"""Largest JSON body: a program of the most bytes that may be run, each of them escaped."""

UPLOAD_PATH = "/upload"
"""The end of the paths whose bodies are bounded by whoever reads them."""

_OPEN = ("/healthz", "/readyz", "/f/")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Stands before the application; `token` None is for a socket that only its owner can open."""

    def __init__(self, app: App, token: str | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        answer = _Answer(send)
        if not self._may(scope):
            await answer.refuse(
                401, "Unauthorized", "Send the service's SANDGLASS_HTTP_TOKEN as `Authorization: Bearer ...`."
            )
            return
        if _declared(scope) > REQUEST_BYTES and not scope["path"].endswith(UPLOAD_PATH):
            await answer.refuse(413, "InvalidRequest", _TOO_LARGE)
            return
        try:
            await self._app(scope, _bounded(scope, receive), answer.send)
        except SandglassError as error:
            await answer.fail(error)
        except Exception as error:  # noqa: BLE001  # the last stop: whatever nobody foresaw still leaves as one sentence
            log.error("a request failed", path=scope["path"].partition("/f/")[0], error=type(error).__name__)
            await answer.refuse(500, "Fault", f"{type(error).__name__}; this is a defect, please report it.")

    def _may(self, scope: Message) -> bool:
        path = scope["path"]
        if self._expected is None or path in _OPEN or path.startswith("/f/"):
            return True
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(shown) == 1 and hmac.compare_digest(shown[0], self._expected)


_TOO_LARGE = f"The request has more than {REQUEST_BYTES} bytes: put data in a file and upload it."


class _Answer:
    """The way back: adds what every answer carries, and knows whether one has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self._begun = True
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await self._send(message)

    async def fail(self, error: SandglassError) -> None:
        """Answer with an error of ours."""
        await self._json(wire.status_of(error), {"error": wire.error_body(error)})

    async def refuse(self, status: int, kind: str, sentence: str) -> None:
        """Answer with a sentence that has no class of ours."""
        await self._json(status, {"error": {"type": kind, "message": sentence}})

    async def _json(self, status: int, body: object) -> None:
        if self._begun:  # too late for a status; the connection ends without its proper end
            return
        raw = json.dumps(body).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(raw)).encode()),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": raw})


def _declared(scope: Message) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _bounded(scope: Message, receive: Receive) -> Receive:
    """The body, which must end before it is too long, declared or not."""
    if scope["path"].endswith(UPLOAD_PATH):
        return receive
    size = 0

    async def _receive() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > REQUEST_BYTES:
            raise Refused(_TOO_LARGE)
        return message

    return _receive
