"""Code that a person runs without the model: commands, buttons, forms. It takes its turn like a question."""

import asyncio
from typing import Any

import nextcord
import structlog

from bot import buttons, money
from bot.interactions import InteractionPlace, refuse, user_of, who_asks
from bot.model import Said, Text, ToolCall, ToolResult
from bot.runs import Run, run_before, told
from bot.sending import UNSENT
from bot.services import Services
from bot.show import Show
from bot.traces import trace
from bot.turns import EndingError, TooManyError, Turn, Turns
from bot.unbroken import unbroken

log = structlog.get_logger(__name__)

CODE_INPUT = "code"
_MODAL_CODE = 4_000
_FORM_SECONDS = 900.0
"""After which nextcord forgets an open form; ours still answers a later submission."""


async def run_code(
    services: Services, turns: Turns, interaction: nextcord.Interaction[Any], code: str
) -> None:
    """Defer, run the code as the person who asks, and show what came of it."""
    user_id = user_of(interaction)
    if not interaction.response.is_done():
        await interaction.response.defer(with_message=True)
    program = _Program(services, turns, interaction, code)
    try:
        turn = turns.start(interaction.id, user_id, program.run)
    except TooManyError:
        await refuse(interaction, "🐢 Several of your questions wait already: ask again after them.")
        return
    except EndingError:
        await refuse(interaction, "The bot is being restarted: try again in a moment.")
        return
    assert turn.task is not None
    await turn.task


class _Program:
    """What a person has written, from its place in the line to what came of it."""

    def __init__(
        self, services: Services, turns: Turns, interaction: nextcord.Interaction[Any], code: str
    ) -> None:
        self._services = services
        self._turns = turns
        self._interaction = interaction
        self._code = code
        self._owner = str(user_of(interaction))
        self._place = InteractionPlace(interaction)
        self._show = Show(
            services,
            self._place,
            user_id=user_of(interaction),
            guild_id=interaction.guild_id,
            on_message=self._note,
        )

    async def run(self, turn: Turn) -> None:
        """Wait for the person's earlier questions, then run; every end is shown."""
        try:
            if await self._is_spent():
                return
            if not turn.ready.is_set():
                await self._wait(turn)
                if await self._is_spent():
                    return
            await run_before(self, self._services.orchestrator, self._owner, self._code)
        except asyncio.CancelledError:
            if not await self._show.abandon():
                await self._stopped()
            raise
        except Exception:
            # Whatever it is, and whoever reports it: nothing may say for ever that this runs.
            await self._show.failed()
            raise

    async def began(self, execution_id: str, code: str) -> None:
        """See `Witness`."""
        await self._show.began(execution_id, code)

    @unbroken
    async def ended(self, run: Run) -> None:
        """See `Witness`. What is shown is remembered, also when it is stopped in between."""
        await self._show.ended(run)
        await _remember(self._services, self._interaction, run)

    async def _is_spent(self) -> bool:
        """Whether a budget is used up, and say so; asked again after a wait, for the line spends too."""
        services = self._services
        rules, now = await services.policy.rules(), services.clock.now()
        spent = await money.used_up(services.store, rules, who_asks(self._interaction), now)
        if spent:
            await self._show.waits(f"💸 {spent}", buttons.none())
        return spent is not None

    async def _wait(self, turn: Turn) -> None:
        while not turn.ready.is_set():
            sign = f"-# ⏳ one at a time: {self._turns.place_of(turn)} before this one"
            await self._show.waits(sign, buttons.stop_turn(turn.question_id))
            await turn.moved.wait()
            turn.moved.clear()

    async def _note(self, message: nextcord.Message) -> None:
        await self._services.store.ours(message.id, self._interaction.id, message.channel.id)

    @unbroken
    async def _stopped(self) -> None:
        try:
            await self._place.send("-# ⏹️ stopped", (), None)
        except UNSENT as error:
            log.warning("end not shown", **trace(error))


async def _remember(services: Services, interaction: nextcord.Interaction[Any], run: Run) -> None:
    """So that a reply to the result can ask about it."""
    call = ToolCall(call_id=f"run_{run.execution_id}", name="execute_python", arguments="{}")
    await services.store.remember(
        question_id=interaction.id,
        channel_id=interaction.channel_id or 0,
        author_id=user_of(interaction),
        parent_id=None,
        at=services.clock.now(),
        exchange=[
            Text(role="user", text=f"I ran this code myself:\n```python\n{run.code}\n```"),
            Said(text="", calls=(call,)),
            ToolResult(call_id=call.call_id, output=told(run)),
            Said(text="(the result was shown)"),
        ],
    )


class CodeForm(nextcord.ui.Modal):
    """A form for code; its submission is dispatched by custom id, also after a restart."""

    def __init__(self, custom_id: str, code: str = "") -> None:
        super().__init__("Run Python", custom_id=custom_id, auto_defer=False, timeout=_FORM_SECONDS)
        self.add_item(
            nextcord.ui.TextInput(
                "Code",
                custom_id=CODE_INPUT,
                style=nextcord.TextInputStyle.paragraph,
                default_value=code or None,
                max_length=_MODAL_CODE,
            )
        )


def fits_form(code: str) -> bool:
    """Whether code can be edited in a form."""
    return len(code) <= _MODAL_CODE
