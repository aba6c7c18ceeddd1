"""What commands and clicks share: who asks, whether they may, and answers that follow a deferral."""

from collections.abc import Sequence
from typing import Any

import nextcord

from bot.buttons import Action
from bot.delivery import file_limit
from bot.policy import Rules, Who

_COSTLY = frozenset({"run", "Run this code", "chat", "upload", "download"})
_AGAIN = Action(verb="again", target="").custom_id


class Asked(nextcord.Interaction[Any]):
    """An interaction that keeps the size limit that Discord tells with it."""

    def __init__(self, *, data: Any, state: Any) -> None:
        super().__init__(data=data, state=state)
        self.told_limit: int | None = data.get("attachment_size_limit")


class InteractionPlace:
    """Followups to an interaction; the first one takes the place of "thinking"."""

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
        return await self._interaction.followup.send(content, wait=True, ephemeral=self._ephemeral, **options)


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


async def refuse(interaction: nextcord.Interaction[Any], sentence: str) -> None:
    """Say no, to this person alone."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)
