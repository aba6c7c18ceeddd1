"""A local Discord for the real nextcord client: REST, gateway, CDN and interactions on 127.0.0.1."""

from .interactions import Interaction
from .limits import Limits
from .local import LocalDiscord
from .people import Person
from .world import Attachment, Channel, Message, Role

__all__ = ["Attachment", "Channel", "Interaction", "Limits", "LocalDiscord", "Message", "Person", "Role"]
