"""Clicks and submitted forms. What they concern is in the custom id; who may is decided each time."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import nextcord
import structlog

from bot import filecard, markdown
from bot.buttons import Action
from bot.interactions import channel_of, in_time, moderates, refuse, user_of
from bot.running import CODE_INPUT, CodeForm, fits_form, run_code
from bot.sending import UNSENT, insist
from bot.services import Services
from bot.traces import trace
from bot.turns import Turns
from orchestrator import Execution, Refused

log = structlog.get_logger(__name__)

_LOOK_UP = 2.0
"""Seconds for what a form needs to know: a form must be the first answer, and that within three."""
_NOT_YOURS = "This is for its author and for moderators."


class Clicks:
    """Dispatches the components of our messages."""

    def __init__(self, services: Services, turns: Turns) -> None:
        self._services = services
        self._turns = turns
        self._verbs = {
            "stop": self._stop,
            "kill": self._kill,
            "again": self._again,
            "edit": self._edit,
            "code": self._code,
            "delete": self._delete,
        }

    async def clicked(self, interaction: nextcord.Interaction[Any]) -> None:
        """A button or a select."""
        data: Any = interaction.data
        action = Action.parse(data["custom_id"])
        if action is None:
            return
        if action.verb in self._verbs:
            await self._verbs[action.verb](interaction, action.target)
        else:
            await filecard.clicked(self._services, interaction, action, data.get("values") or [])

    async def submitted(self, interaction: nextcord.Interaction[Any]) -> None:
        """The code form."""
        data: Any = interaction.data
        action = Action.parse(data["custom_id"])
        if action is None or action.verb != "form":
            return
        values = {
            inside["custom_id"]: inside["value"]
            for row in data["components"]
            for inside in row.get("components", [row.get("component", {})])
        }
        await run_code(self._services, self._turns, interaction, values[CODE_INPUT])

    async def _stop(self, interaction: nextcord.Interaction[Any], question_id: str) -> None:
        turn = self._turns.of_question(int(question_id))
        author = turn.user_id if turn else await self._services.store.author_of(int(question_id))
        if author not in {None, user_of(interaction)} and not await self._moderates(interaction):
            await refuse(interaction, _NOT_YOURS)
        elif turn is None:
            # A restart has ended it: the button goes, what was said stays.
            await interaction.response.edit_message(view=None)
        else:
            await interaction.response.defer()
            await self._turns.stop(turn)

    async def _kill(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        if await self._allowed(interaction, execution_id) is None:
            return
        await _silently(interaction)
        if not await self._services.orchestrator.cancel(execution_id):
            await refuse(interaction, "This execution has ended already.")

    async def _again(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        execution = await self._allowed(interaction, execution_id)
        if execution is not None:
            await run_code(self._services, self._turns, interaction, execution.code)

    async def _edit(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        try:
            async with asyncio.timeout(_LOOK_UP):
                execution = await self._looked_up(interaction, execution_id)
        except TimeoutError:
            await refuse(interaction, "I am busy: try again in a moment.")
            return
        if execution is None:
            await refuse(interaction, _NOT_YOURS)
        elif not fits_form(execution.code):
            await refuse(interaction, "This code is too long for a form: take it with Code, then use /run.")
        else:
            form = CodeForm(Action(verb="form", target=execution_id).custom_id, execution.code)
            await interaction.response.send_modal(form)

    async def _code(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        execution = await self._allowed(interaction, execution_id, private=True)
        if execution is None:
            return
        shown = markdown.block(execution.code, "python")
        as_it_is = shown == f"```python\n{execution.code}\n```"
        if len(shown) <= markdown.LIMIT and as_it_is:
            await interaction.send(shown, ephemeral=True)
        else:
            file = nextcord.File(io.BytesIO(execution.code.encode()), "code.py")
            await interaction.send(file=file, ephemeral=True)

    async def _delete(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        """Every message that shows it; the clicked one also where it is older than our list of them."""
        if await self._allowed(interaction, execution_id) is None:
            return
        await _silently(interaction)
        clicked = interaction.message
        messages = await self._services.store.shown_of(execution_id)
        for channel_id, message_id in messages:
            if clicked is None or message_id != clicked.id:
                message: Any = channel_of(interaction.client, channel_id).get_partial_message(message_id)
                await _delete(message.delete)
        await _delete(interaction.delete_original_message)

    async def _allowed(
        self, interaction: nextcord.Interaction[Any], execution_id: str, *, private: bool = False
    ) -> Execution | None:
        """The execution, for its author and moderators; unknown and foreign sound the same."""
        work = self._looked_up(interaction, execution_id)
        execution = await in_time(interaction, work, private=private)
        if execution is None:
            await refuse(interaction, _NOT_YOURS)
        return execution

    async def _looked_up(self, interaction: nextcord.Interaction[Any], execution_id: str) -> Execution | None:
        try:
            execution = await self._services.orchestrator.get_execution(execution_id)
        except Refused:
            return None
        mine = execution.owner == str(user_of(interaction))
        return execution if mine or await self._moderates(interaction) else None

    async def _moderates(self, interaction: nextcord.Interaction[Any]) -> bool:
        return moderates(interaction, await self._services.policy.rules())


async def _silently(interaction: nextcord.Interaction[Any]) -> None:
    """Acknowledge a click whose effect is answer enough."""
    if not interaction.response.is_done():
        await interaction.response.defer()


async def _delete(delete: Callable[[], Awaitable[None]]) -> None:
    try:
        await insist(delete)
    except nextcord.NotFound:
        return
    except UNSENT as error:
        log.warning("message not deleted", **trace(error))
