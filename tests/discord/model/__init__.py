"""A local OpenAI-compatible server for the real openai client: Responses and Chat Completions, scripted."""

from .server import LocalModel
from .steps import broken, call, cut, error, fail, failed, hang, incomplete, raw, reason, say, think, usage
from .wants import ModelRequest

__all__ = [
    "LocalModel",
    "ModelRequest",
    "broken",
    "call",
    "cut",
    "error",
    "fail",
    "failed",
    "hang",
    "incomplete",
    "raw",
    "reason",
    "say",
    "think",
    "usage",
]
