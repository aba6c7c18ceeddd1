"""One question from beginning to end: uploads, the model and its tools, the answer, the memory, the bill."""

import asyncio
from collections.abc import Sequence

import nextcord
import structlog

from bot import markdown, money
from bot.answer import Answer
from bot.conversation import Record, converse
from bot.delivery import file_limit
from bot.model import Model, ModelError, Said
from bot.policy import Who
from bot.question import Prompt, Uploads, prompt_for, store_uploads, words_of
from bot.runs import execute, new_execution_id
from bot.services import Services
from bot.show import Show
from bot.tools import Toolbox
from bot.traces import trace
from bot.turns import Turn, Turns
from bot.unbroken import unbroken
from orchestrator import SandglassError

log = structlog.get_logger(__name__)

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
        self._again = into is not None
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
        place = self._turns.place_of(turn)
        try:
            await self._answer.open(
                f"-# ⏳ one at a time: {place} before this one" if place else "-# 💭 thinking…"
            )
            await turn.ready.wait()
            notes = await self._work()
        except asyncio.CancelledError:
            await self._show.abandon()
            await self._close(["⏹️ stopped"])
            raise
        except SandglassError as error:
            notes = [f"⚠️ {markdown.one_line(str(error))}"]
        except nextcord.HTTPException as error:
            log.warning("answer not delivered", question_id=self._message.id, status=error.status)
            notes = ["⚠️ Discord refused a part of this answer: ask again."]
        except Exception as error:  # noqa: BLE001  (a defect of ours must not leave a question without an end)
            log.error("question failed", question_id=self._message.id, **trace(error))
            notes = ["⚠️ Something went wrong on our side: ask again."]
        await self._close(notes)

    async def piece(self, text: str) -> None:
        """See `Listener`."""
        await self._answer.piece(text)

    async def code_is_coming(self) -> None:
        """See `Listener`: make ready for code while the model still writes it."""
        self._services.warmer.coming(self._owner)

    async def _work(self) -> list[str]:
        rules = await self._services.policy.rules()
        if spent := await money.used_up(self._services.store, rules, self._who, self._services.clock.now()):
            return [f"💸 {spent}"]
        uploads = Uploads() if self._again else await store_uploads(self._services, self._message)
        refused = [f"⚠️ {each}" for each in uploads.refused]
        model = await self._services.model_of(self._message.author.id)
        if model is None:
            return [*refused, *await self._without_model(uploads)]
        prompt = await prompt_for(self._services, self._message, self._me, uploads, room=self._room)
        cut = (
            [f"✂️ {prompt.left_out} older messages no longer fit and were left out"] if prompt.left_out else []
        )
        return [*refused, *cut, *await self._with_model(model, prompt)]

    async def _with_model(self, model: Model, prompt: Prompt) -> list[str]:
        record = Record()
        toolbox = Toolbox(
            orchestrator=self._services.orchestrator,
            owner=self._owner,
            witness=self._show,
            sees=self._services.settings.model_sees,
        )
        try:
            await converse(
                model,
                toolbox,
                prompt.messages,
                record,
                self,
                max_rounds=self._services.settings.max_rounds,
            )
        except ModelError as error:
            return [f"⚠️ {error}"]
        finally:
            # Also when stopped: what was said and done is remembered, and what was used is booked.
            await self._remember(prompt, record, model.name)
        return []

    @unbroken
    async def _remember(self, prompt: Prompt, record: Record, model: str) -> None:
        exchange = [prompt.question, *record.messages]
        if not record.messages or not isinstance(record.messages[-1], Said):
            exchange.append(Said(text=self._answer.text.strip()[-2_000:] or "(no answer)"))
        await self._services.store.remember(
            question_id=self._message.id,
            channel_id=self._message.channel.id,
            author_id=self._message.author.id,
            parent_id=prompt.parent_id,
            at=self._services.clock.now(),
            exchange=exchange,
        )
        if record.usage.prompt or record.usage.completion:
            await self._services.store.book(
                user_id=self._message.author.id,
                guild_id=self._who.guild,
                at=self._services.clock.now(),
                model=model,
                usage=record.usage,
                dollars=money.price(model, record.usage),
            )

    async def _without_model(self, uploads: Uploads) -> list[str]:
        code = markdown.fenced_code(words_of(self._message, self._me))
        if code is None:
            stored = [f"📎 {len(uploads.told)} stored: code can read them"] if uploads.told else []
            return [*stored, _NO_MODEL.replace("```", "fenced ")]
        execution_id = new_execution_id()
        await self._show.began(execution_id, code)
        run = await execute(self._services.orchestrator, self._owner, code, execution_id=execution_id)
        await self._show.ended(run)
        return []

    async def _close(self, notes: list[str]) -> None:
        try:
            await self._answer.close(notes)
        except nextcord.HTTPException as error:
            log.warning("last edit failed", question_id=self._message.id, status=error.status)

    async def _ours(self, message: nextcord.Message) -> None:
        await self._services.store.ours(message.id, self._message.id, message.channel.id)
