"""The watch over the gateway: a new client each time a connection cannot be kept, until told to stop."""

import asyncio
from collections.abc import Callable

import aiohttp
import nextcord
import structlog

from bot.settings import SetupError
from bot.traces import trace

log = structlog.get_logger(__name__)

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LASTED = 60.0
"""Seconds after which a connection was a good one, and the next wait is short again."""


async def keep_connected[T: nextcord.Client](
    make: Callable[[], T], token: str, *, first_wait: float = _FIRST_WAIT
) -> None:
    """Connect and stay so; a client is never used twice, for nextcord leaves a failed one half open.

    Returns when a client was closed on purpose. Raises `SetupError` for what only the operator can mend.
    """
    wait = first_wait
    while True:
        client = make()
        began = asyncio.get_running_loop().time()
        try:
            await client.start(token)
        except nextcord.LoginFailure as error:
            raise SetupError("Discord refused the token: set DISCORD_TOKEN to the bot's own.") from error
        except nextcord.PrivilegedIntentsRequired as error:
            raise SetupError(
                "The Message Content intent is off: switch it on under Bot in Discord's developer portal."
            ) from error
        except (nextcord.DiscordException, aiohttp.ClientError, OSError, AttributeError) as error:
            # AttributeError: what nextcord makes of a gateway that refuses the first handshake.
            log.warning("connection lost", again_in=wait, **trace(error))
        except (TypeError, KeyError, ValueError) as error:
            # A malformed event ends nextcord's loop with one of these; a new client reads on.
            log.error("gateway unreadable", again_in=wait, **trace(error))
        else:
            return
        finally:
            await client.close()
        if asyncio.get_running_loop().time() - began > _LASTED:
            wait = first_wait
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
