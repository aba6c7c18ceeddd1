"""What a client is told of the connection: which events to ask for, and how requests are counted."""

from typing import Any

import nextcord


def intents() -> nextcord.Intents:
    """What we listen to; only `message_content` is privileged."""
    wanted = nextcord.Intents.none()
    wanted.guilds = wanted.guild_messages = wanted.dm_messages = True
    wanted.guild_typing = wanted.dm_typing = True
    wanted.message_content = True
    return wanted


class Unshared(dict[str, Any]):
    """Remembers no bucket by its name, so that each method and channel keeps its own."""

    def __setitem__(self, name: str, bucket: Any) -> None:
        """Forget it."""
