"""Requests to Discord that must arrive: what nextcord gives up after one try is tried again here."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import nextcord
import structlog

from bot.traces import trace

log = structlog.get_logger(__name__)

UNSENT = (nextcord.HTTPException, aiohttp.ClientError, OSError)
"""Every way in which a request fails: refused, or lost on its way (a TimeoutError is an OSError)."""
_REPEATED = frozenset({500, 502, 504})
"""What nextcord repeats by itself."""
_AGAIN = (0.5, 2.0, 5.0)
"""Seconds before each further try."""


def may_pass(error: BaseException) -> bool:
    """Whether the same request may fare better later, and nextcord has not tried five times already.

    A 429 that comes this far is one of Cloudflare's or the fifth in a row: asking on makes it worse.
    """
    if isinstance(error, nextcord.HTTPException):
        return error.status >= 500 and error.status not in _REPEATED
    return isinstance(error, aiohttp.ClientError | OSError)


async def insist[T](send: Callable[[], Awaitable[T]]) -> T:
    """Send until it arrives, four times at the most; raises what the last try raised, one of `UNSENT`.

    `send` makes its request anew each time, with fresh files: one that was sent is empty. A lost answer to a
    request that did arrive makes a message twice, which is better than none.
    """
    for wait in _AGAIN:
        try:
            return await send()
        except UNSENT as error:
            if not may_pass(error):
                raise
            log.warning("request lost", again_in=wait, **trace(error))
        await asyncio.sleep(wait)
    return await send()
