"""Interactions: what a person set off, the bot's first answer within 3 s, and what followed within 15 min."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import payloads
from .errors import DiscordError, unknown
from .post import Post
from .world import DM, MIB, Channel, Message, User, World

PING, COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 1, 2, 3, 4, 5
ANSWER, DEFER, DEFER_UPDATE, UPDATE, CHOICES, SHOW_MODAL = 4, 5, 6, 7, 8, 9
FIRST_ANSWER_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60.0
type Json = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Interaction:
    """One interaction, as the person and the server see it."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    at: datetime
    data: Json
    source: Message | None = None
    parent: "Interaction | None" = None
    limit: int = 10 * MIB
    answered: int | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None

    @property
    def world(self) -> World:
        """Where it happens."""
        return self.channel.world

    @property
    def messages(self) -> list[Message]:
        """The answers that still exist, the first one first."""
        every = ([self.original] if self.original else []) + self.followups
        return [message for message in every if not message.deleted]

    @property
    def message(self) -> Message:
        """The first answer; an AssertionError when there is none."""
        assert self.original, f"the answer was of type {self.answered} and has no message"
        return self.original

    def ensure_fresh(self) -> None:
        """Refuse a first answer that comes twice or after 3 s."""
        if self.answered is not None:
            raise DiscordError(400, 40060, "Interaction has already been acknowledged.")
        if (self.world.clock.now() - self.at).total_seconds() > FIRST_ANSWER_SECONDS:
            raise unknown("interaction")

    def ensure_valid(self) -> None:
        """Refuse what comes before the first answer or after 15 min."""
        if (self.world.clock.now() - self.at).total_seconds() > TOKEN_SECONDS:
            raise DiscordError(401, 50027, "Invalid Webhook Token")
        if self.answered is None:
            raise unknown("webhook")

    async def answer(self, timeout: float = FIRST_ANSWER_SECONDS) -> "Interaction":
        """Wait for the first answer; "The application did not respond" is an AssertionError."""
        await self.world.until(
            lambda: self.answered, timeout, f"the application did not respond to {self.data}", self.channel
        )
        return self

    async def wait_for(self, predicate: Callable[[Message], object], timeout: float = 10.0) -> Message:
        """The first answer or followup that satisfies the predicate, now or after an edit."""
        return await self.world.until(
            lambda: next((each for each in self.messages if not each.thinking and predicate(each)), None),
            timeout,
            f"no such answer to {self.data}",
            self.channel,
        )

    def metadata(self) -> Json:
        """MessageInteractionMetadata of the messages that answer."""
        body: Json = {
            "id": str(self.id),
            "type": self.kind,
            "user": payloads.user(self.user),
            "authorizing_integration_owners": self._owners(),
        }
        if self.kind == COMMAND:
            return {**body, "name": self.data["name"]}
        if self.kind == COMPONENT and self.source:
            return {**body, "interacted_message_id": str(self.source.id)}
        if self.parent:
            return {**body, "triggering_interaction_metadata": self.parent.metadata()}
        return body

    def _owners(self) -> Json:
        return {"0": str(self.channel.guild.id if self.channel.guild else 0)}

    def payload(self, post: Post) -> Json:
        """INTERACTION_CREATE."""
        channel, guild = self.channel, self.channel.guild
        body: Json = {
            "id": str(self.id),
            "application_id": str(self.world.me.id),
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel_id": str(channel.id),
            "channel": {**payloads.channel(channel), "permissions": str((1 << 50) - 1)},
            "app_permissions": str((1 << 50) - 1 & ~self.world.me.denied),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": self._owners(),
            "context": 1 if channel.kind == DM else 0,
            "attachment_size_limit": self.limit,
        }
        if guild:
            body |= {"guild_id": str(guild.id), "guild_locale": "en-US"}
            body["guild"] = {"id": str(guild.id), "locale": "en-US", "features": []}
            body["member"] = payloads.interaction_member(self.user, guild)
        else:
            body["user"] = payloads.user(self.user)
        if self.source:
            body["message"] = post.payload(self.source)
        return body


class Desk:
    """Every interaction by id and by token."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.world = post.world
        self.attachment_size_limit: int | None = None
        self._by_id: dict[int, Interaction] = {}
        self._by_token: dict[str, Interaction] = {}

    def open(
        self,
        kind: int,
        user: User,
        channel: Channel,
        data: Json,
        *,
        source: Message | None = None,
        parent: Interaction | None = None,
    ) -> Interaction:
        """Set one off: it goes to the gateway at once."""
        made = Interaction(
            id=self.world.clock.snowflake(),
            token=secrets.token_urlsafe(48),
            kind=kind,
            user=user,
            channel=channel,
            at=self.world.clock.now(),
            data=data,
            source=source,
            parent=parent,
            limit=self.attachment_size_limit or channel.file_limit,
        )
        self._by_id[made.id] = self._by_token[made.token] = made
        self.post.gateway.dispatch("INTERACTION_CREATE", made.payload(self.post))
        return made

    def find(self, interaction_id: int, token: str) -> Interaction:
        """For the first answer; 10062 for a wrong pair."""
        found = self._by_id.get(interaction_id)
        if found is None or found.token != token:
            raise unknown("interaction")
        return found

    def by_token(self, token: str) -> Interaction:
        """For everything after the first answer."""
        if token not in self._by_token:
            raise DiscordError(401, 50027, "Invalid Webhook Token")
        found = self._by_token[token]
        found.ensure_valid()
        return found
