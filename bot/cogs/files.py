"""Commands about a person's stored files; all answers are theirs alone."""
# nextcord leaves its decorators without types.
# mypy: disable-error-code="untyped-decorator"

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import nextcord
import structlog
from nextcord import SlashOption, slash_command

from bot import filecard, markdown, render
from bot.held import COMING_IN
from bot.interactions import in_time, refuse, reply, user_of
from bot.sending import UNSENT
from bot.services import Services
from bot.traces import trace
from orchestrator import SandglassError, StoredFile

log = structlog.get_logger(__name__)

_LOOK_UP = 2.0
"""Seconds for the files that are offered while somebody types; Discord waits for three."""
_CHOICES = 25
_A_FILE = SlashOption(name="file", description="The file")
_ANOTHER: Any = SlashOption(description="One more file", required=False, default=None)


class Files(nextcord.ClientCog):
    """/files, /download, /upload, /delete."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @slash_command(description="Your stored files")
    async def files(self, interaction: nextcord.Interaction[Any]) -> None:
        work = filecard.listing(self._services, user_of(interaction))
        await reply(interaction, *await in_time(interaction, work))

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

    @slash_command(description="Store files for later, up to ten at once")
    async def upload(  # noqa: PLR0917  (nextcord calls by name)
        self,
        interaction: nextcord.Interaction[Any],
        file: nextcord.Attachment = _A_FILE,
        file2: nextcord.Attachment | None = _ANOTHER,
        file3: nextcord.Attachment | None = _ANOTHER,
        file4: nextcord.Attachment | None = _ANOTHER,
        file5: nextcord.Attachment | None = _ANOTHER,
        file6: nextcord.Attachment | None = _ANOTHER,
        file7: nextcord.Attachment | None = _ANOTHER,
        file8: nextcord.Attachment | None = _ANOTHER,
        file9: nextcord.Attachment | None = _ANOTHER,
        file10: nextcord.Attachment | None = _ANOTHER,
    ) -> None:
        await interaction.response.defer(ephemeral=True, with_message=True)
        given = (file, file2, file3, file4, file5, file6, file7, file8, file9, file10)
        lines = [await self._kept(user_of(interaction), each) for each in given if each is not None]
        await interaction.followup.send(_joined(lines), ephemeral=True)

    async def _kept(self, user_id: int, file: nextcord.Attachment) -> str:
        """Store one file; what became of it as a line. Its size is looked at before a byte is read."""
        shown, most = markdown.name(file.filename, 60), self._services.orchestrator.bounds.max_file_bytes
        if file.size > most:
            return f"-# ⚠️ {shown} has {render.size(file.size)}, the limit is {render.size(most)}: not kept"
        try:
            async with COMING_IN.hold(file.size):
                data = await file.read()
                kept = await self._services.orchestrator.upload_file(user_id, data, file.filename)
        except SandglassError as error:
            return f"-# ⚠️ {shown} was not kept: {markdown.one_line(str(error), 100)}"
        except UNSENT as error:
            log.warning("upload not read", **trace(error))
            return f"-# ⚠️ {shown} was not kept: Discord did not give it out, send it again"
        return render.file_line(kept)

    @slash_command(description="Delete one of your stored files")
    async def delete(
        self,
        interaction: nextcord.Interaction[Any],
        file: str = SlashOption(description="Its name or id", max_length=255),
    ) -> None:
        work = self._services.orchestrator.delete_user_file(file, user_of(interaction))
        try:
            gone = await in_time(interaction, work)
        except SandglassError as error:
            await refuse(interaction, _said(error))
            return
        await reply(interaction, f"-# 🗑️ {markdown.name(gone.filename)} is deleted.")

    @download.on_autocomplete("file")
    async def _downloads(self, interaction: nextcord.Interaction[Any], file: str) -> None:
        await self._complete(interaction, file)

    @delete.on_autocomplete("file")
    async def _deletions(self, interaction: nextcord.Interaction[Any], file: str) -> None:
        await self._complete(interaction, file)

    async def _complete(self, interaction: nextcord.Interaction[Any], typed: str) -> None:
        files: list[StoredFile] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_UP):
                files = await self._services.orchestrator.list_user_files(user_of(interaction))
        await interaction.response.send_autocomplete(_choices(files, typed))


def _said(error: SandglassError) -> str:
    return markdown.prose(str(error))[: markdown.LIMIT]


def _joined(lines: Sequence[str]) -> str:
    """One answer of them all; ten with the longest names are a little more than fits."""
    text = "\n".join(lines)
    if len(text) <= markdown.LIMIT:
        return text
    return f"{text[: markdown.LIMIT - 50].rpartition('\n')[0]}\n-# and more: see /files"


def _choices(files: Sequence[StoredFile], typed: str) -> dict[str, str]:
    """Ids by what is shown, each different: names that begin so first, the newest of them first."""
    wanted = typed.strip().lower()
    found = [each for each in files if wanted in each.filename.lower()]
    found.sort(key=lambda each: not each.filename.lower().startswith(wanted))
    choices: dict[str, str] = {}
    for each in found[:_CHOICES]:
        label = _choice(each)
        # Ids end in eight characters that no other file of a person has in the same second.
        choices[label if label not in choices else f"{label} {each.file_id[-8:]}"] = each.file_id
    return choices


def _choice(file: StoredFile) -> str:
    plain = markdown.visible(file.filename)[:60] or "?"
    return f"{plain} ({file.created_at:%d %b %H:%M}, {render.size(file.size)})"
