"""Commands about running code and about the conversation."""
# nextcord leaves its decorators without types.
# mypy: disable-error-code="untyped-decorator"

from typing import Any

import nextcord
from nextcord import SlashOption, message_command, slash_command

from bot import markdown
from bot.buttons import Action
from bot.interactions import in_time, refuse, reply, user_of
from bot.running import CodeForm, run_code
from bot.services import Services
from bot.turns import Turns

_FOR_A_THREAD = {
    "create_public_threads": "Create Public Threads",
    "send_messages_in_threads": "Send Messages in Threads",
}


class Talk(nextcord.ClientCog):
    """/run, "Run this code", /chat, /stop, /reset, /model."""

    def __init__(self, services: Services, turns: Turns) -> None:
        self._services = services
        self._turns = turns

    @slash_command(description="Run Python; without code, a form opens")
    async def run(
        self,
        interaction: nextcord.Interaction[Any],
        code: str = SlashOption(description="The program", required=False, default="", max_length=6000),
    ) -> None:
        if not code.strip():
            await interaction.response.send_modal(CodeForm(Action(verb="form", target="new").custom_id))
            return
        program = markdown.program(code)
        if program is None:
            await refuse(
                interaction, "That block is not Python: send the code alone, or in a ```python fence."
            )
            return
        await run_code(self._services, self._turns, interaction, program)

    @message_command(name="Run this code")
    async def run_message(self, interaction: nextcord.Interaction[Any], message: nextcord.Message) -> None:
        code = markdown.fenced_code(message.content)
        if code is None:
            await refuse(interaction, "This message has no code between ``` fences: use /run.")
            return
        await run_code(self._services, self._turns, interaction, code)

    @slash_command(description="Open a thread in which every message is for me")
    async def chat(
        self,
        interaction: nextcord.Interaction[Any],
        topic: str = SlashOption(description="Its name", required=False, default="Sandglass", max_length=90),
    ) -> None:
        channel = interaction.channel
        if not isinstance(channel, nextcord.TextChannel):
            await refuse(
                interaction, "A thread can be opened in a text channel only: here, just write to me."
            )
            return
        ours = interaction.app_permissions
        if missing := [word for name, word in _FOR_A_THREAD.items() if not getattr(ours, name)]:
            await refuse(interaction, _may_not(missing))
            return
        await interaction.response.defer(ephemeral=True, with_message=True)
        name = markdown.visible(topic).strip()[:90] or "Sandglass"
        try:
            thread = await channel.create_thread(name=name, type=nextcord.ChannelType.public_thread)
            await self._services.store.opened(thread.id, user_of(interaction))
            await thread.send("-# 👋 every message in this thread is for me: ask, or drop a file")
        except nextcord.Forbidden:
            await refuse(interaction, _may_not(list(_FOR_A_THREAD.values())))
            return
        await interaction.followup.send(f"The thread is open: {thread.mention}", ephemeral=True)

    @slash_command(description="Stop what I am doing for you")
    async def stop(self, interaction: nextcord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, with_message=True)
        turns = self._turns.of_user(user_of(interaction))
        for turn in reversed(turns):
            await self._turns.stop(turn)
        await interaction.followup.send(
            f"-# ⏹️ stopped {len(turns)}" if turns else "I am doing nothing for you.", ephemeral=True
        )

    @slash_command(description="Forget this conversation; files and figures stay")
    async def reset(self, interaction: nextcord.Interaction[Any]) -> None:
        now = self._services.clock.now()
        work = self._services.store.reset(interaction.channel_id or 0, user_of(interaction), now)
        await in_time(interaction, work)
        await reply(interaction, "-# 🧹 what was said here before is forgotten")

    @slash_command(description="See or choose the model that answers you")
    async def model(
        self,
        interaction: nextcord.Interaction[Any],
        which: str = SlashOption(description="The model", required=False, default="", max_length=100),
    ) -> None:
        models = self._services.settings.models
        if self._services.model is None:
            await refuse(interaction, "No model is configured here: code runs all the same, use /run.")
        elif not which:
            model = await in_time(interaction, self._services.model_of(user_of(interaction)))
            assert model is not None
            offered = ", ".join(markdown.name(each) for each in models)
            text = f"You talk to {markdown.name(model.name)}. Offered: {offered}."
            await reply(interaction, text)
        elif which not in models:
            await refuse(interaction, f"Not offered. Choose one of {', '.join(map(markdown.name, models))}.")
        else:
            await in_time(interaction, self._services.store.choose(user_of(interaction), which))
            await reply(interaction, f"From now on {markdown.name(which)}.")

    @model.on_autocomplete("which")
    async def _models(self, interaction: nextcord.Interaction[Any], which: str) -> None:
        found = [each for each in self._services.settings.models if which.lower() in each.lower()]
        await interaction.response.send_autocomplete(found[:25])


def _may_not(missing: list[str]) -> str:
    return f"I may not open a thread here: whoever manages this channel must give me {' and '.join(missing)}."
