"""The connection to Discord: which events concern us, and who deals with them. One client a connection."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import nextcord
import structlog

from bot.catchup import DELETED, EDITED, CatchUp, by_a_person, with_roles
from bot.changes import Changes
from bot.clicks import Clicks
from bot.cogs.about import About
from bot.cogs.files import Files
from bot.cogs.talk import Talk
from bot.connection import intents, pace, seal, time_heartbeats
from bot.dialogue import Dialogue
from bot.interactions import Asked, channel_of, costs, refuse, user_of, who_asks
from bot.locks import Locks
from bot.people import who_edited, who_types, who_wrote
from bot.policy import Who
from bot.question import replied_to
from bot.registry import differences
from bot.sending import insist
from bot.services import Services
from bot.traces import trace
from bot.turns import EndingError, TooManyError, Turns
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

_GOODBYE = 3.0
"""Seconds for Discord to answer our hanging up; one that is silent by then has lost the line anyway."""
_SYNC_AGAIN = (0.5, 5.0, 30.0)


class SandglassClient(nextcord.Client):
    """A client over services that outlive it."""

    def __init__(self, services: Services, turns: Turns, **options: Any) -> None:
        super().__init__(
            intents=intents(),
            allowed_mentions=nextcord.AllowedMentions.none(),
            max_messages=1_000,
            **options,
        )
        self.services = services
        self.turns = turns
        pace(self, services.counters)
        self._clicks = Clicks(services, turns)
        self._changes = Changes(self)
        self._doors = Locks()
        self._catch_up = CatchUp(self, services.store, services.heard, services.clock.now)
        for listener in (self._catch_up.on_connect, self._catch_up.on_ready):
            self.add_listener(listener)
        for cog in (Talk(services, turns), Files(services), About(services, turns)):
            self.add_cog(cog)
        self.synced = asyncio.Event()
        self._at_work: set[asyncio.Task[Any]] = set()
        self._hung_up = asyncio.Event()

    async def on_connect(self) -> None:
        """Make Discord's set of commands ours; once more where a request was lost."""
        time_heartbeats(self)
        for wait in _SYNC_AGAIN:
            try:
                await super().on_connect()
                if wrong := await differences(self):
                    log.error("Discord keeps other commands than it was given", commands=wrong)
            except (nextcord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning("commands not synced", again_in=wait, **trace(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hung_up.wait(), wait)
                    return
            else:
                self.synced.set()
                return
        log.error("commands not synced, given up until the next connection")

    async def on_resumed(self) -> None:
        """The same session on another line."""
        time_heartbeats(self)

    async def close(self) -> None:
        """Hang up; then let what is in hand speak to Discord to its end, and close the session after it.

        There is no bound: a question may take its ten minutes while another client listens. Whoever has not
        so long cancels this, and the session is closed then.
        """
        if self.is_closed():
            return
        self._closed = True
        self._hung_up.set()
        try:
            await self._leave_gateway()
            while others := self._at_work - {asyncio.current_task()}:
                await asyncio.wait(others)
        finally:
            await seal(self)

    async def _leave_gateway(self) -> None:
        gateway: Any = self.ws  # None until the first connection, which nextcord's types do not say
        if gateway is not None and gateway.open:
            with suppress(aiohttp.ClientError, OSError):
                async with asyncio.timeout(_GOODBYE):
                    await gateway.close(code=1000)

    async def _run_event(
        self, coro: Callable[..., Coroutine[Any, Any, Any]], event_name: str, *args: Any, **kwargs: Any
    ) -> None:
        # nextcord starts handlers and forgets them; this is the one place through which all of them go.
        self._remember(asyncio.current_task())
        await super()._run_event(coro, event_name, *args, **kwargs)

    def _remember(self, task: asyncio.Task[Any] | None) -> None:
        """Something is at work that speaks through this client's session."""
        if task is not None:
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    @property
    def me(self) -> int:
        """Our own id."""
        assert self.user is not None
        return self.user.id

    async def on_message(self, message: nextcord.Message) -> None:
        """Answer people who speak to us, each in the order of asking."""
        if by_a_person(message) and self.services.heard.first(message.id):
            with self.services.heard.waiting(message.id):
                await self._catch_up.passed(message.channel.id)
                await self.take_up(message)

    async def take_up(self, message: nextcord.Message) -> None:
        """Answer a message if it is for us, its author may ask, and may ask now."""
        async with self._doors.of(message.author.id):
            if not await self._is_for_us(message):
                return
            await with_roles(message)
            who = who_wrote(message)
            if (await self.services.policy.rules()).admits(who) and await self.may_ask_now(message):
                await self.begin(await self._as_it_is(message), who)

    async def _as_it_is(self, message: nextcord.Message) -> nextcord.Message:
        """The message, fetched anew where it was edited while it waited to be taken up."""
        if self.services.heard.fate(message.id) != EDITED:
            return message
        channel = self.place(message.channel.id)
        return await insist(lambda: channel.fetch_message(message.id))

    async def may_ask_now(self, message: nextcord.Message) -> bool:
        """Take one question out of its author's bucket, or say how long to wait."""
        wait = await self.services.policy.wait_time(message.author.id)
        if wait:
            await self._say_no(message, f"-# 🐢 too many questions at once: ask again in {wait:.0f} s")
        return not wait

    async def begin(
        self, message: nextcord.Message, who: Who, into: nextcord.PartialMessage | None = None
    ) -> None:
        """Answer a message that passed every gate."""
        self.services.warmer.coming(who.user)
        # Of a DM that was not spoken in since the start, only the missing guild says what it is.
        room = who.guild is None or await self.services.store.is_ours(message.channel.id)
        dialogue = Dialogue(self.services, self.turns, message, me=self.me, who=who, room=room, into=into)
        if self.services.heard.fate(message.id) == DELETED:
            return
        try:
            turn = self.turns.start(message.id, message.author.id, dialogue.run)
        except TooManyError:
            await self.say_full(message)
        except EndingError:
            log.info("question left to the next process", question_id=message.id)
        else:
            self._remember(turn.task)

    async def say_full(self, message: nextcord.Message) -> None:
        """Refuse one question more."""
        await self._say_no(message, "-# 🐢 several of your questions wait already: ask again after them")

    async def on_raw_typing(self, event: nextcord.RawTypingEvent) -> None:
        """Someone types in a conversation with us: make ready for code."""
        if event.user_id == self.me:
            return
        if event.guild_id is None or await self.services.store.is_ours(event.channel_id):
            who = who_types(event, self.get_channel(event.channel_id))
            if (await self.services.policy.rules()).admits(who):
                self.services.warmer.coming(who.user)

    async def on_raw_message_edit(self, event: nextcord.RawMessageUpdateEvent) -> None:
        """The author changed a question: answer it again, into the same message."""
        data: Mapping[str, Any] = event.data
        author = data.get("author", {})
        if author.get("bot", not author) or not data.get("edited_timestamp") or "content" not in data:
            return
        if event.cached_message is not None and event.cached_message.content == data["content"]:
            return  # a preview was added, or a file taken away
        who = who_edited(data, self.get_channel(event.channel_id))
        await self._changes.edited(event.channel_id, event.message_id, who)

    async def on_raw_message_delete(self, event: nextcord.RawMessageDeleteEvent) -> None:
        """A question is gone: stop working on it, and delete its answer."""
        await self._changes.deleted(event.message_id)

    async def on_raw_bulk_message_delete(self, event: nextcord.RawBulkMessageDeleteEvent) -> None:
        """Several questions are gone."""
        for message_id in event.message_ids:
            await self._changes.deleted(message_id)

    def get_interaction(self, data: Any, *, cls: Any = Asked) -> Any:
        """Keep what nextcord drops of an interaction."""
        return super().get_interaction(data, cls=cls)

    async def on_interaction(self, interaction: nextcord.Interaction[Any]) -> None:
        """Commands, clicks, forms: the policy is asked once, here."""
        kinds = nextcord.InteractionType
        if not (await self.services.policy.rules()).admits(who_asks(interaction)):
            if interaction.type is kinds.application_command_autocomplete:
                await interaction.response.send_autocomplete([])
            else:
                await refuse(interaction, "You may not use this bot here: ask whoever runs it.")
            return
        if costs(interaction) and (wait := await self.services.policy.wait_time(user_of(interaction))):
            await refuse(interaction, f"🐢 Too many at once: try again in {wait:.0f} s.")
        elif interaction.type is kinds.component:
            await self._clicks.clicked(interaction)
        elif interaction.type is kinds.modal_submit:
            await self._clicks.submitted(interaction)
        else:
            await self.process_application_commands(interaction)

    async def on_application_command_error(
        self, interaction: nextcord.Interaction[Any], exception: nextcord.ApplicationError
    ) -> None:
        """A command failed: one sentence for the person, the place for the log."""
        cause = exception.__cause__ or getattr(exception, "original", None) or exception
        if isinstance(cause, SandglassError):
            await refuse(interaction, str(cause))
            return
        log.error("command failed", **trace(cause))
        await refuse(interaction, "⚠️ Something went wrong on our side: try again.")

    def place(self, channel_id: int) -> Any:
        """A channel to write to, known or not."""
        known = self.get_channel(channel_id)
        kinds = (nextcord.TextChannel, nextcord.Thread, nextcord.DMChannel)
        return known if isinstance(known, kinds) else channel_of(self, channel_id)

    async def on_error(self, event_method: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """A handler failed; the arguments are people's words and stay out of the log."""
        log.error("event handler failed", handler=event_method, **trace(sys.exc_info()[1]))

    async def _is_for_us(self, message: nextcord.Message) -> bool:
        if message.guild is None or any(each.id == self.me for each in message.mentions):
            return True
        if (replied := replied_to(message)) is not None:
            resolved = message.reference.resolved if message.reference else None
            if isinstance(resolved, nextcord.Message):
                if resolved.author.id == self.me:
                    return True
            elif await self.services.store.question_of(replied) is not None:
                return True
        return await self.services.store.is_ours(message.channel.id)

    async def _say_no(self, message: nextcord.Message, text: str) -> None:
        reference = message.to_reference(fail_if_not_exists=False)
        await message.channel.send(text, reference=reference, mention_author=False)
