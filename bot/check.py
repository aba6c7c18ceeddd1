"""`python -m bot --check`: every part asked once, a line for each."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import nextcord
import openai

from bot.client import SandglassClient
from bot.registry import differences
from bot.services import Services
from bot.turns import Turns


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was found of one part."""

    part: str
    good: bool
    sentence: str


async def findings(services: Services) -> AsyncIterator[Finding]:
    """Ask the sandbox, the model and Discord."""
    yield await _sandbox(services)
    yield await _model(services)
    yield await _discord(services)


async def _sandbox(services: Services) -> Finding:
    status = await services.orchestrator.get_interpreter_status()
    if status.image is None:
        sentence = "no engine or no image: run `make engine image`"
        return Finding(part="sandbox", good=False, sentence=sentence)
    sentence = f"{status.package_count} packages, runtime {status.runtime}"
    return Finding(part="sandbox", good=True, sentence=sentence)


async def _model(services: Services) -> Finding:
    settings = services.settings
    if not settings.has_model:
        return Finding(part="model", good=True, sentence="none configured: code runs all the same")
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "unused"
    try:
        async with openai.AsyncOpenAI(api_key=key, base_url=settings.openai_base_url, timeout=20) as client:
            names = {each.id async for each in client.models.list()}
    except openai.AuthenticationError:
        return Finding(part="model", good=False, sentence="the key was refused: set OPENAI_API_KEY")
    except openai.OpenAIError as error:
        sentence = f"the server does not answer ({type(error).__name__}): check OPENAI_BASE_URL"
        return Finding(part="model", good=False, sentence=sentence)
    missing = [each for each in settings.models if each not in names]
    if missing:
        sentence = f"the server does not list {', '.join(missing)}: check SANDGLASS_OPENAI_MODEL"
        return Finding(part="model", good=False, sentence=sentence)
    return Finding(part="model", good=True, sentence=", ".join(settings.models))


async def _discord(services: Services) -> Finding:
    token = services.settings.discord_token
    if token is None:
        return Finding(part="discord", good=False, sentence="DISCORD_TOKEN is not set: set it")
    client = SandglassClient(services, Turns())
    try:
        await client.login(token.get_secret_value())
        assert client.user is not None
        if wrong := await differences(client) and await differences(client, mend=True):
            sentence = f"it keeps other commands than it is given ({'; '.join(wrong)}): check again later"
            return Finding(part="discord", good=False, sentence=sentence)
        return Finding(
            part="discord", good=True, sentence=f"logged in as {client.user.name}, its commands are ours"
        )
    except nextcord.LoginFailure:
        return Finding(part="discord", good=False, sentence="the token was refused: set DISCORD_TOKEN")
    except (nextcord.DiscordException, aiohttp.ClientError, OSError) as error:
        sentence = f"Discord does not answer ({type(error).__name__}): try again"
        return Finding(part="discord", good=False, sentence=sentence)
    finally:
        await client.close()
