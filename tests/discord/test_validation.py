"""The checks themselves: what the published document forbids is found, and so is a double that breaks."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .document import DOCUMENT
from .server import Channel, Limits, LocalDiscord
from .server.openapi import Exchange, document
from .server.world import THREAD

needs_document = pytest.mark.skipif(
    not DOCUMENT.is_file(), reason="discord-openapi.json is not beside the repository"
)
ROOT = Path(__file__).parents[2]
MESSAGES = "/channels/{channel_id}/messages"
MESSAGE = "/channels/{channel_id}/messages/{message_id}"


async def _ask(discord: LocalDiscord, method: str, path: str, **how: Any) -> int:
    headers = {"Authorization": f"Bot {discord.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, discord.base + path, **how) as answer,
    ):
        return answer.status


@needs_document
async def test_a_request_that_the_document_forbids_is_found() -> None:
    """The check can fail: a wrong type, an unknown query parameter, an unknown path."""
    async with LocalDiscord(limits=Limits(enforce=False)) as discord:
        path = f"/channels/{discord.general.id}/messages"
        await _ask(discord, "POST", path, json={"content": "x", "tts": "maybe"})
        await _ask(discord, "GET", path, params={"limt": "3"})
        await _ask(discord, "GET", "/nowhere")
        with pytest.raises(AssertionError, match="forbids") as caught:
            await discord.finish()
    for part in ("tts", "limt", "/nowhere"):
        assert part in str(caught.value)


@needs_document
async def test_an_answer_that_the_document_forbids_is_found() -> None:
    """A message that we show with a wrong type fails the test that saw it."""
    async with LocalDiscord() as discord:
        said = await discord.user("alice").say(discord.general, "hi")
        said.tts = "maybe"  # type: ignore[assignment]
        await _ask(discord, "GET", f"/channels/{discord.general.id}/messages/{said.id}")
        with pytest.raises(AssertionError, match=r"answer: \$\.tts"):
            await discord.finish()


@needs_document
@pytest.mark.parametrize(
    ("exchange", "fault"),
    [
        (Exchange(method="GET", template="/gateway", status=200, answered={}), r"answer: .*'url'"),
        (Exchange(method="GET", template="/gateway", status=302), "status 302 is not in the document"),
        (
            Exchange(method="GET", template="/gateway", status=404, answered={"code": 0}),
            "answer: .*'message'",
        ),
        (Exchange(method="DELETE", template=MESSAGE, status=204, answered={}), "an answer was sent, none is"),
        (Exchange(method="DELETE", template=MESSAGE, status=204, asked={"a": 1}), "a body was sent, none is"),
        (Exchange(method="POST", template=MESSAGES, status=403), "required body is missing"),
        (Exchange(method="GET", template=MESSAGES, query={"limit": "x"}, status=204), "parameter limit='x'"),
        (Exchange(method="PUT", template="/gateway", status=204), "not in the published document"),
        (Exchange(method="GET", template="/gateway", status=500), "status 500 is not in the document"),
    ],
    ids=str,
)
def test_each_part_of_an_exchange_is_judged(exchange: Exchange, fault: str) -> None:
    """Query, request, status and answer, each by a fault of its own."""
    book = document()
    assert book is not None
    assert any(re.search(fault, found) for found in book.faults(exchange)), book.faults(exchange)


@needs_document
async def test_a_check_that_does_not_run_is_found() -> None:
    """An exchange that nobody judged, and a judge that breaks down, fail the test."""
    async with LocalDiscord() as discord:
        discord.checker.present = False
        await _ask(discord, "GET", "/gateway")
        with pytest.raises(AssertionError, match="0 of 1 exchanges"):
            await discord.finish()
        discord.checker.present = True
        discord.checker.submit(Exchange(method="GET", template="/gateway", status=200, query=None))  # type: ignore[arg-type]
        with pytest.raises(AssertionError, match="the check itself failed"):
            await discord.finish()


async def test_a_handler_of_ours_that_breaks_is_found() -> None:
    """The client sees a 500; the test fails with the place and the reason, document or not."""
    async with LocalDiscord() as discord:
        orphan = Channel(id=1, kind=THREAD, name="orphan", world=discord.world, guild=discord.guild)
        discord.world.channels[orphan.id] = orphan
        assert await _ask(discord, "GET", "/channels/1") == 500
        with pytest.raises(AssertionError, match=r"GET /channels/{channel_id}: AssertionError"):
            await discord.finish()


async def test_a_run_of_everything_says_whether_the_document_takes_part() -> None:
    """The words stand in the first conftest, which is loaded whatever is asked for."""
    command = (sys.executable, "-m", "pytest", "--collect-only", "--ignore-glob=*", "tests")
    run = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await run.communicate()
    assert b"discord openapi document: " in out
