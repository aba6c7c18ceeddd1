"""What a client is told of the connection: how to log in, what to ask for, how requests are counted."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import nextcord
from nextcord.http import GlobalRateLimit

from bot.settings import SetupError


def intents() -> nextcord.Intents:
    """What we listen to; only `message_content` is privileged."""
    wanted = nextcord.Intents.none()
    wanted.guilds = wanted.guild_messages = wanted.dm_messages = True
    wanted.guild_typing = wanted.dm_typing = True
    wanted.message_content = True
    return wanted


async def log_in(client: nextcord.Client, token: str, *, proven: bool = False) -> None:
    """Log a client in; raises `SetupError` for what only the operator can mend.

    `proven` says that this configuration has worked before: then an answer that makes no sense is Discord's
    bad day, and goes up as it is.
    """
    try:
        await client.login(token)
    except nextcord.LoginFailure as error:
        raise SetupError("Discord refused the token: set DISCORD_TOKEN to the bot's own.") from error
    except ValueError as error:
        if proven:
            raise
        raise SetupError(
            "Discord cannot be asked with these settings: correct DISCORD_TOKEN or SANDGLASS_DISCORD_API."
        ) from error
    except (TypeError, LookupError, nextcord.NotFound) as error:
        # A web page is a text, of which nextcord wants the fields of an account.
        if proven:
            raise
        raise SetupError(
            "What answers at SANDGLASS_DISCORD_API is not Discord: correct the address, or leave it unset."
        ) from error


def time_heartbeats(client: nextcord.Client) -> None:
    """Note when a heartbeat is sent in the very loop that hears its answer.

    nextcord notes it in the thread that waits for the sending, often after the answer: that one is then
    counted from the heartbeat before, and a line that is well is said to be 41 s behind.
    """
    gateway: Any = client.ws
    send = gateway.send_heartbeat

    async def timed(data: Any) -> None:
        if gateway._keep_alive is not None:  # noqa: SLF001
            gateway._keep_alive._last_send = time.perf_counter()  # noqa: SLF001
        await send(data)

    gateway.send_heartbeat = timed


async def seal(client: nextcord.Client) -> None:
    """Close a client's session for good: nextcord opens another for a late request, and never closes it."""
    http: Any = client.http
    http.recreate = _stay_closed
    await http.close()


async def _stay_closed() -> None:
    raise aiohttp.ClientConnectionError("this client was closed")


class Unshared(dict[str, Any]):
    """Remembers no bucket by its name, so that each method and channel keeps its own."""

    def __setitem__(self, name: str, bucket: Any) -> None:
        """Forget it."""


_IN_A_SECOND = 45
"""Requests; Discord allows 50, and others than us may count a little differently."""


class Paced(GlobalRateLimit):
    """Never more than so many requests in any second.

    nextcord counts in seconds of its own, which are not Discord's: it may send fifty at the end of one and
    fifty at the beginning of the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limit = self.remaining = _IN_A_SECOND
        self._sent: deque[float] = deque(maxlen=_IN_A_SECOND)

    async def acquire(self) -> bool:
        """Wait for a place in the second that ends now."""
        while early := self._early():  # noqa: ASYNC110  (time passes without an event)
            await asyncio.sleep(early)
        self._sent.append(time.monotonic())
        return await super().acquire()

    def _early(self) -> float:
        """Seconds until the oldest of a full second is out of it."""
        return max(0.0, self._sent[0] + 1.1 - time.monotonic()) if len(self._sent) == _IN_A_SECOND else 0.0


class Kept(dict[Any, Any]):
    """Outlives a client, which forgets its counters when it closes."""

    def clear(self) -> None:
        """Keep everything: another client goes on counting."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What Discord was asked lately, by whichever client of this process."""

    by_route: Kept = field(default_factory=Kept)
    by_token: Kept = field(default_factory=Kept)


def pace(client: nextcord.Client, counters: Counters) -> None:
    """Let a client count as Discord does: its requests in any second, each channel by itself.

    An old client that ends its answers and the new one beside it are one to Discord: they share `counters`.
    """
    http: Any = client.http
    http._url_rate_limits, http._global_rate_limits = counters.by_route, counters.by_token  # noqa: SLF001
    # nextcord takes equal bucket names for one bucket. Without this fifty channels would share the five
    # messages in five seconds of one.
    http._buckets = Unshared()  # noqa: SLF001

    def paced(auth: str | None, _most: int) -> Paced:
        made = http._global_rate_limits[auth] = Paced()  # noqa: SLF001
        return made

    http._make_global_rate_limit = paced  # noqa: SLF001


class Edits:
    """How often an answer that is being written is shown anew, by how many are being written."""

    _ONE = 1.05
    _ALL_IN_A_SECOND = 20

    def __init__(self) -> None:
        self.writers = 0

    @property
    def interval(self) -> float:
        """Seconds between two edits of one message: one, and more in a crowd, for results go first."""
        return max(self._ONE, self.writers / self._ALL_IN_A_SECOND)
