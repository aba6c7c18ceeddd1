"""What was said while nobody listened: between two connections, or while the process was down.

A resumed connection misses nothing. After any other beginning the conversations that concern us are read
from where we last heard them. What cannot be known: a mention in a channel where we never spoke, for Discord
has no question that finds it; an edit of a question that we know; a deletion, which is harmless, for an
answer to a question that is gone replies to nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import nextcord
import structlog
from nextcord.utils import time_snowflake

from bot.store import Store
from bot.traces import trace

log = structlog.get_logger(__name__)

_ACTIVE = timedelta(hours=24)
"""A conversation that rested for longer is not read: who comes back to it now begins anew."""
_STILL_WAITED_FOR = timedelta(minutes=15)
"""An answer to anything older surprises more than it helps; its author has asked again or gone elsewhere."""
_CONVERSATIONS = 50
"""With two requests each, three seconds of what Discord lets us ask."""
_MESSAGES = 50
"""The newest of each, in one request; a longer gap of fifteen minutes is a crowd that nobody waits in."""
_AT_ONCE = 5
_PATIENCE = 10.0
"""Seconds that reading one may take, and that a new message there waits for the earlier ones."""
_REMEMBERED = 10_000


EDITED, DELETED = "edited", "deleted"


class Heard:
    """The ids of the last messages that were taken up, by whichever client of this process."""

    def __init__(self) -> None:
        self._ids: dict[int, None] = {}
        self._waiting: dict[int, str] = {}

    @contextmanager
    def waiting(self, *message_ids: int) -> Iterator[None]:
        """These were heard and are not begun yet; what becomes of them meanwhile is `note`d."""
        self._waiting |= dict.fromkeys(message_ids, "")
        try:
            yield
        finally:
            for each in message_ids:
                self._waiting.pop(each, None)

    def note(self, message_id: int, fate: str) -> bool:
        """Say that one is edited or deleted; False where it does not wait."""
        if message_id not in self._waiting:
            return False
        if self._waiting[message_id] != DELETED:
            self._waiting[message_id] = fate
        return True

    def fate(self, message_id: int) -> str:
        """EDITED or DELETED since it was heard, or nothing."""
        return self._waiting.get(message_id, "")

    def first(self, message_id: int) -> bool:
        """Whether this one was not taken up before; from now on it was."""
        if message_id in self._ids:
            return False
        self._ids[message_id] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True


def by_a_person(message: nextcord.Message) -> bool:
    """Whether somebody has written this, and not a program or Discord itself."""
    kinds = nextcord.MessageType
    return not message.author.bot and message.type in {kinds.default, kinds.reply}


async def with_roles(message: nextcord.Message) -> None:
    """Let the author be a member of the guild, which one of a message that was fetched is not."""
    if isinstance(message.guild, nextcord.Guild) and not isinstance(message.author, nextcord.Member):
        with suppress(nextcord.NotFound):
            message.author = await message.guild.fetch_member(message.author.id)


class Listening(Protocol):
    """The client, as far as a gap needs it."""

    @property
    def me(self) -> int: ...

    def is_closed(self) -> bool: ...

    def get_channel(self, id: int, /) -> Any: ...

    async def fetch_channel(self, channel_id: int, /) -> Any: ...

    async def take_up(self, message: nextcord.Message) -> None: ...


@dataclass(eq=False, slots=True)
class _Gap:
    """A conversation in which everything up to `mark` was heard."""

    channel_id: int
    mark: int
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class CatchUp:
    """Reads the gaps of one client, anew for each session that begins."""

    def __init__(self, client: Listening, store: Store, heard: Heard, now: Callable[[], datetime]) -> None:
        self._client = client
        self._store = store
        self._heard = heard
        self._now = now
        self._gaps: dict[int, _Gap] = {}
        self._known = asyncio.Event()
        self._known.set()

    async def on_connect(self) -> None:
        """A session begins: note how far each conversation was heard before anything of now is."""
        self._known.clear()
        try:
            since = time_snowflake(self._now() - _ACTIVE)
            marks = await self._store.conversations(since, _CONVERSATIONS)
            self._gaps = {channel_id: _Gap(channel_id, mark) for channel_id, mark in marks}
        finally:
            self._known.set()

    async def on_ready(self) -> None:
        """The guilds are known too: read every gap, a few at once."""
        await self._known.wait()
        places = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._close(gap, places) for gap in self._gaps.values()))

    async def passed(self, channel_id: int) -> None:
        """Return when what was said here earlier is taken up, or has taken too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._known.wait()
                if (gap := self._gaps.get(channel_id)) is not None:
                    await gap.closed.wait()

    async def _close(self, gap: _Gap, places: asyncio.Semaphore) -> None:
        try:
            async with places:
                async with asyncio.timeout(_PATIENCE):
                    missed = await self._missed(gap)
                with self._heard.waiting(*(each.id for each in missed)):
                    for message in missed:
                        await self._take_up(message)
        except Exception as error:  # noqa: BLE001  (one conversation that cannot be read must not cost the others)
            log.warning("conversation not caught up", channel_id=gap.channel_id, **trace(error))
        finally:
            gap.closed.set()

    async def _missed(self, gap: _Gap) -> list[nextcord.Message]:
        """What people said since the mark, oldest first, without what we have replied to."""
        channel = self._client.get_channel(gap.channel_id)
        if channel is None:
            channel = await self._client.fetch_channel(gap.channel_id)
        after = nextcord.Object(max(gap.mark, time_snowflake(self._now() - _STILL_WAITED_FOR)))
        newest_first = [
            message async for message in channel.history(limit=_MESSAGES, after=after, oldest_first=False)
        ]
        answered = {
            message.reference.message_id
            for message in newest_first
            if message.reference is not None and message.author.id == self._client.me
        }
        return [each for each in reversed(newest_first) if by_a_person(each) and each.id not in answered]

    async def _take_up(self, message: nextcord.Message) -> None:
        # A client that was replaced leaves the rest to the next one, which reads the same gap.
        if self._client.is_closed() or not self._heard.first(message.id):
            return
        try:
            await self._client.take_up(message)
        except Exception as error:  # noqa: BLE001  (as of an event: one message must not cost the next)
            log.error("missed message not taken up", message_id=message.id, **trace(error))
