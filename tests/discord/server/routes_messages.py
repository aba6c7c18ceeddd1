"""Messages: create, fetch, history, edit, delete, reactions, typing."""

from .errors import DiscordError, invalid_form, unknown
from .post import Post, own
from .rest import NO_CONTENT, Call, Routes
from .rights import permissions_of
from .world import ADMINISTRATOR, EPHEMERAL, MANAGE_MESSAGES, SEND_IN_THREADS, THREADS, Channel, Message


class Messages:
    """The handlers, over the post office."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.world = post.world

    def register(self, routes: Routes) -> None:
        """Put the handlers under Discord's templates."""
        one = "/channels/{channel_id}/messages/{message_id}"
        routes.add("POST", "/channels/{channel_id}/messages", self.create)
        routes.add("GET", "/channels/{channel_id}/messages", self.history)
        routes.add("POST", "/channels/{channel_id}/messages/bulk-delete", self.bulk_delete)
        routes.add("GET", one, self.fetch)
        routes.add("PATCH", one, self.edit)
        routes.add("DELETE", one, self.delete)
        routes.add("PUT", one + "/reactions/{emoji_name}/@me", self.react)
        routes.add("DELETE", one + "/reactions/{emoji_name}/@me", self.unreact)
        routes.add("POST", "/channels/{channel_id}/typing", self.typing)

    async def create(self, call: Call) -> object:
        """POST: a message of the bot."""
        channel = self.world.channel(call.id("channel_id"))
        if channel.kind in THREADS and self.world.me.denied & SEND_IN_THREADS:
            raise DiscordError(403, 50013, "Missing Permissions")
        if (call.json.get("flags") or 0) & EPHEMERAL:
            raise invalid_form("flags", "MESSAGE_FLAGS_INVALID", "Only an interaction has ephemeral answers")
        return self.post.payload(self.post.create(channel, self.world.me, call.body))

    async def fetch(self, call: Call) -> object:
        """GET one."""
        return self.post.payload(self._message(call))

    async def history(self, call: Call) -> object:
        """GET many, newest first, by `before`, `after`, `around` and `limit`."""
        messages = self.world.channel(call.id("channel_id")).messages
        limit = int(call.query.get("limit", 50))
        if "before" in call.query:
            messages = [each for each in messages if each.id < int(call.query["before"])]
        elif "around" in call.query:
            middle = int(call.query["around"])
            nearest = sorted(messages, key=lambda each: abs(each.id - middle))[:limit]
            messages = sorted(nearest, key=lambda each: each.id)
        if "after" in call.query:
            messages = [each for each in messages if each.id > int(call.query["after"])][:limit]
        return [self.post.payload(each) for each in reversed(messages[-limit:])]

    async def edit(self, call: Call) -> object:
        """PATCH: only one's own."""
        return self.post.payload(self.post.edit(own(self._message(call), self.world.me), call.body))

    async def delete(self, call: Call) -> object:
        """DELETE: one's own, or with the right to manage messages."""
        message = self._message(call)
        if message.author is not self.world.me and not self._manages(message.channel):
            raise DiscordError(403, 50013, "Missing Permissions")
        self.post.delete(message)
        return NO_CONTENT

    async def bulk_delete(self, call: Call) -> object:
        """POST: several at once, in a guild, with the right to manage messages."""
        channel = self.world.channel(call.id("channel_id"))
        if channel.guild is None:
            raise DiscordError(403, 50003, "Cannot execute action on a DM channel")
        if not self._manages(channel):
            raise DiscordError(403, 50013, "Missing Permissions")
        wanted = {int(each) for each in call.json["messages"]}
        if not 2 <= len(wanted) <= 100:
            raise DiscordError(400, 50016, "Provided too few or too many messages to delete.")
        self.post.delete_many(channel, [each for each in channel.messages if each.id in wanted])
        return NO_CONTENT

    async def react(self, call: Call) -> object:
        """PUT: the bot's reaction."""
        self._message(call).reactions.append(call.parameters["emoji_name"])
        self.world.changed()
        return NO_CONTENT

    async def unreact(self, call: Call) -> object:
        """DELETE: the bot's reaction."""
        reactions = self._message(call).reactions
        if call.parameters["emoji_name"] not in reactions:
            raise unknown("message")
        reactions.remove(call.parameters["emoji_name"])
        return NO_CONTENT

    async def typing(self, call: Call) -> object:
        """POST: the bot types."""
        channel = self.world.channel(call.id("channel_id"))
        channel.typing.append((self.world.clock.now(), self.world.me.id))
        self.world.changed()
        return NO_CONTENT

    def _message(self, call: Call) -> Message:
        return self.world.channel(call.id("channel_id")).find(call.id("message_id"))

    def _manages(self, channel: Channel) -> bool:
        rights = ADMINISTRATOR | MANAGE_MESSAGES
        return channel.guild is not None and bool(permissions_of(self.world.me, channel.guild) & rights)
