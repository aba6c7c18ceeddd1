"""The connection to Discord: which events concern us, and who deals with them. One client a connection."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import nextcord
import structlog

from bot.clicks import Clicks
from bot.cogs.about import About
from bot.cogs.files import Files
from bot.cogs.talk import Talk
from bot.connection import intents, pace
from bot.dialogue import Dialogue
from bot.interactions import Asked, costs, refuse, user_of, who_asks
from bot.policy import Who
from bot.registry import differences
from bot.services import Services
from bot.traces import trace
from bot.turns import TooManyError, Turns
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

_HANDLERS_MAY_TAKE = 10.0
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
        pace(self)
        self._clicks = Clicks(services, turns)
        for cog in (Talk(services, turns), Files(services), About(services, turns)):
            self.add_cog(cog)
        self.synced = asyncio.Event()
        self._at_work: set[asyncio.Task[Any] | None] = set()

    async def on_connect(self) -> None:
        """Make Discord's set of commands ours; once more where a request was lost."""
        for wait in _SYNC_AGAIN:
            try:
                await super().on_connect()
                if wrong := await differences(self):
                    log.error("Discord keeps other commands than it was given", commands=wrong)
            except (nextcord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning("commands not synced", again_in=wait, **trace(error))
                await asyncio.sleep(wait)
            else:
                self.synced.set()
                return
        log.error("commands not synced, given up until the next connection")

    async def close(self) -> None:
        """Hang up, then wait for the handlers that are at work: the store closes after us."""
        await super().close()
        others = {each for each in self._at_work if each is not None and each is not asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_HANDLERS_MAY_TAKE)

    async def _run_event(
        self, coro: Callable[..., Coroutine[Any, Any, Any]], event_name: str, *args: Any, **kwargs: Any
    ) -> None:
        # nextcord starts handlers and forgets them; this is the one place through which all of them go.
        task = asyncio.current_task()
        self._at_work.add(task)
        try:
            await super()._run_event(coro, event_name, *args, **kwargs)
        finally:
            self._at_work.discard(task)

    @property
    def me(self) -> int:
        """Our own id."""
        assert self.user is not None
        return self.user.id

    async def on_message(self, message: nextcord.Message) -> None:
        """Answer people who speak to us."""
        if message.author.bot or message.type not in {
            nextcord.MessageType.default,
            nextcord.MessageType.reply,
        }:
            return
        if not await self._is_for_us(message):
            return
        who = who_wrote(message)
        if not (await self.services.policy.rules()).admits(who):
            return
        if wait := await self.services.policy.wait_time(who.user):
            await self._say_no(message, f"-# 🐢 too many questions at once: ask again in {wait:.0f} s")
            return
        await self.begin(message, who)

    async def begin(
        self, message: nextcord.Message, who: Who, into: nextcord.PartialMessage | None = None
    ) -> None:
        """Answer a message that passed every gate."""
        self.services.warmer.coming(who.user)
        room = await self._is_room(message.channel)
        dialogue = Dialogue(self.services, self.turns, message, me=self.me, who=who, room=room, into=into)
        try:
            self.turns.start(message.id, message.author.id, dialogue.run)
        except TooManyError:
            await self._say_no(message, "-# 🐢 several of your questions wait already: ask again after them")

    async def on_raw_typing(self, event: nextcord.RawTypingEvent) -> None:
        """Someone types in a conversation with us: make ready for code."""
        if event.guild_id is None or await self.services.store.is_ours(event.channel_id):
            who = Who.of(event.user_id, event.channel_id, event.guild_id, ())
            if event.user_id != self.me and (await self.services.policy.rules()).admits(who):
                self.services.warmer.coming(event.user_id)

    async def on_raw_message_edit(self, event: nextcord.RawMessageUpdateEvent) -> None:
        """The author changed a question: answer it again, into the same message."""
        data: Mapping[str, Any] = event.data
        if (
            data.get("author", {}).get("id") == str(self.me)
            or not data.get("edited_timestamp")
            or "content" not in data
        ):
            return
        if event.cached_message is not None and event.cached_message.content == data["content"]:
            return  # a preview was added, or a file taken away
        written = await self.services.store.answers_to(event.message_id)
        if not written:
            return
        channel = self.place(event.channel_id)
        message = await channel.fetch_message(event.message_id)
        who = who_wrote(message)
        if message.author.bot or not (await self.services.policy.rules()).admits(who):
            return
        await self._stop(event.message_id)
        written = await self.services.store.answers_to(event.message_id)
        await self._delete(written[1:])
        first = self.place(written[0][0]).get_partial_message(written[0][1])
        await self.services.store.forget_answers(event.message_id)
        await self.services.store.ours(first.id, message.id, channel.id)
        await self.begin(message, who, into=first)

    async def on_raw_message_delete(self, event: nextcord.RawMessageDeleteEvent) -> None:
        """A question is gone: stop working on it, and delete its answer."""
        await self._forget(event.message_id)

    async def on_raw_bulk_message_delete(self, event: nextcord.RawBulkMessageDeleteEvent) -> None:
        """Several questions are gone."""
        for message_id in event.message_ids:
            await self._forget(message_id)

    async def _forget(self, question_id: int) -> None:
        await self._stop(question_id)
        written = await self.services.store.answers_to(question_id)
        if written:
            await self._delete(written)
            await self.services.store.forget_answers(question_id)

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
        return self.get_channel(channel_id) or self.get_partial_messageable(channel_id)

    async def on_error(self, event_method: str, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """A handler failed; the arguments are people's words and stay out of the log."""
        log.error("event handler failed", handler=event_method, **trace(sys.exc_info()[1]))

    async def _is_for_us(self, message: nextcord.Message) -> bool:
        if message.guild is None or any(each.id == self.me for each in message.mentions):
            return True
        if message.reference is not None and message.reference.message_id is not None:
            resolved = message.reference.resolved
            if isinstance(resolved, nextcord.Message):
                if resolved.author.id == self.me:
                    return True
            elif await self.services.store.question_of(message.reference.message_id) is not None:
                return True
        return await self.services.store.is_ours(message.channel.id)

    async def _is_room(self, channel: Any) -> bool:
        return isinstance(channel, nextcord.DMChannel) or await self.services.store.is_ours(channel.id)

    async def _stop(self, question_id: int) -> None:
        turn = self.turns.of_question(question_id)
        if turn is not None:
            await self.turns.stop(turn)

    async def _delete(self, messages: list[tuple[int, int]]) -> None:
        for channel_id, message_id in messages:
            try:
                await self.place(channel_id).get_partial_message(message_id).delete()
            except nextcord.NotFound:
                continue
            except nextcord.HTTPException as error:
                log.warning("message not deleted", status=error.status)

    async def _say_no(self, message: nextcord.Message, text: str) -> None:
        reference = message.to_reference(fail_if_not_exists=False)
        await message.channel.send(text, reference=reference, mention_author=False)


def who_wrote(message: nextcord.Message) -> Who:
    """The ids of a message that the policy looks at."""
    channel = message.channel
    parent = channel.parent_id if isinstance(channel, nextcord.Thread) else channel.id
    roles = [role.id for role in getattr(message.author, "roles", ())]
    return Who.of(message.author.id, parent, message.guild.id if message.guild else None, roles)
