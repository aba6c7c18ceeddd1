"""The model, behind one small port with an adapter for each of OpenAI's two streaming APIs."""

from bot.model.connect import connect
from bot.model.port import (
    CallBegun,
    Event,
    Finished,
    Message,
    Model,
    ModelError,
    Picture,
    Piece,
    Said,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    Used,
    sound,
)

__all__ = [
    "CallBegun",
    "Event",
    "Finished",
    "Message",
    "Model",
    "ModelError",
    "Picture",
    "Piece",
    "Said",
    "Text",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Usage",
    "Used",
    "connect",
    "sound",
]
