"""One question from beginning to end: uploads, the model and its tools, the answer, the memory, the bill."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import nextcord
import structlog

from bot import markdown, money
from bot.answer import THINKING, Answer
from bot.conversation import Record, converse
from bot.delivery import file_limit
from bot.model import Message, Model, ModelError, Said, Text, Usage
from bot.policy import Who
from bot.question import Prompt, Uploads, parent_of, prompt_for, store_uploads, words_of
from bot.runs import run_before
from bot.sending import UNSENT
from bot.services import Services
from bot.show import Show
from bot.tools import Toolbox
from bot.traces import trace
from bot.turns import Turn, Turns
from bot.unbroken import unbroken
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

_NO_ANSWER = "(no answer)"
_PARENT_SECONDS = 60.0
_NO_MODEL = (
    "No model is configured here, but code runs: send a ```python block or use /run. "
    "To get answers, set OPENAI_API_KEY or OPENAI_BASE_URL."
)


class ChannelPlace:
    """Messages under a question, in its channel."""

    def __init__(self, channel: nextcord.abc.Messageable, guild: nextcord.Guild | None) -> None:
        self._channel = channel
        self.limit = file_limit(guild.premium_tier if guild else None)

    async def send(
        self, content: str, files: Sequence[nextcord.File], view: nextcord.ui.View | None
    ) -> nextcord.Message:
        """A message of its own."""
        if view is None:
            return await self._channel.send(content, files=list(files))
        return await self._channel.send(content, files=list(files), view=view)


class Dialogue:
    """Answers one message."""

    def __init__(
        self,
        services: Services,
        turns: Turns,
        message: nextcord.Message,
        *,
        me: int,
        who: Who,
        room: bool,
        into: nextcord.PartialMessage | None = None,
    ) -> None:
        self._services = services
        self._turns = turns
        self._message = message
        self._me = me
        self._who = who
        self._room = room
        self._parent: int | None = None
        self._asked_at = services.clock.now()
        self._booked = Usage()
        self._answer = Answer(message, self._ours, services.edits, into=into)
        self._show = Show(
            services,
            ChannelPlace(message.channel, message.guild),
            user_id=message.author.id,
            guild_id=who.guild,
            on_message=self._ours,
        )
        self._owner = str(message.author.id)

    async def run(self, turn: Turn) -> None:
        """Wait for the author's earlier questions, then answer; every end is said in the answer."""
        notes: list[str] = []
        try:
            await self._begin(turn)
            notes = await self._work()
        except asyncio.CancelledError:
            await self._show.abandon()
            await self._finish(["⏹️ stopped"])
            raise
        except SandglassError as error:
            notes = [f"⚠️ {markdown.one_line(str(error))}"]
        except UNSENT as error:
            log.warning("answer not delivered", question_id=self._message.id, **trace(error))
            notes = ["⚠️ Discord refused a part of this answer: ask again."]
        except Exception as error:  # noqa: BLE001  (a defect of ours must not leave a question without an end)
            log.error("question failed", question_id=self._message.id, **trace(error))
            notes = ["⚠️ Something went wrong on our side: ask again."]
        await self._finish(notes)

    async def _begin(self, turn: Turn) -> None:
        """Show the question's place until it is its turn; from here on it is remembered, however it ends."""
        place = self._turns.place_of(turn)
        await self._answer.open(_in_line(place) if place else THINKING)
        self._parent = await parent_of(self._services, self._message)
        words = words_of(self._message, self._me)
        await self._remember([Text(role="user", text=words), Said(text=_NO_ANSWER)])
        while not turn.ready.is_set():
            await turn.moved.wait()
            turn.moved.clear()
            self._answer.sign(_in_line(place) if (place := self._turns.place_of(turn)) else THINKING)
        await self._after_parent()

    async def _after_parent(self) -> None:
        """Somebody who replies to what is still being said to another wants to know the end of it."""
        earlier = None if self._parent is None else self._turns.of_question(self._parent)
        if earlier is None or earlier.task is None or earlier.question_id == self._message.id:
            return
        self._answer.sign("-# ⏳ waiting for the end of the answer that this replies to")
        await asyncio.wait({earlier.task}, timeout=_PARENT_SECONDS)
        self._answer.sign(THINKING)

    async def piece(self, text: str) -> None:
        """See `Listener`."""
        await self._answer.piece(text)

    async def code_is_coming(self) -> None:
        """See `Listener`: make ready for code while the model still writes it."""
        self._services.warmer.coming(self._owner)

    async def _work(self) -> list[str]:
        if spent := await self._spent():
            return [f"💸 {spent}"]
        uploads = await store_uploads(self._services, self._message)
        refused = [f"⚠️ {each}" for each in uploads.refused]
        model = await self._services.model_of(self._message.author.id)
        if model is None:
            return [*refused, *await self._without_model(uploads)]
        prompt = await prompt_for(self._services, self._message, self._me, uploads, room=self._room)
        return [*refused, *await self._with_model(model, prompt)]

    async def _with_model(self, model: Model, prompt: Prompt) -> list[str]:
        record = Record()
        settings = self._services.settings
        toolbox = Toolbox(
            orchestrator=self._services.orchestrator,
            owner=self._owner,
            witness=self._show,
            sees=settings.model_sees,
            forbidden=lambda: self._spent(money.COMPUTING),
        )
        try:
            await converse(
                model,
                toolbox,
                prompt.messages,
                record,
                self,
                max_rounds=settings.max_rounds,
                window=settings.model_window,
                gate=lambda: self._paid(record, model.name),
            )
        except ModelError as error:
            return [*_cut(prompt, record), f"⚠️ {error}"]
        finally:
            # Also when stopped: what was said and done is remembered, and what was used is booked.
            await self._enter(prompt, record, model.name)
        return [*_cut(prompt, record), *([f"💸 {record.cut_short}"] if record.cut_short else [])]

    async def _paid(self, record: Record, model: str) -> str | None:
        """Each round is paid for before the next, of which there may be eight: why there is no other one."""
        await self._book(record, model)
        return await self._spent(money.SPEAKING)

    async def _spent(self, kinds: money.Kinds = money.ALL) -> str | None:
        rules = await self._services.policy.rules()
        now = self._services.clock.now()
        return await money.used_up(self._services.store, rules, self._who, now, kinds)

    @unbroken
    async def _enter(self, prompt: Prompt, record: Record, model: str) -> None:
        exchange = [prompt.question, *record.messages]
        if not record.messages or not isinstance(record.messages[-1], Said):
            exchange.append(Said(text=self._answer.text.strip()[-2_000:] or _NO_ANSWER))
        await self._remember(exchange)
        await self._book(record, model)

    @unbroken
    async def _book(self, record: Record, model: str) -> None:
        """Enter into the ledger what was used since it was last done."""
        used, self._booked = record.usage - self._booked, record.usage
        if used.prompt or used.completion:
            await self._services.store.book(
                user_id=self._message.author.id,
                guild_id=self._who.guild,
                at=self._services.clock.now(),
                model=model,
                usage=used,
                dollars=money.price(model, used),
            )

    async def _remember(self, exchange: Sequence[Message]) -> None:
        await self._services.store.remember(
            question_id=self._message.id,
            channel_id=self._message.channel.id,
            author_id=self._message.author.id,
            parent_id=self._parent,
            at=self._asked_at,
            exchange=exchange,
        )

    async def _without_model(self, uploads: Uploads) -> list[str]:
        code = markdown.fenced_code(words_of(self._message, self._me))
        if code is None:
            stored = [f"📎 {len(uploads.told)} stored: code can read them"] if uploads.told else []
            return [*stored, _NO_MODEL.replace("```", "fenced ")]
        await run_before(self._show, self._services.orchestrator, self._owner, code)
        return []

    @unbroken
    async def _finish(self, notes: list[str]) -> None:
        """The end of everything that was shown; a stop that comes only now changes nothing."""
        await self._show.failed()  # nothing, unless something still says that it runs
        try:
            await self._answer.close(notes)
        except UNSENT as error:
            log.warning("last edit failed", question_id=self._message.id, **trace(error))
            with suppress(*UNSENT):
                await self._answer.give_up("Discord took this answer in no form: ask again.")

    async def _ours(self, message: nextcord.Message) -> None:
        await self._services.store.ours(message.id, self._message.id, message.channel.id)


def _in_line(place: int) -> str:
    return f"-# ⏳ one at a time: {place} before this one"


def _cut(prompt: Prompt, record: Record) -> list[str]:
    """The note that the model does not know all that was said."""
    if left_out := prompt.left_out + record.left_out:
        return [f"✂️ {left_out} older messages no longer fit and were left out"]
    return ["✂️ the beginning of this conversation is too far back and was left out"] if prompt.cut else []
