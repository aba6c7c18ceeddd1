"""Requests that no client would make, to see what the local Discord says to them."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .server import Interaction, Limits, LocalDiscord

type Json = dict[str, Any]


class Raw:
    """The bot's side without a client; `code` is Discord's own, 0 where a request was welcome."""

    def __init__(self, discord: LocalDiscord, session: aiohttp.ClientSession) -> None:
        self.discord = discord
        self._session = session
        self.messages = f"/channels/{discord.general.id}/messages"
        self.commands = f"/applications/{discord.world.me.id}/commands"

    async def ask(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, Any]:
        """Status and body."""
        if body is not None:
            how["json"] = body
        async with self._session.request(method, self.discord.base + path, **how) as answer:
            text = await answer.text()
        return answer.status, json.loads(text) if text else None

    async def code(self, method: str, path: str, body: Any = None, **how: Any) -> int:
        """What it was refused with."""
        status, answer = await self.ask(method, path, body, **how)
        return 0 if status < 400 else int(answer["code"])

    async def fault(self, method: str, path: str, body: Any = None, **how: Any) -> str:
        """Where in the form the fault lies, `content: BASE_TYPE_MAX_LENGTH`; the code where it is no form."""
        status, answer = await self.ask(method, path, body, **how)
        if status < 400:
            return "taken"
        return next(_faults(answer.get("errors") or {}, ""), str(answer["code"]))

    async def respond(self, made: Interaction, kind: int, data: Json | None = None) -> str:
        """The first answer to an interaction."""
        path = f"/interactions/{made.id}/{made.token}/callback"
        return await self.fault("POST", path, {"type": kind, "data": data or {}})


def _faults(errors: Json, path: str) -> Any:
    for key, inside in errors.items():
        if key == "_errors":
            yield f"{path}: {inside[0]['code']}"
        else:
            yield from _faults(inside, f"{path}.{key}".lstrip("."))


def form(payload: Json, sizes: Sequence[int] = (), *, field: str = "files[{}]") -> aiohttp.FormData:
    """A multipart body with a file of each size."""
    made = aiohttp.FormData(default_to_multipart=True)
    made.add_field("payload_json", json.dumps(payload), content_type="application/json")
    for n, size in enumerate(sizes):
        made.add_field(field.format(n), io.BytesIO(bytes(size)), filename=f"{n}.bin")
    return made


@asynccontextmanager
async def raw_discord() -> AsyncIterator[Raw]:
    """A local Discord without rate limits; what is sent here is wrong, so that no document is asked."""
    async with LocalDiscord(limits=Limits(enforce=False)) as discord:
        headers = {"Authorization": f"Bot {discord.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield Raw(discord, session)
        assert not [each for each in discord.checker.violations if "local Discord" in each]
