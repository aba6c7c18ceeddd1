"""What becomes of an answer when its question is edited or deleted."""

from typing import Protocol

import nextcord
import structlog

from bot.catchup import DELETED, EDITED
from bot.locks import Locks
from bot.policy import Who
from bot.sending import UNSENT, insist
from bot.services import Services
from bot.traces import trace
from bot.turns import Turns

log = structlog.get_logger(__name__)


class Asked(Protocol):
    """The client, as far as a changed question needs it."""

    services: Services
    turns: Turns

    def place(self, channel_id: int) -> nextcord.PartialMessageable: ...

    async def may_ask_now(self, message: nextcord.Message) -> bool: ...

    async def say_full(self, message: nextcord.Message) -> None: ...

    async def begin(
        self, message: nextcord.Message, who: Who, into: nextcord.PartialMessage | None = None
    ) -> None: ...


class Changes:
    """One change of a question after the other, so that the last one is what is answered."""

    def __init__(self, client: Asked) -> None:
        self._client = client
        self._store = client.services.store
        self._questions = Locks()

    async def edited(self, channel_id: int, question_id: int, who: Who) -> None:
        """Answer it again into its first message; the results of before go. Counts as a question."""
        if self._client.services.heard.note(question_id, EDITED):
            return  # it is read anew when it is taken up
        async with self._questions.of(question_id):
            if not await self._is_ours(question_id):
                return
            if not (await self._client.services.policy.rules()).admits(who):
                return
            channel = self._client.place(channel_id)
            message = await insist(lambda: channel.fetch_message(question_id))
            if not await self._client.may_ask_now(message):
                return
            await self._stop(question_id)
            if not self._client.turns.has_room(who.user):
                await self._client.say_full(message)
                return
            await self._client.begin(message, who, into=await self._cleared(question_id, channel_id))

    async def deleted(self, question_id: int) -> None:
        """Stop working on it, and delete what we wrote."""
        self._client.services.heard.note(question_id, DELETED)
        async with self._questions.of(question_id):
            # Most of what is deleted in a guild was never a question: no reason to write for it.
            if not (await self._is_ours(question_id) or await self._store.author_of(question_id)):
                return
            await self._stop(question_id)
            await self._delete(await self._store.answers_to(question_id))
            await self._store.forget_answers(question_id)

    async def _is_ours(self, question_id: int) -> bool:
        in_hand = self._client.turns.of_question(question_id) is not None
        return in_hand or bool(await self._store.answers_to(question_id))

    async def _cleared(self, question_id: int, channel_id: int) -> nextcord.PartialMessage | None:
        """The first message that answered it, the only one that is left; None where there is none."""
        written = await self._store.answers_to(question_id)
        await self._delete(written[1:])
        await self._store.forget_answers(question_id)
        if not written:
            return None
        first = self._client.place(written[0][0]).get_partial_message(written[0][1])
        await self._store.ours(first.id, question_id, channel_id)
        return first

    async def _stop(self, question_id: int) -> None:
        turn = self._client.turns.of_question(question_id)
        if turn is not None:
            await self._client.turns.stop(turn)

    async def _delete(self, messages: list[tuple[int, int]]) -> None:
        for channel_id, message_id in messages:
            message = self._client.place(channel_id).get_partial_message(message_id)
            try:
                await insist(lambda m=message: m.delete())  # type: ignore[misc]
            except nextcord.NotFound:
                continue
            except UNSENT as error:
                log.warning("message not deleted", **trace(error))
