"""The gateway without a client: what it closes a line with, and when a session is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from .server import LocalDiscord
from .server.gateway import HEARTBEAT, IDENTIFY, INVALID, RESUME

type Json = dict[str, Any]
type Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def line(discord: LocalDiscord) -> AsyncIterator[Socket]:
    """A socket that has been greeted."""
    async with aiohttp.ClientSession() as session, session.ws_connect(discord.gateway.address) as socket:
        assert (await socket.receive_json())["op"] == 10
        yield socket


async def tell(socket: Socket, op: int, data: object) -> None:
    """One frame."""
    await socket.send_json({"op": op, "d": data})


async def identify(discord: LocalDiscord, socket: Socket) -> str:
    """The new session's id, after everything that a new session is told."""
    await tell(socket, IDENTIFY, {"token": discord.token, "intents": 1})
    ready = await socket.receive_json()
    assert (await socket.receive_json())["t"] == "GUILD_CREATE"
    return str(ready["d"]["session_id"])


async def closed_with(socket: Socket) -> int:
    """The code with which the other side went."""
    async with asyncio.timeout(5):
        while (await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            pass
    assert socket.close_code is not None
    return socket.close_code


async def resume(discord: LocalDiscord, session: str, seq: int = 1) -> int | str:
    """What comes first when a session is resumed: an event's name or an op."""
    async with line(discord) as socket:
        await tell(socket, RESUME, {"token": discord.token, "session_id": session, "seq": seq})
        async with asyncio.timeout(5):
            frame = await socket.receive()
        if frame.type is aiohttp.WSMsgType.CLOSE:
            return int(frame.data)
        told: Json = frame.json()
        return str(told["t"] or told["op"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 4002),
        ("[]", 4002),
        ('{"op": 1}', 4002),
        ('{"op": 99, "d": null}', 4001),
        ('{"op": 2, "d": {"token": "wrong", "intents": 1}}', 4004),
        ('{"op": 6, "d": {"token": "wrong", "session_id": "x", "seq": 1}}', 4004),
    ],
)
async def test_a_frame_that_closes_the_line(discord: LocalDiscord, text: str, code: int) -> None:
    """What cannot be read is 4002, an unknown op 4001, a wrong token 4004."""
    async with line(discord) as socket:
        await socket.send_str(text)
        assert await closed_with(socket) == code


async def test_identifying_twice_closes_the_line(discord: LocalDiscord) -> None:
    """4005."""
    async with line(discord) as socket:
        await identify(discord, socket)
        await tell(socket, HEARTBEAT, None)
        assert (await socket.receive_json())["op"] == 11
        await tell(socket, IDENTIFY, {"token": discord.token, "intents": 1})
        assert await closed_with(socket) == 4005


async def test_a_resume_from_the_future_closes_the_line_and_ends_the_session(discord: LocalDiscord) -> None:
    """4007, and then there is nothing to resume."""
    async with line(discord) as socket:
        session = await identify(discord, socket)
        await socket.close(code=4000)
    assert await resume(discord, session, 99) == 4007
    assert await resume(discord, session) == str(INVALID)


@pytest.mark.parametrize(("code", "kept"), [(1000, False), (1001, False), (4000, True), (3000, True)])
async def test_a_client_that_says_goodbye_ends_its_session(
    discord: LocalDiscord, code: int, kept: bool
) -> None:
    """1000 and 1001 mean that nobody will come back."""
    async with line(discord) as socket:
        session = await identify(discord, socket)
        await socket.close(code=code)
    await discord.world.until(lambda: not discord.gateway.connected or None, 5, "still there")
    assert await resume(discord, session) == ("GUILD_CREATE" if kept else str(INVALID))


@pytest.mark.parametrize(
    ("code", "kept"), [(1000, False), (1001, False), (4007, False), (4009, False), (4000, True), (4008, True)]
)
async def test_some_close_codes_end_the_session(discord: LocalDiscord, code: int, kept: bool) -> None:
    """What we hang up with decides whether a resume is welcome."""
    async with line(discord) as socket:
        session = await identify(discord, socket)
        discord.drop_gateway(code)
        assert await closed_with(socket) == code
    assert await resume(discord, session) == ("GUILD_CREATE" if kept else str(INVALID))
