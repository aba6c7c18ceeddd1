"""The watch over the gateway: a new client each time a connection cannot be kept, until told to stop."""

import asyncio
from collections.abc import Callable

import aiohttp
import nextcord
import structlog

from bot.connection import log_in
from bot.settings import SetupError
from bot.traces import trace

log = structlog.get_logger(__name__)

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LASTED = 60.0
"""Seconds after which a connection was a good one, and the next wait is short again."""
_LAST_WORDS = 40.0
"""Seconds at the end for all that is in hand: ten more than the questions among it are granted."""


async def keep_connected[T: nextcord.Client](
    make: Callable[[], T], token: str, *, first_wait: float = _FIRST_WAIT
) -> None:
    """Connect and stay so; a client is never used twice, for nextcord leaves a failed one half open.

    A client that lost its connection closes beside the next one, when what it has in hand is done.
    Returns when a client was closed on purpose. Raises `SetupError` for what only the operator can mend.
    """
    wait, proven = first_wait, False
    leaving: set[asyncio.Task[None]] = set()
    try:
        while True:
            client = make()
            began = asyncio.get_running_loop().time()
            try:
                await log_in(client, token, proven=proven)
                proven = True
                await client.connect()
            except SetupError:
                raise
            except nextcord.PrivilegedIntentsRequired as error:
                raise SetupError(
                    "The Message Content intent is off: switch it on under Bot in Discord's developer portal."
                ) from error
            except (nextcord.DiscordException, aiohttp.ClientError, OSError, AttributeError) as error:
                # AttributeError: what nextcord makes of a gateway that refuses the first handshake.
                log.warning("connection lost", again_in=wait, **trace(error))
            except Exception as error:  # noqa: BLE001
                # Whatever one frame does to nextcord's loop, a malformed event or a corrupt stream (which is
                # zlib's own error), concerns that connection alone: a new client reads on.
                log.error("gateway unreadable", again_in=wait, **trace(error))
            else:
                return
            finally:
                _let_go(client, leaving)
            if asyncio.get_running_loop().time() - began > _LASTED:
                wait = first_wait
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
    finally:
        await _until_gone(leaving)


def _let_go(client: nextcord.Client, leaving: set[asyncio.Task[None]]) -> None:
    """Close a client while nobody waits for it."""
    task = asyncio.create_task(client.close(), name="leaving client")
    leaving.add(task)
    task.add_done_callback(leaving.discard)
    task.add_done_callback(_say_how_it_went)


def _say_how_it_went(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("client not closed", **trace(error))


async def _until_gone(leaving: set[asyncio.Task[None]]) -> None:
    """Wait for the last words of every client; one that is late is closed all the same."""
    for timeout in (_LAST_WORDS, None):
        if leaving:
            _, late = await asyncio.wait(set(leaving), timeout=timeout)
            for each in late:
                each.cancel()
