"""What service and client say to each other: errors and events as JSON, names as parts of an address."""

import base64
import binascii
import inspect
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from orchestrator import errors
from orchestrator.domain.sandbox import Stream
from orchestrator.errors import Fault, FileNotFoundOrExpired, Refused, SandglassError

EVENTS = "application/x-ndjson"
"""Asked for by `Accept`: a JSON object a line, `accepted`, then `output`s, at the end `result` or `error`."""

HEARTBEAT_SECONDS = 15.0
"""A silent execution still says `{}` this often, so that either side notices when the other is gone."""

_STATUS: Mapping[type[SandglassError], int] = {
    errors.FileNotFoundOrExpired: 404,
    errors.ExecutionNotFound: 404,
    errors.LinkNotFound: 404,
    errors.FileTooLarge: 413,
    errors.QueueFull: 429,
    errors.RateLimited: 429,
    errors.WorkspaceFull: 409,
    errors.EngineUnavailable: 503,
    errors.ImageMissing: 503,
    errors.DiskReserveReached: 503,
    Refused: 400,
    Fault: 500,
    SandglassError: 500,
}
_CLASSES: Mapping[str, type[SandglassError]] = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, SandglassError) and one.__module__ == errors.__name__
}


def status_of(error: SandglassError) -> int:
    """The HTTP status of an error: that of its class, else of the nearest one above it."""
    return next(_STATUS[one] for one in type(error).__mro__ if one in _STATUS)


def error_body(error: SandglassError) -> dict[str, Any]:
    """The JSON of an error: its type, its sentence, and what its class holds beside."""
    return {"type": type(error).__name__, "message": str(error)} | {
        name: value for name, value in vars(error).items() if not name.startswith("_")
    }


def error_from(body: object, status: int) -> SandglassError:
    """The error that the service raised, of the same class with the same sentence."""
    said = body if isinstance(body, dict) else {}
    message = str(said.get("message") or f"The service answered with {status}: see its log.")
    one = _CLASSES.get(str(said.get("type")), Refused if status < 500 else Fault)
    if one is FileNotFoundOrExpired:
        available = said.get("available")
        names = tuple(map(str, available)) if isinstance(available, list) else ()
        return FileNotFoundOrExpired(str(said.get("ref", "")), names)
    error = one.__new__(one, message)
    for name, value in said.items():
        if name.isidentifier() and not name.startswith("_") and name not in {"type", "message"}:
            setattr(error, name, value)
    return error


def output_line(stream: Stream, piece: bytes) -> bytes:
    """One piece of output as an event; text where it is text, base64 where it is not."""
    try:
        content = {"text": piece.decode()}
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(piece).decode()}
    return line({"output": {"stream": stream.value, **content}})


def output_from(said: Mapping[str, Any]) -> tuple[Stream, bytes]:
    """What `output_line` was given; `ValueError` for what it never makes."""
    stream = Stream(str(said.get("stream")))
    if isinstance(text := said.get("text"), str):
        return stream, text.encode()
    try:
        return stream, base64.b64decode(str(said.get("base64")), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def line(event: Mapping[str, Any]) -> bytes:
    """One event."""
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def part(name: str) -> str:
    """A name as one segment of a path: nothing in it separates, climbs or ends the path."""
    return quote(name, safe="", errors="replace").replace(".", "%2E")


def query(**values: str | float | None) -> str:
    """A query of those values that are not None; lone surrogates, which no stored name has, become `?`."""
    said = [
        f"{key}={quote(str(value), safe='', errors='replace')}"
        for key, value in values.items()
        if value is not None
    ]
    return "?" + "&".join(said) if said else ""
