"""The post office: creates, edits and deletes messages and tells the gateway, whoever they come from."""

from collections.abc import Sequence
from typing import Any

from . import payloads
from .cdn import Cdn
from .errors import DiscordError, invalid_form, unknown
from .forms import check_message, shown_components, shown_embeds
from .gateway import DM_MESSAGES, DM_TYPING, GUILD_MESSAGES, GUILD_TYPING, MESSAGE_CONTENT, Gateway
from .uploads import Body, attach
from .world import LOADING, Attachment, Channel, Message, User, World

type Json = dict[str, Any]
KEPT_FLAGS = (1 << 2) | (1 << 6) | (1 << 12) | (1 << 15)


class Post:
    """Every change of a message goes through here."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gateway: Gateway
        self.cdn = Cdn(world)

    def payload(self, message: Message) -> Json:
        """MessageResponse."""
        return payloads.message(message, self.cdn)

    def create(
        self,
        channel: Channel,
        author: User,
        body: Body,
        *,
        limit: int | None = None,
        interaction: Json | None = None,
        seen_by: User | None = None,
        flags: int = 0,
    ) -> Message:
        """A message of the bot, after Discord's own checks; `limit` is bytes for one file."""
        sent: Json = body.json or {}
        check_message(sent, has_files=bool(body.files))
        if channel.archived:
            channel.archived = False
        files = attach(
            self.world, channel, body, sent.get("attachments"), kept=[], limit=limit or channel.file_limit
        )
        message = Message(
            id=self.world.clock.snowflake(),
            channel=channel,
            author=author,
            content=sent.get("content") or "",
            at=self.world.clock.now(),
            attachments=files,
            embeds=shown_embeds(sent.get("embeds")),
            components=shown_components(sent.get("components")),
            flags=((sent.get("flags") or 0) & KEPT_FLAGS) | flags,
            reference=self._reference(channel, sent.get("message_reference")),
            allowed_mentions=sent.get("allowed_mentions"),
            nonce=sent.get("nonce"),
            tts=bool(sent.get("tts")),
            webhook_id=author.id if interaction else None,
            interaction=interaction,
            seen_by=seen_by,
        )
        message.kind = 19 if message.reference else 20 if interaction and interaction["type"] == 2 else 0
        return self.publish(message)

    def publish(self, message: Message) -> Message:
        """Put a finished message into its channel and announce it."""
        message.channel.log.append(message)
        message.remember(message.at)
        if not message.ephemeral:
            self.announce("MESSAGE_CREATE", message)
        self.world.changed()
        return message

    def edit(self, message: Message, body: Body, *, limit: int | None = None) -> Message:
        """An edit by the bot: absent keys stay, `attachments` names what remains."""
        sent: Json = body.json or {}
        check_message(sent, has_files=bool(body.files), editing=True)
        limit = limit or message.channel.file_limit
        wanted = sent["attachments"] or [] if "attachments" in sent else None
        files = attach(self.world, message.channel, body, wanted, kept=message.attachments, limit=limit)
        content = (sent["content"] or "") if "content" in sent else message.content
        components = shown_components(sent["components"]) if "components" in sent else message.components
        embeds = shown_embeds(sent["embeds"]) if "embeds" in sent else message.embeds
        if not (content.strip() or components or embeds or files):
            raise DiscordError(400, 50006, "Cannot send an empty message")
        message.content, message.components = content, components
        message.embeds, message.attachments = embeds, files
        message.flags &= ~LOADING
        if "allowed_mentions" in sent:
            message.allowed_mentions = sent["allowed_mentions"]
        return self.edited(message)

    def edited(self, message: Message) -> Message:
        """Announce that a message is different now."""
        message.edited_at = self.world.clock.now()
        message.remember(message.edited_at)
        if not message.ephemeral:
            self.announce("MESSAGE_UPDATE", message)
        self.world.changed()
        return message

    def delete(self, message: Message) -> None:
        """Delete and announce."""
        message.deleted = True
        data: Json = {"id": str(message.id), "channel_id": str(message.channel.id)}
        if message.channel.guild:
            data["guild_id"] = str(message.channel.guild.id)
        if not message.ephemeral:
            self.gateway.dispatch("MESSAGE_DELETE", data)
        self.world.changed()

    def delete_many(self, channel: Channel, messages: Sequence[Message]) -> None:
        """Delete several of one channel; the gateway says it once."""
        for message in messages:
            message.deleted = True
        data: Json = {"ids": [str(each.id) for each in messages], "channel_id": str(channel.id)}
        if channel.guild:
            data["guild_id"] = str(channel.guild.id)
        self.gateway.dispatch("MESSAGE_DELETE_BULK", data)
        self.world.changed()

    def unfurl(self, message: Message, url: str) -> None:
        """Show the preview of a link, which is no edit: the time of the last one stays."""
        message.embeds = [*message.embeds, {"type": "link", "url": url, "title": "A page"}]
        self.announce("MESSAGE_UPDATE", message)
        self.world.changed()

    def announce(self, event: str, message: Message) -> None:
        """The gateway's form of a message."""
        data = self.payload(message)
        if message.channel.guild:
            data["guild_id"] = str(message.channel.guild.id)
            if message.webhook_id is None:
                data["member"] = payloads.member(message.author, bare=True)
        self.gateway.dispatch(event, data)

    def attachment(self, one: Attachment) -> Json:
        """MessageAttachmentResponse."""
        return payloads.attachment(one, self.cdn)

    def _reference(self, channel: Channel, reference: Json | None) -> int | None:
        if not reference:
            return None
        wanted, where = int(reference["message_id"]), int(reference.get("channel_id") or channel.id)
        if where != channel.id:
            raise invalid_form("message_reference", "REPLIES_UNKNOWN_CHANNEL", "Not of this channel")
        if any(message.id == wanted for message in channel.messages):
            return wanted
        if reference.get("fail_if_not_exists", True):
            raise invalid_form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return None

    def visible(self, event: str, data: Json, intents: int) -> Json | None:
        """What a session with these intents sees of an event, None when it does not see it."""
        guild = "guild_id" in data
        if event.startswith("MESSAGE_"):
            if not intents & (GUILD_MESSAGES if guild else DM_MESSAGES):
                return None
            return data if "author" not in data else self._redacted(data, guild, intents)
        if event == "TYPING_START" and not intents & (GUILD_TYPING if guild else DM_TYPING):
            return None
        return data

    def _redacted(self, data: Json, guild: bool, intents: int) -> Json:
        """Without the content intent, only DMs, own messages and mentions show what they say."""
        me = str(self.world.me.id)
        ours = data["author"]["id"] == me or any(each["id"] == me for each in data["mentions"])
        if not guild or ours or intents & MESSAGE_CONTENT:
            return data
        return {**data, "content": "", "attachments": [], "embeds": [], "components": []}


def own(message: Message, me: User) -> Message:
    """The message, if the bot wrote it; 50005 otherwise."""
    if message.author is not me:
        raise DiscordError(403, 50005, "Cannot edit a message authored by another user")
    return message


def dm_channel(world: World, person: User) -> Channel:
    """The DM with this person, made on first use."""
    for channel in world.channels.values():
        if channel.recipient is person:
            return channel
    if person.bot:
        raise unknown("user")
    channel = Channel(
        id=world.clock.snowflake(), kind=1, name=f"dm-{person.name}", world=world, recipient=person
    )
    world.channels[channel.id] = channel
    return channel
