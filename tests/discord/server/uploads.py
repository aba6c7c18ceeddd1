"""Bodies of requests: JSON or multipart with `payload_json` and `files[n]`, and the files' way to the CDN."""

import json
import mimetypes
import re
import struct
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from .errors import DiscordError, invalid_form, too_large
from .world import MIB, Attachment, Channel, World

REQUEST_LIMIT = 25 * MIB
FILES_PER_MESSAGE = 10
type Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file of a form."""

    filename: str
    data: bytes
    content_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Body:
    """What was sent: JSON and files by their `n`."""

    json: Any = None
    files: dict[int, Upload] = field(default_factory=dict)


async def read_body(request: web.Request) -> Body:
    """The body, read to its end even if it is refused, so that the client sees the answer."""
    if request.content_type == "multipart/form-data":
        return await _read_form(request)
    if request.content_type == "application/x-www-form-urlencoded":
        # aiohttp writes a form without a file like this; Discord takes `payload_json` from it all the same.
        return Body(json=_parsed(str((await request.post())["payload_json"])))
    text = await request.text()
    if len(text) > REQUEST_LIMIT:
        raise too_large()
    if not text:
        return Body()
    if request.content_type != "application/json":
        raise DiscordError(415, 50035, f"Expected application/json, got {request.content_type}")
    return Body(json=_parsed(text))


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise DiscordError(400, 50109, "The request body contains invalid JSON.") from None


async def _read_form(request: web.Request) -> Body:
    payload: Json = {}
    files: dict[int, Upload] = {}
    total = 0
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read())
        total += len(data)
        numbered = re.fullmatch(r"files\[(\d+)\]", part.name or "")
        if part.name == "payload_json":
            payload = _parsed(data)
        elif numbered:
            name = part.filename or "unknown"
            kind = part.headers.get("Content-Type")
            files[int(numbered[1])] = Upload(filename=name, data=data, content_type=kind)
        else:
            raise DiscordError(400, 50035, f"Unexpected form field {part.name!r}")
    if total > REQUEST_LIMIT:
        raise too_large()
    return Body(json=payload, files=files)


def attach(
    world: World,
    channel: Channel,
    body: Body,
    wanted: list[Json] | None,
    *,
    kept: list[Attachment],
    limit: int,
) -> list[Attachment]:
    """The attachments of a message after a create or an edit.

    `wanted` is the request's `attachments`: on an edit, what is not named there is dropped; absent means that
    the old ones stay. `kept` are the ones the message has now; `limit` is bytes for one file.
    """
    described = {int(each["id"]): each for each in wanted or [] if int(each["id"]) in body.files}
    old = kept if wanted is None else [each for each in kept if any(int(w["id"]) == each.id for w in wanted)]
    known = {*described, *(each.id for each in old)}
    if any(int(each["id"]) not in known for each in wanted or []):
        raise invalid_form("attachments.0.id", "ATTACHMENT_NOT_FOUND", "Attachment data not found")
    if len(old) + len(body.files) > FILES_PER_MESSAGE:
        raise invalid_form("files", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    if any(len(upload.data) > limit for upload in body.files.values()):
        raise too_large()
    new = [_store(world, channel, upload, described.get(n, {})) for n, upload in sorted(body.files.items())]
    return [*old, *new]


def store(world: World, channel: Channel, filename: str, data: bytes) -> Attachment:
    """A person's upload."""
    return _store(world, channel, Upload(filename=filename, data=data), {})


def _store(world: World, channel: Channel, upload: Upload, described: Json) -> Attachment:
    name = described.get("filename") or upload.filename
    clean = _sanitized(name)
    kind = upload.content_type
    if not kind or kind == "application/octet-stream":
        kind = mimetypes.guess_type(clean)[0] or "application/octet-stream"
    if kind.startswith("text/") and "charset" not in kind:
        kind += "; charset=utf-8"
    width, height = _picture_size(upload.data)
    kept = Attachment(
        id=world.clock.snowflake(),
        channel_id=channel.id,
        filename=clean,
        title=name.rsplit(".", 1)[0] if clean != name else None,
        content_type=kind,
        data=upload.data,
        description=described.get("description"),
        width=width,
        height=height,
    )
    world.attachments[kept.id] = kept
    return kept


def _sanitized(name: str) -> str:
    """What Discord leaves of a file's name: letters, digits, `.`, `-`, `_`; spaces become underscores."""
    kept = re.sub(r"[^\w.\-]", "", name.replace(" ", "_"))
    return kept.lstrip(".") or "unknown"


def _picture_size(data: bytes) -> tuple[int | None, int | None]:
    """Width and height of a PNG, whose header is all we look at."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return None, None
    width, height = struct.unpack(">II", data[16:24])
    return width, height
