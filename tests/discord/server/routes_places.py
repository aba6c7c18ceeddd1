"""Who and where: the account, the gateway's address, users, guilds, channels, threads, DMs."""

from typing import Any

from . import payloads
from .errors import DiscordError, invalid_form, unknown
from .post import Post, dm_channel
from .rest import NO_CONTENT, Answer, Call, Routes
from .rights import permissions_of
from .world import (
    CREATE_PRIVATE_THREADS,
    CREATE_PUBLIC_THREADS,
    DM,
    PRIVATE_THREAD,
    TEXT,
    THREAD,
    THREADS,
    Channel,
    Guild,
    User,
)

# An application that is not verified has its privileged intents under the names that end in "limited".
MESSAGE_CONTENT_LIMITED = 1 << 19
type Json = dict[str, Any]


class Places:
    """The handlers."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.world = post.world

    def register(self, routes: Routes) -> None:
        """Put the handlers under Discord's templates."""
        routes.add("GET", "/gateway", self.gateway, open=True)
        routes.add("GET", "/gateway/bot", self.gateway_bot)
        routes.add("GET", "/users/@me", self.me)
        routes.add("GET", "/users/@me/guilds", self.my_guilds)
        routes.add("POST", "/users/@me/channels", self.open_dm)
        routes.add("GET", "/users/{user_id}", self.user)
        routes.add("GET", "/applications/@me", self.application)
        routes.add("GET", "/oauth2/applications/@me", self.application)
        routes.add("GET", "/guilds/{guild_id}", self.guild)
        routes.add("GET", "/guilds/{guild_id}/channels", self.guild_channels)
        routes.add("GET", "/guilds/{guild_id}/roles", self.guild_roles)
        routes.add("GET", "/guilds/{guild_id}/members/{user_id}", self.member)
        routes.add("GET", "/guilds/{guild_id}/threads/active", self.active_threads)
        routes.add("GET", "/channels/{channel_id}", self.channel)
        routes.add("PATCH", "/channels/{channel_id}", self.change_channel)
        routes.add("DELETE", "/channels/{channel_id}", self.close_channel)
        routes.add("POST", "/channels/{channel_id}/threads", self.start_thread)
        routes.add(
            "POST", "/channels/{channel_id}/messages/{message_id}/threads", self.start_thread_from_message
        )
        routes.add("PUT", "/channels/{channel_id}/thread-members/@me", self.join)
        routes.add("PUT", "/channels/{channel_id}/thread-members/{user_id}", self.invite)
        routes.add("DELETE", "/channels/{channel_id}/thread-members/@me", self.join)

    async def gateway(self, call: Call) -> object:
        """GET: where the websocket is."""
        return {"url": self.post.gateway.address}

    async def gateway_bot(self, call: Call) -> object:
        """GET: the same for a sharded bot."""
        limit = {"max_concurrency": 1, "remaining": 1000, "reset_after": 86_400_000, "total": 1000}
        return {"url": self.post.gateway.address, "shards": 1, "session_start_limit": limit}

    async def me(self, call: Call) -> object:
        """GET: the bot's own account."""
        return payloads.myself(self.world.me)

    async def my_guilds(self, call: Call) -> object:
        """GET: where the bot is."""
        return [
            {"id": str(each.id), "name": each.name, "icon": None, "banner": None, "owner": False}
            | {"permissions": str(permissions_of(self.world.me, each)), "features": []}
            for each in self.world.guilds.values()
        ]

    async def application(self, call: Call) -> object:
        """GET: the application behind the bot."""
        me, empty = self.world.me, ("icon", "type", "team", "interactions_endpoint_url")
        owner = next(each for each in self.world.users.values() if not each.bot)
        zero = (
            "approximate_guild_count",
            "approximate_user_install_count",
            "explicit_content_filter",
        )
        return {
            "id": str(me.id),
            "name": me.name,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "flags_new": "0",
            "redirect_uris": [],
            "role_connections_verification_url": None,
            "owner": payloads.user(owner),
            "approximate_user_authorization_count": 0,
            "eligible_oauth2_scopes": [],
            "flags": MESSAGE_CONTENT_LIMITED if "message_content" in self.post.gateway.portal else 0,
            **dict.fromkeys(empty),
            **dict.fromkeys(zero, 0),
        }

    async def open_dm(self, call: Call) -> object:
        """POST: the DM channel with somebody."""
        return payloads.channel(dm_channel(self.world, self._user(int(call.json["recipient_id"]))))

    async def user(self, call: Call) -> object:
        """GET: anybody."""
        return payloads.user(self._user(call.id("user_id")))

    async def guild(self, call: Call) -> object:
        """GET: a guild."""
        return payloads.guild(self._guild(call))

    async def guild_channels(self, call: Call) -> object:
        """GET: its channels, without threads."""
        guild = self._guild(call)
        inside = [each for each in self.world.channels.values() if each.guild is guild and each.kind == TEXT]
        return [payloads.channel(each) for each in inside]

    async def guild_roles(self, call: Call) -> object:
        """GET: its roles."""
        return [payloads.role(each, n) for n, each in enumerate(self._guild(call).roles.values())]

    async def member(self, call: Call) -> object:
        """GET: a member."""
        who = self._guild(call).members.get(call.id("user_id"))
        if who is None:
            raise unknown("member")
        return payloads.member(who)

    async def active_threads(self, call: Call) -> object:
        """GET: threads that are not archived."""
        guild = self._guild(call)
        inside = [
            each for each in self.world.channels.values() if each.guild is guild and each.kind in THREADS
        ]
        threads = [payloads.channel(each) for each in inside if not each.archived]
        return {"threads": threads, "members": [each["member"] for each in threads], "has_more": False}

    async def channel(self, call: Call) -> object:
        """GET: a channel."""
        return payloads.channel(self._channel(call))

    async def change_channel(self, call: Call) -> object:
        """PATCH: a name; for a thread also archived."""
        channel, sent = self._channel(call), call.json
        channel.name = sent.get("name") or channel.name
        channel.archived = bool(sent.get("archived", channel.archived))
        event = "THREAD_UPDATE" if channel.kind in THREADS else "CHANNEL_UPDATE"
        self.post.gateway.dispatch(event, payloads.channel(channel))
        self.world.changed()
        return payloads.channel(channel)

    async def close_channel(self, call: Call) -> object:
        """DELETE: a channel, a thread, or the end of a DM."""
        channel = self._channel(call)
        shown = payloads.channel(channel)
        if channel.kind != DM:
            del self.world.channels[channel.id]
            event = "THREAD_DELETE" if channel.kind in THREADS else "CHANNEL_DELETE"
            self.post.gateway.dispatch(event, shown)
        return shown

    async def start_thread(self, call: Call) -> object:
        """POST: a thread without a message; without a type it is a private one."""
        kind = call.json.get("type") or PRIVATE_THREAD
        if kind not in THREADS:
            raise invalid_form("type", "BASE_TYPE_CHOICES", f"Value must be one of {THREADS}.")
        return self._thread(self._channel(call), call.json, self.world.clock.snowflake(), kind)

    async def start_thread_from_message(self, call: Call) -> object:
        """POST: a thread that hangs on a message and has its id."""
        parent = self._channel(call)
        message = parent.find(call.id("message_id"))
        if message.thread:
            raise DiscordError(400, 160004, "A thread has already been created for this message")
        answer = self._thread(parent, call.json, message.id, THREAD)
        message.thread = self.world.channels[message.id]
        self.post.announce("MESSAGE_UPDATE", message)
        return answer

    def _thread(self, parent: Channel, sent: Json, thread_id: int, kind: int) -> Answer:
        if parent.kind != TEXT or parent.guild is None:
            raise DiscordError(400, 50024, "Cannot execute action on this channel type")
        if not 1 <= len(sent.get("name") or "") <= 100:
            raise invalid_form("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
        right = CREATE_PRIVATE_THREADS if kind == PRIVATE_THREAD else CREATE_PUBLIC_THREADS
        if self.world.me.denied & right:
            raise DiscordError(403, 50013, "Missing Permissions")
        thread = Channel(
            id=thread_id,
            kind=kind,
            name=sent["name"],
            world=self.world,
            guild=parent.guild,
            parent=parent,
            owner=self.world.me,
            auto_archive=sent.get("auto_archive_duration") or 1440,
        )
        self.world.channels[thread.id] = thread
        shown = payloads.channel(thread)
        self.post.gateway.dispatch("THREAD_CREATE", {**shown, "newly_created": True})
        self.world.changed()
        return Answer(status=201, body=shown)

    async def join(self, call: Call) -> object:
        """PUT or DELETE: membership of a thread, which nothing here depends on."""
        self._channel(call)
        return NO_CONTENT

    async def invite(self, call: Call) -> object:
        """PUT: somebody else into a thread."""
        self._channel(call).invited.add(self._user(call.id("user_id")).id)
        return NO_CONTENT

    def _user(self, user_id: int) -> User:
        if user_id not in self.world.users:
            raise unknown("user")
        return self.world.users[user_id]

    def _guild(self, call: Call) -> Guild:
        guild = self.world.guilds.get(call.id("guild_id"))
        if guild is None:
            raise unknown("guild")
        return guild

    def _channel(self, call: Call) -> Channel:
        return self.world.channel(call.id("channel_id"))
