"""The local Discord as tests hold it: one guild, the bot, people on demand, and every fault on command."""

import asyncio
from typing import Self

import nextcord.http
from aiohttp import web

from tests.discord.document import DOCUMENT

from .clock import Clock
from .gateway import INVALID, RECONNECT, Gateway
from .interactions import Desk
from .limits import InjectedError, Limits, LostError, Ordered
from .openapi import Checker
from .people import Person
from .picture import picture
from .post import Post
from .rest import PREFIX, Rest, Routes, hung_up
from .routes_commands import Commands
from .routes_interactions import Callbacks
from .routes_messages import Messages
from .routes_places import Places
from .transcript import transcript
from .world import MEMBER, MIB, TEXT, Channel, Guild, Role, World

TOKEN = "MTA.local.token"


class LocalDiscord:
    """`async with LocalDiscord() as discord:` serves REST, gateway and CDN on a free port of 127.0.0.1.

    While it is open, nextcord's `Route.BASE` points at it (`patch_nextcord=False` leaves that to the bot's
    own setting). `finish()` fails with every exchange that Discord's published document forbids.
    """

    def __init__(self, *, tier: int = 0, patch_nextcord: bool = True, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.world = World(self.clock)
        self.limits = limits or Limits()
        self.checker = Checker()
        self.post = Post(self.world)
        self.gateway = self.post.gateway = Gateway(self.world, TOKEN, self.post.visible)
        self.token = TOKEN
        self._patch = patch_nextcord
        self._restore = nextcord.http.Route.BASE
        self._people: dict[str, Person] = {}
        self.desk = Desk(self.post)
        self.commands = Commands(self.post)
        self.owner = self.user("owner")
        self.guild = self._found_guild("Workshop", tier)
        self.general = self.channel("general")
        routes = Routes()
        for room in (Messages(self.post), Places(self.post), self.commands, Callbacks(self.desk)):
            room.register(routes)
        self.rest = Rest(self.world, routes, self.limits, self.checker, TOKEN)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * MIB)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/attachments/{channel}/{id}/{name}", self._download)
        app.router.add_route("*", PREFIX + "/{rest:.*}", self.rest.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{port}{PREFIX}"
        self.post.cdn.base = f"http://127.0.0.1:{port}"
        self.gateway.address = f"ws://127.0.0.1:{port}/gateway"
        if self._patch:
            nextcord.http.Route.BASE = self.base
        return self

    async def __aexit__(self, *_: object) -> None:
        nextcord.http.Route.BASE = self._restore
        await self.gateway.close()
        await self._runner.cleanup()
        await asyncio.to_thread(self.checker.close)

    async def finish(self) -> None:
        """Fail with what the published document forbids and where we broke down; silent otherwise."""
        served = self.rest.served
        await asyncio.to_thread(self.checker.finish)
        found = sorted(set(self.checker.violations))
        assert not found, "Discord's OpenAPI document forbids, or the local Discord broke:\n" + "\n".join(
            found
        )
        judged = self.checker.judged
        assert judged >= served or not DOCUMENT.is_file(), f"{judged} of {served} exchanges were judged"

    # who and where

    @property
    def me(self) -> str:
        """The text that mentions the bot."""
        return self.world.me.mention

    def user(self, name: str, *, permissions: int = 0, roles: tuple[Role, ...] = ()) -> Person:
        """The person with this name, a member of the guild, made on first use."""
        if name not in self._people:
            account = self.world.add_user(name)
            self._people[name] = Person(account, self.desk, self.commands)
            if hasattr(self, "guild"):
                self.guild.members[account.id] = account
        person = self._people[name]
        person.account.permissions |= permissions
        person.account.roles += [role.id for role in roles]
        return person

    def bot(self, name: str, *, permissions: int = 0) -> Person:
        """Another bot of the guild; it speaks as a person does, marked as what it is."""
        made = self.user(name, permissions=permissions)
        made.account.bot = True
        return made

    def role(self, name: str, *, permissions: int = 0, mentionable: bool = False) -> Role:
        """A new role (give it before the client connects, or it will not know it)."""
        role = Role(id=self.clock.snowflake(), name=name, permissions=permissions, mentionable=mentionable)
        self.guild.roles[role.id] = role
        return role

    def channel(self, name: str) -> Channel:
        """The guild's text channel or thread with this name; a text channel is made on first use."""
        for channel in self.world.channels.values():
            if channel.name == name:
                return channel
        made = Channel(id=self.clock.snowflake(), kind=TEXT, name=name, world=self.world, guild=self.guild)
        self.world.channels[made.id] = made
        if self.gateway.sessions:
            from .payloads import channel as shown

            self.gateway.dispatch("CHANNEL_CREATE", shown(made))
        return made

    def _found_guild(self, name: str, tier: int) -> Guild:
        guild = Guild(id=self.clock.snowflake(), name=name, owner=self.owner.account, tier=tier)
        guild.roles[guild.id] = Role(id=guild.id, name="@everyone", permissions=MEMBER)
        for each in (self.world.me, self.owner.account):
            guild.members[each.id] = each
        self.world.guilds[guild.id] = guild
        return guild

    # what happened

    def transcript(self, channel: Channel) -> str:
        """What was really said there, as Markdown."""
        return transcript(channel)

    def picture(self, channel: Channel) -> str:
        """What was really said there, as an SVG."""
        return picture(channel)

    def sent(self, method: str, ending: str = "") -> int:
        """How many requests with this method, and paths that end so, were made."""
        return sum(each.method == method and each.path.endswith(ending) for each in self.rest.requests)

    async def connected(self, timeout: float = 10.0) -> None:
        """Wait until a client is identified or resumed on the gateway."""
        await self.world.until(lambda: self.gateway.connected or None, timeout, "no client on the gateway")

    # faults on command

    def drop_gateway(self, code: int = 4000, *, forget: bool = False) -> None:
        """Hang up with a close code; `forget` also loses the session, so that a resume fails."""
        self.gateway.drop(code, forget=forget)

    def ask_reconnect(self) -> None:
        """Op 7."""
        self.gateway.order(RECONNECT)

    def invalidate_session(self, *, resumable: bool) -> None:
        """Op 9."""
        if not resumable:
            self.gateway.sessions.clear()
        self.gateway.order(INVALID, resumable)

    def confuse_gateway(self) -> None:
        """Send every session a message that lacks all that a message has."""
        for session in self.gateway.sessions.values():
            session.dispatch("MESSAGE_CREATE", {})

    def corrupt_gateway(self) -> None:
        """Send on every line what cannot be decompressed."""
        for line in self.gateway.lines:
            line.spoil()

    def refuse_gateway(self, times: int = 1) -> None:
        """Answer the next websocket handshakes with 503."""
        self.gateway.refuse = times

    def withhold_intent(self, name: str = "message_content") -> None:
        """Switch a privileged intent off in the portal: identify is then refused with 4014."""
        self.gateway.portal.discard(name)

    def fail_next(self, route: str, status: int, times: int = 1) -> None:
        """Answer matching requests with 500, 502 ...; `route` is like `POST /channels/*/messages`."""
        self.limits.ordered.append(Ordered(route=route, status=status, times=times))

    def refuse_files(self) -> None:
        """Take from us what the permission Attach Files allows."""
        self.rest.takes_files = False

    def drop_next(self, route: str, times: int = 1) -> None:
        """Lose the connection of matching requests: they have no effect, and no answer comes."""
        self.limits.ordered.append(Ordered(route=route, status=None, times=times))

    def rate_limit_next(
        self, route: str, retry_after: float = 0.2, times: int = 1, *, everywhere: bool = False
    ) -> None:
        """Answer matching requests with 429 (not counted as caused by the client)."""
        order = Ordered(route=route, status=429, times=times, retry_after=retry_after, everywhere=everywhere)
        self.limits.ordered.append(order)

    async def _download(self, request: web.Request) -> web.Response:
        try:
            self.limits.fail_if_ordered("", f"GET {request.path}")
        except LostError:
            return hung_up(request)
        except InjectedError as fault:
            return web.Response(status=fault.status)
        found = self.post.cdn.find(request.path, request.query)
        if found is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=found.data, headers={"Content-Type": found.content_type})
