"""Commands about the bot and about what it knows of a person."""
# nextcord leaves its decorators without types.
# mypy: disable-error-code="untyped-decorator"

import asyncio
from typing import Any

import nextcord
from nextcord import slash_command

from bot import markdown, privacy
from bot.interactions import in_time, limit_of, reply, user_of
from bot.services import Services
from bot.show import as_files
from bot.turns import Turns

_HELP = """\
**Mention me, reply to me or write me a DM**: I answer, and I run Python for it. Every file comes back.
**Attach files** to a question, and code can open them. They are kept for {hours}, as are the files it makes.
`/run` runs your own code; the message menu has *Run this code* for fenced blocks.
`/chat` opens a thread with me · `/stop` stops · `/reset` forgets · `/model` chooses the model
`/files` `/download` `/upload` `/delete` your files
`/status` how I am · `/usage` what you used today · `/privacy` export or erase what I remember
Code runs in a container of its own without a network, {seconds:g} s at most unless asked for longer."""

_PART = """\
-# 📦 part {number} of {parts}: put together in this order they are a zip
-# (`cat sandglass-export.zip.* > sandglass-export.zip`)"""


class About(nextcord.ClientCog):
    """/help, /status, /usage, /privacy."""

    def __init__(self, services: Services, turns: Turns) -> None:
        self._services = services
        self._turns = turns

    @slash_command(description="What I can do")
    async def help(self, interaction: nextcord.Interaction[Any]) -> None:
        bounds = self._services.orchestrator.bounds
        hours = "ever" if bounds.file_ttl_hours == -1 else f"{bounds.file_ttl_hours:g} hours"
        text = _HELP.format(hours=hours, seconds=bounds.timeout)
        await interaction.response.send_message(text, ephemeral=True)

    @slash_command(description="How the sandbox is doing")
    async def status(self, interaction: nextcord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, with_message=True)
        status = await self._services.orchestrator.get_interpreter_status()
        model = self._services.settings.openai_model if self._services.model else None
        lines = [
            f"**{'✅ ready' if status.image else '❌ no engine or no image'}** · runtime {status.runtime}",
            f"{status.running} running · {status.queued} queued · {status.standby} on standby",
            f"{status.package_count} packages in the image",
            f"model {markdown.name(model)}" if model else "no model: code only",
        ]
        await interaction.followup.send("\n".join(lines), ephemeral=True)

    @slash_command(description="What you used today")
    async def usage(self, interaction: nextcord.Interaction[Any]) -> None:
        await reply(interaction, await in_time(interaction, self._used(user_of(interaction))))

    async def _used(self, user_id: int) -> str:
        now = self._services.clock.now()
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        spent = await self._services.store.spent(day, user_id=user_id)
        budget = (await self._services.policy.rules()).budget.user
        lines = [
            "**Today, since 00:00 UTC**",
            f"{spent.tokens:,} tokens{_of(budget.tokens, ' of {:,}')}",
            f"${spent.dollars:.4f}{_of(budget.dollars, ' of ${:g}')}",
            f"{spent.cpu_seconds:.1f} s of computing{_of(budget.cpu_seconds, ' of {:g} s')}",
        ]
        return "\n".join(lines)

    @slash_command(description="What I remember of you")
    async def privacy(self, interaction: nextcord.Interaction[Any]) -> None:
        """Only its subcommands are called."""

    @privacy.subcommand(description="Get everything that I remember of you")
    async def export(self, interaction: nextcord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, with_message=True)
        limit = limit_of(interaction)
        async with privacy.exported(self._services, user_of(interaction)) as document:
            parts = await asyncio.to_thread(document.parts, limit)
            for number in range(parts):
                part = await asyncio.to_thread(document.part, number, limit)
                text = _PART.format(number=number + 1, parts=parts) if parts > 1 else ""
                await interaction.followup.send(text, files=as_files([part]), ephemeral=True)

    @privacy.subcommand(description="Forget your conversations and programs, and delete your files")
    async def erase(self, interaction: nextcord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, with_message=True)
        text = await privacy.erase(self._services, self._turns, user_of(interaction))
        await interaction.followup.send(text, ephemeral=True)


def _of(bound: float | None, form: str) -> str:
    return "" if bound is None else form.format(bound)
