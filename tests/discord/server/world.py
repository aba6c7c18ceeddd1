"""What exists in the local Discord: people, guilds, channels, messages, files. Rendering is in `payloads`."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .clock import Clock
from .errors import unknown

type Json = dict[str, Any]

MIB = 1024 * 1024
EPHEMERAL = 1 << 6
LOADING = 1 << 7
ADMINISTRATOR = 1 << 3
MANAGE_MESSAGES = 1 << 13
CREATE_PUBLIC_THREADS = 1 << 35
CREATE_PRIVATE_THREADS = 1 << 36
SEND_IN_THREADS = 1 << 38
# Enough for a member who chats: view, send (also in threads), embed, attach, history, react, use commands.
MEMBER = sum(1 << bit for bit in (6, 10, 11, 14, 15, 16, 31, 35, 36, 38))
TEXT, DM, THREAD, PRIVATE_THREAD = 0, 1, 11, 12
THREADS = (THREAD, PRIVATE_THREAD)


@dataclass(kw_only=True, eq=False)
class User:
    """A person or a bot; `permissions` are what it may do in the guild beyond @everyone, `denied` wins."""

    id: int
    name: str
    bot: bool = False
    permissions: int = 0
    denied: int = 0
    roles: list[int] = field(default_factory=list)

    @property
    def mention(self) -> str:
        """The text that mentions this user."""
        return f"<@{self.id}>"


@dataclass(kw_only=True, eq=False)
class Role:
    """A role of the guild."""

    id: int
    name: str
    permissions: int = 0
    mentionable: bool = False


@dataclass(kw_only=True, eq=False)
class Guild:
    """A server; `tier` is its boost tier, which decides the size of a file."""

    id: int
    name: str
    owner: User
    tier: int = 0
    members: dict[int, User] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)

    @property
    def file_limit(self) -> int:
        """Bytes of one file: 10 MiB, 50 at tier 2, 100 at tier 3."""
        return {2: 50 * MIB, 3: 100 * MIB}.get(self.tier, 10 * MIB)


@dataclass(kw_only=True, eq=False)
class Attachment:
    """A file on the CDN."""

    id: int
    channel_id: int
    filename: str
    title: str | None
    content_type: str
    data: bytes
    description: str | None = None
    ephemeral: bool = False
    width: int | None = None
    height: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(kw_only=True, eq=False)
class Revision:
    """One state that a message was really seen in."""

    at: datetime
    content: str
    filenames: tuple[str, ...]


@dataclass(kw_only=True, eq=False)
class Message:
    """A message with everything that was sent with it and every revision of its text."""

    id: int
    channel: "Channel"
    author: User
    content: str
    at: datetime
    attachments: list[Attachment] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    reference: int | None = None
    allowed_mentions: Json | None = None
    edited_at: datetime | None = None
    nonce: str | int | None = None
    tts: bool = False
    webhook_id: int | None = None
    interaction: Json | None = None
    seen_by: User | None = None
    thread: "Channel | None" = None
    kind: int = 0
    deleted: bool = False
    revisions: list[Revision] = field(default_factory=list)
    reactions: list[str] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Shown to one person only."""
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """A deferred answer that nothing was written into yet."""
        return bool(self.flags & LOADING)

    @property
    def files(self) -> dict[str, bytes]:
        """Attached bytes by file name."""
        return {attachment.filename: attachment.data for attachment in self.attachments}

    def widgets(self) -> Iterator[Json]:
        """Every button and select of the message."""
        for row in self.components:
            yield from row.get("components", [])

    def widget(self, wanted: str) -> Json:
        """The button or select with this custom id, label or beginning of a custom id."""
        widgets = list(self.widgets())
        for same in (
            lambda w: w.get("custom_id") == wanted,
            lambda w: w.get("label") == wanted,
            lambda w: str(w.get("custom_id", "")).startswith(wanted),
        ):
            for widget in filter(same, widgets):
                return widget
        have = [widget.get("label") or widget.get("custom_id") for widget in widgets]
        raise AssertionError(f"message {self.id} has no component {wanted!r}; it has {have}")

    def remember(self, at: datetime) -> None:
        """Note the present state as one that was seen."""
        names = tuple(attachment.filename for attachment in self.attachments)
        self.revisions.append(Revision(at=at, content=self.content, filenames=names))


@dataclass(kw_only=True, eq=False)
class Channel:
    """A text channel, a thread or a DM; `log` also holds deleted and ephemeral messages."""

    id: int
    kind: int
    name: str
    world: "World"
    guild: Guild | None = None
    recipient: User | None = None
    parent: "Channel | None" = None
    owner: User | None = None
    archived: bool = False
    auto_archive: int = 1440
    invited: set[int] = field(default_factory=set)
    """Who else is in a private thread than its owner."""
    log: list[Message] = field(default_factory=list)
    typing: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What everybody sees, oldest first."""
        return [message for message in self.log if not message.deleted and not message.ephemeral]

    @property
    def file_limit(self) -> int:
        """Bytes of one file here."""
        return self.guild.file_limit if self.guild else 10 * MIB

    def shows_itself_to(self, who: User) -> bool:
        """Whether they can read here: a private thread is for its owner and who was invited."""
        return self.kind != PRIVATE_THREAD or who is self.owner or who.id in self.invited

    def find(self, message_id: int) -> Message:
        """The visible message, or Discord's 10008."""
        for message in self.log:
            if message.id == message_id and not message.deleted and not message.ephemeral:
                return message
        raise unknown("message")

    async def wait_for(
        self, predicate: Callable[[Message], object], timeout: float = 10.0, *, after: Message | None = None
    ) -> Message:
        """The first message *of the bot* here (also ephemeral, later than `after`) that satisfies it.

        Looks again at every creation and edit; an AssertionError with the transcript when the time is over.
        """

        def seen() -> Message | None:
            for message in self.log:
                late_enough = after is None or message.id > after.id
                if (
                    message.author is self.world.me
                    and late_enough
                    and not message.deleted
                    and predicate(message)
                ):
                    return message
            return None

        return await self.world.until(seen, timeout, f"no such message in #{self.name}", self)


class World:
    """All of it, and the signal that something changed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.attachments: dict[int, Attachment] = {}
        self._watchers: set[asyncio.Event] = set()
        self.me = self.add_user("sandglass", bot=True)

    def add_user(self, name: str, *, bot: bool = False) -> User:
        """A new account."""
        user = User(id=self.clock.snowflake(), name=name, bot=bot)
        self.users[user.id] = user
        return user

    def channel(self, channel_id: int) -> Channel:
        """The channel, or Discord's 10003."""
        try:
            return self.channels[channel_id]
        except KeyError:
            raise unknown("channel") from None

    def changed(self) -> None:
        """Wake everybody who waits for a state."""
        for event in self._watchers:
            event.set()

    async def until[T](
        self, look: Callable[[], T | None], timeout: float, complaint: str, channel: Channel | None = None
    ) -> T:
        """What `look` returns once it is not None; looked at again after every change."""
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            async with asyncio.timeout(timeout):
                while (found := look()) is None:
                    event.clear()
                    await event.wait()
                return found
        except TimeoutError:
            from .transcript import transcript

            happened = "\n" + transcript(channel) if channel else ""
            raise AssertionError(f"{complaint} within {timeout} s{happened}") from None
        finally:
            self._watchers.discard(event)
