"""What commands and clicks share: who asks, whether they may, and answers that follow a deferral."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import nextcord
import structlog

from bot.buttons import Action
from bot.delivery import file_limit
from bot.policy import Rules, Who

log = structlog.get_logger(__name__)

_SOON = 1.5
"""Seconds after which an interaction is deferred rather than answered; Discord forgets it after three."""
_COSTLY = frozenset({"run", "Run this code", "chat", "upload", "download"})
_AGAIN = Action(verb="again", target="").custom_id


class Asked(nextcord.Interaction[Any]):
    """An interaction that keeps the size limit that Discord tells with it."""

    def __init__(self, *, data: Any, state: Any) -> None:
        super().__init__(data=data, state=state)
        self.told_limit: int | None = data.get("attachment_size_limit")


class InteractionPlace:
    """Followups to an interaction; the first one takes the place of "thinking".

    After 15 minutes its channel takes what is for everybody; what is for one person is then not said at all.
    """

    def __init__(self, interaction: nextcord.Interaction[Any], *, ephemeral: bool = False) -> None:
        self._interaction = interaction
        self._ephemeral = ephemeral
        self.limit = limit_of(interaction)

    async def send(
        self, content: str, files: Sequence[nextcord.File], view: nextcord.ui.View | None
    ) -> nextcord.Message:
        """A followup."""
        options: dict[str, Any] = {"files": list(files)} if files else {}
        if view is not None:
            options["view"] = view
        channel = channel_of(self._interaction.client, self._interaction.channel_id or 0)
        try:
            message = await self._interaction.followup.send(
                content, wait=True, ephemeral=self._ephemeral, **options
            )
        except nextcord.HTTPException as error:
            if not (token_is_dead(error) or error.status == 404):
                raise
            log.warning("interaction is over", private=self._ephemeral, status=error.status)
            if self._ephemeral:
                raise
            if files:
                options["files"] = [_anew(each) for each in files]
            return await channel.send(content, **options)
        message.channel = channel  # through which it is changed when the token is dead
        return message


def channel_of(client: nextcord.Client, channel_id: int) -> nextcord.PartialMessageable:
    """A channel by its id; nextcord wants to be told a kind before it speaks of messages in it."""
    return client.get_partial_messageable(channel_id, type=nextcord.ChannelType.text)


def token_is_dead(error: nextcord.HTTPException) -> bool:
    """Whether the 15 minutes of an interaction are over."""
    return error.status == 401 or error.code in {10015, 10062, 50027}


def _anew(file: nextcord.File) -> nextcord.File:
    """One that was read by a request that was refused."""
    file.reset()
    return file


def limit_of(interaction: nextcord.Interaction[Any]) -> int:
    """Bytes of one file in an answer."""
    guild = interaction.guild
    told = interaction.told_limit if isinstance(interaction, Asked) else None
    return file_limit(guild.premium_tier if guild else None, told)


def user_of(interaction: nextcord.Interaction[Any]) -> int:
    """The id of the person who asks."""
    assert interaction.user is not None
    return interaction.user.id


def who_asks(interaction: nextcord.Interaction[Any]) -> Who:
    """The ids that the policy looks at."""
    channel = interaction.channel
    parent = channel.parent_id if isinstance(channel, nextcord.Thread) else interaction.channel_id
    roles = [role.id for role in getattr(interaction.user, "roles", ())]
    return Who.of(user_of(interaction), parent or 0, interaction.guild_id, roles)


def costs(interaction: nextcord.Interaction[Any]) -> bool:
    """Whether this sets work off, so that the cooldown counts it; /stop never has to wait."""
    data: Any = interaction.data
    if interaction.type is nextcord.InteractionType.application_command:
        return data["name"] in _COSTLY
    if interaction.type is nextcord.InteractionType.component:
        return str(data["custom_id"]).startswith(_AGAIN)
    return interaction.type is nextcord.InteractionType.modal_submit


def moderates(interaction: nextcord.Interaction[Any], rules: Rules) -> bool:
    """Whether this person may manage messages here, or is an admin of the bot."""
    if user_of(interaction) in rules.admins:
        return True
    return interaction.guild_id is not None and interaction.permissions.manage_messages


async def in_time[T](
    interaction: nextcord.Interaction[Any], work: Coroutine[Any, Any, T], *, private: bool = True
) -> T:
    """What `work` returns; where it takes long, the interaction is deferred meanwhile.

    A command and, if `private`, a click are then answered by a message for this person alone, else the click
    by a change of its message, or not at all.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=_SOON)
        if not done:
            await interaction.response.defer(ephemeral=private, with_message=private)
        return await task
    finally:
        task.cancel()


async def reply(
    interaction: nextcord.Interaction[Any], text: str, view: nextcord.ui.View | None = None
) -> None:
    """Say something to this person alone, as an answer or after a deferral."""
    options: dict[str, Any] = {} if view is None else {"view": view}
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True, **options)
    else:
        await interaction.response.send_message(text, ephemeral=True, **options)


async def change(interaction: nextcord.Interaction[Any], text: str, view: nextcord.ui.View | None) -> None:
    """Change the message that was clicked, as an answer or after a deferral."""
    if interaction.response.is_done():
        await interaction.edit_original_message(content=text, view=view)
    else:
        await interaction.response.edit_message(content=text, view=view)


async def refuse(interaction: nextcord.Interaction[Any], sentence: str) -> None:
    """Say no, to this person alone."""
    await reply(interaction, sentence)
