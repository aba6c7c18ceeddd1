"""Who stands behind an event of Discord: the ids that the policy looks at."""

from collections.abc import Iterable, Mapping
from typing import Any

import nextcord

from bot.policy import Who


def who_wrote(message: nextcord.Message) -> Who:
    """The author of a message that came through the gateway."""
    guild = message.guild.id if message.guild else None
    return _who(message.author.id, message.channel, message.channel.id, guild, _roles(message.author))


def who_edited(data: Mapping[str, Any], channel: Any) -> Who:
    """The author of an edited message; one that is fetched does not say which roles its author has."""
    roles = [int(each) for each in (data.get("member") or {}).get("roles", ())]
    guild = int(data["guild_id"]) if data.get("guild_id") else None
    return _who(int(data["author"]["id"]), channel, int(data["channel_id"]), guild, roles)


def who_types(event: nextcord.RawTypingEvent, channel: Any) -> Who:
    """The one who begins to type."""
    return _who(event.user_id, channel, event.channel_id, event.guild_id, _roles(event.member))


def _who(user: int, channel: Any, channel_id: int, guild: int | None, roles: Iterable[int]) -> Who:
    parent = channel.parent_id if isinstance(channel, nextcord.Thread) else channel_id
    return Who.of(user, parent, guild, roles)


def _roles(person: Any) -> list[int]:
    return [role.id for role in getattr(person, "roles", ())]
