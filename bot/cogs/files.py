"""Commands about a person's stored files; all answers are theirs alone."""
# nextcord leaves its decorators without types.
# mypy: disable-error-code="untyped-decorator"

from typing import Any

import nextcord
from nextcord import SlashOption, slash_command

from bot import filecard, markdown, render
from bot.interactions import refuse, user_of
from bot.services import Services
from orchestrator import SandglassError, StoredFile


class Files(nextcord.ClientCog):
    """/files, /download, /upload, /delete."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @slash_command(description="Your stored files")
    async def files(self, interaction: nextcord.Interaction[Any]) -> None:
        text, view = await filecard.listing(self._services, user_of(interaction))
        if view is None:
            await interaction.response.send_message(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, view=view, ephemeral=True)

    @slash_command(description="Get one of your stored files")
    async def download(
        self,
        interaction: nextcord.Interaction[Any],
        file: str = SlashOption(description="Its name or id", max_length=255),
    ) -> None:
        try:
            await filecard.send_file(self._services, interaction, file)
        except SandglassError as error:
            await refuse(interaction, _said(error))

    @slash_command(description="Store a file for later")
    async def upload(
        self,
        interaction: nextcord.Interaction[Any],
        file: nextcord.Attachment = SlashOption(description="The file"),  # noqa: B008  (nextcord's own way)
    ) -> None:
        most = self._services.orchestrator.bounds.max_file_bytes
        if file.size > most:
            await refuse(
                interaction, f"The file has {render.size(file.size)}, the limit is {render.size(most)}."
            )
            return
        await interaction.response.defer(ephemeral=True, with_message=True)
        try:
            data = await file.read()
            kept = await self._services.orchestrator.upload_file(user_of(interaction), data, file.filename)
        except SandglassError as error:
            await interaction.followup.send(_said(error), ephemeral=True)
            return
        await interaction.followup.send(render.file_line(kept), ephemeral=True)

    @slash_command(description="Delete one of your stored files")
    async def delete(
        self,
        interaction: nextcord.Interaction[Any],
        file: str = SlashOption(description="Its name or id", max_length=255),
    ) -> None:
        try:
            gone = await self._services.orchestrator.delete_user_file(file, user_of(interaction))
        except SandglassError as error:
            await refuse(interaction, _said(error))
            return
        text = f"-# 🗑️ {markdown.name(gone.filename)} is deleted."
        await interaction.response.send_message(text, ephemeral=True)

    @download.on_autocomplete("file")
    async def _downloads(self, interaction: nextcord.Interaction[Any], file: str) -> None:
        await self._complete(interaction, file)

    @delete.on_autocomplete("file")
    async def _deletions(self, interaction: nextcord.Interaction[Any], file: str) -> None:
        await self._complete(interaction, file)

    async def _complete(self, interaction: nextcord.Interaction[Any], typed: str) -> None:
        files = await self._services.orchestrator.list_user_files(user_of(interaction))
        found = [each for each in files if typed.lower() in each.filename.lower()][:25]
        choices = {_choice(each): each.file_id for each in found}
        await interaction.response.send_autocomplete(choices)


def _said(error: SandglassError) -> str:
    return markdown.prose(str(error))[: markdown.LIMIT]


def _choice(file: StoredFile) -> str:
    return f"{markdown.visible(file.filename)[:60]} ({file.created_at:%d %b %H:%M}, {render.size(file.size)})"
