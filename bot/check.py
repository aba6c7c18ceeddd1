"""`python -m bot --check`: every part asked once, whatever became of the others, a line for each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import nextcord
import openai
from nextcord.http import Route

from bot import money
from bot.catchup import Heard
from bot.client import SandglassClient
from bot.connection import Counters, Edits, log_in
from bot.model import Usage
from bot.opening import open_sandglass
from bot.policy import Policy
from bot.registry import differences
from bot.services import Services
from bot.settings import BotSettings, SetupError
from bot.store import open_store
from bot.traces import trace
from bot.turns import Turns
from orchestrator import SandglassError, Settings, SystemClock

_CONTENT_FLAGS = 1 << 18 | 1 << 19
"""The Message Content intent is on, for an application that is verified or not."""
_SOME_USAGE = Usage(prompt=1_000_000, cached=0, completion=1_000_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found of one part."""

    part: str
    good: bool
    sentence: str


async def findings(settings: BotSettings, ours: Settings) -> AsyncIterator[Finding]:
    """Ask the sandbox, the store, the policy, the model and Discord."""
    yield await _asked("sandbox", lambda: _sandbox(settings, ours))
    yield await _asked("store", lambda: _store(settings, ours))
    yield await _asked("policy", lambda: _policy(settings))
    yield await _asked("model", lambda: _model(settings))
    yield await discord_finding(settings)


async def discord_finding(settings: BotSettings) -> Finding:
    """Ask Discord alone."""
    return await _asked("discord", lambda: _discord(settings))


class _WrongError(Exception):
    """A part that is not as it should be; `str(error)` is the sentence."""


async def _asked(part: str, ask: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(part=part, good=True, sentence=await ask())
    except (_WrongError, SetupError, SandglassError) as error:
        return Finding(part=part, good=False, sentence=str(error))
    except Exception as error:  # noqa: BLE001  (what nobody expected of one part must not hide the others)
        found = trace(error)
        sentence = f"it failed in an unexpected way ({found['error']} at {found['where']}): report this"
        return Finding(part=part, good=False, sentence=sentence)


async def _sandbox(settings: BotSettings, ours: Settings) -> str:
    async with open_sandglass(settings, ours) as orchestrator:
        status = await orchestrator.get_interpreter_status()
    if status.image is None:
        raise _WrongError("no engine or no image: run `make engine image`")
    return f"{status.package_count} packages, runtime {status.runtime}"


async def _store(settings: BotSettings, ours: Settings) -> str:
    path = settings.store_path(ours.data_dir)
    async with open_store(path):
        return str(path)


async def _policy(settings: BotSettings) -> str:
    rules = await (await Policy.open(settings.policy)).rules()
    budgets = (rules.budget.user, rules.budget.guild, rules.budget.bot)
    await asyncio.to_thread(money.load_prices)
    if settings.has_model and any(each.dollars is not None for each in budgets):
        free = [each for each in settings.models if money.price(each, _SOME_USAGE) == 0]
        if free:
            raise _WrongError(
                f"it has a budget of dollars, but bot/prices.toml has no price of {', '.join(free)}: "
                "add one, or set a budget of tokens"
            )
    return "none is set: the defaults hold" if settings.policy is None else str(settings.policy)


async def _model(settings: BotSettings) -> str:
    if not settings.has_model:
        return "none configured: code runs all the same"
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "unused"
    try:
        # In a thread: making the client reads certificates.
        made = await asyncio.to_thread(
            openai.AsyncOpenAI, api_key=key, base_url=settings.openai_base_url, timeout=20
        )
        async with made as client:
            names = {each.id async for each in client.models.list()}
    except openai.AuthenticationError as error:
        raise _WrongError("the key was refused: set OPENAI_API_KEY") from error
    except openai.OpenAIError as error:
        raise _WrongError(
            f"the server does not answer ({type(error).__name__}): check OPENAI_BASE_URL"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        # A web page is a text, of which openai wants the fields of a list.
        raise _WrongError(
            "what answers is no OpenAI-compatible server: check OPENAI_BASE_URL, which mostly ends in /v1"
        ) from error
    if missing := [each for each in settings.models if each not in names]:
        raise _WrongError(f"the server does not list {', '.join(missing)}: check SANDGLASS_OPENAI_MODEL")
    return ", ".join(settings.models)


async def _discord(settings: BotSettings) -> str:
    if settings.discord_token is None:
        raise _WrongError("DISCORD_TOKEN is not set: set it")
    client = SandglassClient(_nothing_behind(settings), Turns())
    try:
        await log_in(client, settings.discord_token.get_secret_value())
        assert client.user is not None
        application = await client.http.request(Route("GET", "/applications/@me"))
        if not (application.get("flags") or 0) & _CONTENT_FLAGS:
            raise _WrongError(
                "the Message Content intent is off: switch it on under Bot in Discord's developer portal"
            )
        if wrong := await differences(client) and await differences(client, mend=True):
            raise _WrongError(
                f"it keeps other commands than it is given ({'; '.join(wrong)}): check again later"
            )
    except (nextcord.DiscordException, aiohttp.ClientError, OSError) as error:
        raise _WrongError(f"Discord does not answer ({type(error).__name__}): try again") from error
    else:
        return f"logged in as {client.user.name}, its commands are ours"
    finally:
        await client.close()


def _nothing_behind(settings: BotSettings) -> Services:
    """For a client that only logs in: nobody asks it anything, so it needs none of the other parts."""
    nothing: Any = None
    return Services(
        settings=settings,
        orchestrator=nothing,
        store=nothing,
        policy=nothing,
        clock=SystemClock(),
        model=None,
        warmer=nothing,
        edits=Edits(),
        counters=Counters(),
        heard=Heard(),
    )
