"""Clicks and submitted forms. What they concern is in the custom id; who may is decided each time."""

import io
from typing import Any

import nextcord

from bot import filecard, markdown
from bot.buttons import Action
from bot.interactions import moderates, refuse, user_of
from bot.running import CODE_INPUT, CodeForm, fits_form, run_code
from bot.services import Services
from bot.turns import Turns
from orchestrator import Execution, Refused

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
        await interaction.response.defer()
        if not await self._services.orchestrator.cancel(execution_id):
            await refuse(interaction, "This execution has ended already.")

    async def _again(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        execution = await self._allowed(interaction, execution_id)
        if execution is not None:
            await run_code(self._services, self._turns, interaction, execution.code)

    async def _edit(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        execution = await self._allowed(interaction, execution_id)
        if execution is None:
            return
        if not fits_form(execution.code):
            await refuse(interaction, "This code is too long for a form: take it with Code, then use /run.")
            return
        form = CodeForm(Action(verb="form", target=execution_id).custom_id, execution.code)
        await interaction.response.send_modal(form)

    async def _code(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        execution = await self._allowed(interaction, execution_id)
        if execution is None:
            return
        shown = markdown.block(execution.code, "python")
        as_it_is = shown == f"```python\n{execution.code}\n```"
        if len(shown) <= markdown.LIMIT and as_it_is:
            await interaction.response.send_message(shown, ephemeral=True)
        else:
            file = nextcord.File(io.BytesIO(execution.code.encode()), "code.py")
            await interaction.response.send_message(file=file, ephemeral=True)

    async def _delete(self, interaction: nextcord.Interaction[Any], execution_id: str) -> None:
        if await self._allowed(interaction, execution_id) is None:
            return
        await interaction.response.defer()
        await interaction.delete_original_message()

    async def _allowed(self, interaction: nextcord.Interaction[Any], execution_id: str) -> Execution | None:
        """The execution, for its author and moderators; unknown and foreign sound the same."""
        try:
            execution = await self._services.orchestrator.get_execution(execution_id)
        except Refused:
            execution = None
        mine = execution is not None and execution.owner == str(user_of(interaction))
        if execution is None or not (mine or await self._moderates(interaction)):
            await refuse(interaction, _NOT_YOURS)
            return None
        return execution

    async def _moderates(self, interaction: nextcord.Interaction[Any]) -> bool:
        return moderates(interaction, await self._services.policy.rules())
