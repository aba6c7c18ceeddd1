"""Code that a person runs without the model: commands, buttons, forms. It takes its turn like a question."""

import asyncio
from typing import Any

import nextcord
import structlog

from bot import money
from bot.interactions import InteractionPlace, refuse, user_of, who_asks
from bot.model import Said, Text, ToolCall, ToolResult
from bot.runs import Run, execute, new_execution_id, told
from bot.sending import UNSENT
from bot.services import Services
from bot.show import Show
from bot.traces import trace
from bot.turns import TooManyError, Turn, Turns
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
    rules = await services.policy.rules()
    if spent := await money.used_up(services.store, rules, who_asks(interaction), services.clock.now()):
        await interaction.followup.send(f"💸 {spent}")
        return

    async def note(message: nextcord.Message) -> None:
        await services.store.ours(message.id, interaction.id, message.channel.id)

    place = InteractionPlace(interaction)
    show = Show(services, place, user_id=user_id, guild_id=interaction.guild_id, on_message=note)

    @unbroken
    async def ended(run: Run) -> None:
        # What is shown is remembered, also when it is stopped in between.
        await show.ended(run)
        await _remember(services, interaction, run)

    async def work(turn: Turn) -> None:
        try:
            await turn.ready.wait()
            execution_id = new_execution_id()
            await show.began(execution_id, code)
            run = await execute(services.orchestrator, str(user_id), code, execution_id=execution_id)
            await ended(run)
        except asyncio.CancelledError:
            if not await show.abandon():
                await _stopped(place)
            raise
        except Exception:
            # Whatever it is, and whoever reports it: nothing may say for ever that this runs.
            await show.failed()
            raise

    try:
        turn = turns.start(interaction.id, user_id, work)
    except TooManyError:
        await refuse(interaction, "🐢 Several of your questions wait already: ask again after them.")
        return
    assert turn.task is not None
    await turn.task


@unbroken
async def _stopped(place: InteractionPlace) -> None:
    try:
        await place.send("-# ⏹️ stopped", (), None)
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
